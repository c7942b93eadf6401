"""Histories of a whole deployment, replayed from their seeds."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.sim.director import History
from tests.sim.faults import Rates
from tests.sim.mutations import CHANGES, Mutation, history

ROOT = Path(__file__).parents[2]
SEEDS = 120
PROCESSES = 2
FRESH = int.from_bytes(os.urandom(4), "big")


def replay(seed: int) -> History:
    one = History(seed)
    try:
        one.run()
    except Exception as problem:
        tail = "\n".join(one.world.trace[-30:])
        pytest.fail(f"{problem}\n{problem.__cause__}\n{tail}\nto see it again: make sim SEED={seed} ARGS=--trace")
    return one


@pytest.mark.slow
def test_whatever_goes_wrong_every_law_holds_in_the_end() -> None:
    """Fixed seeds and a fresh one, in processes side by side."""
    each = -(-SEEDS // PROCESSES)
    told = [
        *(["--seed", str(first), "--count", str(each)] for first in range(1, SEEDS + 1, each)),
        ["--seed", str(FRESH)],
    ]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.sim", "--quiet", *words], cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for words in told
    ]  # fmt: skip
    said = [process.communicate()[0] for process in processes]
    failed = [text for text, process in zip(said, processes, strict=True) if process.returncode]
    assert not failed, "\n".join(failed)
    assert all("all laws hold" in text for text in said)


def test_without_trouble_one_worker_commits_and_nothing_is_aborted() -> None:
    one = History(4, Rates())
    one.run()
    assert not [line for line in one.world.trace if "abort" in line or "trouble" in line]
    assert len(one.world.commits) > 1


@pytest.mark.slow
def test_records_that_a_poll_gathered_before_a_rebalance_are_read_again_by_whoever_restores_their_partition() -> None:
    """Workers come and go quickly: one poll sees a partition go and come back, its state to be restored."""
    for seed in range(15, 19):
        history(seed, Mutation("none", CHANGES, nullcontext)).run()


def test_a_seed_repeats_its_history_whatever_the_order_of_hashes() -> None:
    here = hashlib.sha256("\n".join(replay(9).world.trace).encode()).hexdigest()
    program = (
        "import hashlib; from tests.sim.director import History; h = History(9); h.run();"
        "print(hashlib.sha256('\\n'.join(h.world.trace).encode()).hexdigest())"
    )
    for hash_seed in ("1", "2"):
        told = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert told.stdout.split()[-1] == here
