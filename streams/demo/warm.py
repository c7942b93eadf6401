"""Compiles the kernels before the clock of the demonstration starts, and counts how many had to be.

numba compiles a kernel on its first call and keeps the machine code in a cache on disk. A first start takes about a
minute for that, every later one a second; mixed into the run it would look like a stall.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from rules.model import RuleSet


@dataclass(frozen=True)
class Warmth:
    kernels_compiled: int  # 0: all came from the cache
    took_s: float  # all of it: importing, compiling or loading, and running a sample


def warm(rules: RuleSet) -> Warmth:
    from streams.engine import warm as kernels

    begun, compiled_before = time.monotonic(), kernels_compiled()
    kernels.warm(rules)
    return Warmth(kernels_compiled() - compiled_before, time.monotonic() - begun)


def kernels_compiled() -> int:
    """How many kernels this process has compiled instead of finding them in the cache. Cheap; from any thread."""
    from numba.core.dispatcher import Dispatcher

    modules = [module for name, module in list(sys.modules.items()) if name.startswith("streams.kernels.")]
    kernels = {id(k): k for module in modules for k in list(vars(module).values()) if isinstance(k, Dispatcher)}
    return sum(sum(kernel.stats.cache_misses.values()) for kernel in kernels.values())
