"""Compiles the kernels before the clock of the demonstration starts, and counts how many were not in the cache.

numba compiles a kernel on its first call and keeps the machine code in a cache on disk. A first start takes a quarter
of a minute for that, every later one a second; mixed into the run it would look like a stall.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rules.model import RuleSet


@dataclass(frozen=True)
class Warmth:
    kernels_compiled: int  # 0: all came from the cache
    took_s: float  # all of it: importing, compiling or loading, and running a sample


def warm(rules: RuleSet) -> Warmth:
    from streams.engine import warm as kernels

    begun, begun_s = time.monotonic(), time.time()
    kernels.warm(rules)
    return Warmth(kernels_compiled(begun_s), time.monotonic() - begun)


def kernels_compiled(since_s: float) -> int:
    """The number of kernels that came into the cache since a time (seconds since 1970), from this process or the one
    beside it. Cheap; from any thread."""
    from numba.core.dispatcher import Dispatcher

    modules = [module for name, module in list(sys.modules.items()) if name.startswith("streams.kernels.")]
    kernels = [k for module in modules for k in list(vars(module).values()) if isinstance(k, Dispatcher)]
    folders = {Path(kernel.stats.cache_path) for kernel in kernels if kernel.stats.cache_path}
    return sum(_written_s(index) >= since_s for folder in folders for index in folder.glob("*.nbi"))


def _written_s(file: Path) -> float:
    with suppress(FileNotFoundError):  # it is being replaced
        return file.stat().st_mtime
    return 0.0
