"""A first start ever compiles its kernels in two processes, and none of them twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streams.engine import warm

ROOT = Path(__file__).parents[2]
WARM = """
import json
from numba.core.dispatcher import Dispatcher
from rules.load import load, packs
from streams.engine import warm
from streams.kernels import concurrent, distinct

warm.warm(load([packs()]))
print(json.dumps({
    name: [sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values())]
    for module in (concurrent, distinct)
    for name, kernel in vars(module).items()
    if isinstance(kernel, Dispatcher) and kernel.stats.cache_path
}))
"""


def warmed(cache: Path, folder: Path) -> dict[str, list[int]]:
    """By kernel: how many forms were found in the cache, and how many compiled, in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", WARM], cwd=folder, env=environment | {"XDG_CACHE_HOME": str(cache)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return dict(json.loads(done.stdout))


@pytest.mark.slow
def test_what_a_process_beside_compiles_is_found_by_this_one_and_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()  # a working folder may well have one: it is no package of ours
    (tmp_path / "rules" / "__init__.py").write_text("raise SystemExit('somebody else')")
    found = {name: [1, 0] for name in ("count_concurrent", "idle_concurrent", "count_distinct", "idle_distinct")}
    assert warmed(tmp_path / "cache", tmp_path) == found
    assert warmed(tmp_path / "cache", tmp_path) == found


def test_a_process_beside_that_fails_costs_time_and_nothing_else() -> None:
    with warm._compiling(["no such kind"]) as ended:
        pass
    assert ended.returncode == 1


def test_nobody_waits_for_a_process_beside_when_warming_fails() -> None:
    with pytest.raises(ZeroDivisionError), warm._compiling(["distinct", "concurrent"]) as ended:
        raise ZeroDivisionError
    assert ended.returncode == -9
