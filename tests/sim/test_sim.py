"""Histories of a whole deployment, replayed from their seeds."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.director import History
from tests.sim.faults import Rates
from tests.sim.mutations import MUTATIONS, noticed

ROOT = Path(__file__).parents[2]
SEEDS = 80
SEEDS_PER_TEST = 10
FRESH = int.from_bytes(os.urandom(4), "big")


@pytest.fixture(autouse=True)
def no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Workers of a history complain much, and rightly."""
    caplog.set_level(logging.CRITICAL, "grayline")


def replay(seed: int) -> History:
    history = History(seed)
    try:
        history.run()
    except Exception as problem:
        tail = "\n".join(history.world.trace[-30:])
        pytest.fail(f"{problem}\n{problem.__cause__}\n{tail}\nto see it again: make sim SEED={seed} ARGS=--trace")
    return history


@pytest.mark.parametrize("first", range(1, SEEDS, SEEDS_PER_TEST))
def test_whatever_goes_wrong_every_law_holds_in_the_end(first: int) -> None:
    for seed in range(first, first + SEEDS_PER_TEST):
        replay(seed)


def test_every_law_holds_for_a_seed_nobody_has_tried() -> None:
    replay(FRESH)


def test_without_trouble_one_worker_commits_and_nothing_is_aborted() -> None:
    history = History(4, Rates())
    history.run()
    assert not [line for line in history.world.trace if "abort" in line or "trouble" in line]
    assert len(history.world.commits) > 1


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


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mistake_put_into_the_product_is_noticed(name: str) -> None:
    assert noticed(MUTATIONS[name]), f"{MUTATIONS[name].what}: no history fails"
