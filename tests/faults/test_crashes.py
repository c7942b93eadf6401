"""Faults 1 and 2 of docs/reliability.md: SIGKILL at every step of a commit, of a snapshot and of a restore."""

from __future__ import annotations

import shutil

import pytest

from schemas.topics import BLOCK_HISTORY
from tests.faults.check import check
from tests.faults.kills import COMMIT, DROP, RESTORE, SNAPSHOT
from tests.faults.scene import LONG_S, Scene
from tests.faults.traffic import five_hours_ago, traffic

RECORDS = 250  # new ones for each step


@pytest.mark.parametrize("steps", [COMMIT, SNAPSHOT], ids=["commit", "snapshot"])
def test_a_worker_killed_at_any_step_of_a_commit_leaves_no_trace(scene: Scene, steps: list[dict[str, str]]) -> None:
    records = traffic(scene.seed, five_hours_ago(), RECORDS * (len(steps) + 1))
    for i, kill_at in enumerate(steps):
        worker = scene.start_named(kill_at=kill_at)
        with scene.feeding(records[i * RECORDS : (i + 1) * RECORDS]):
            assert worker.wait(LONG_S) == -9, f"{kill_at} was not reached in order\n{worker.log}"
    worker = scene.start_named()
    scene.feed(records[len(steps) * RECORDS :])
    scene.wait_caught_up(worker)
    scene.stop(worker)
    assert check(scene)[BLOCK_HISTORY] > 5


@pytest.mark.parametrize("source", ["the local store", "the topic"])
def test_a_worker_killed_while_it_restores_is_followed_by_one_that_converges(scene: Scene, source: str) -> None:
    records = traffic(scene.seed, five_hours_ago(), 2_000)
    # One worker leaves snapshots, the next one records behind them, which are to be counted again.
    for part, interval_s in ((records[:800], "0.4"), (records[800:1_600], "3600")):
        worker = scene.start_named("--snapshot-interval", interval_s)
        scene.feed(part)
        scene.wait_caught_up(worker)
        worker.kill()
    for kill_at in RESTORE:
        if source == "the topic":
            shutil.rmtree(scene.state, ignore_errors=True)  # not there if the last one died early
        elif kill_at in DROP:
            continue  # a good local snapshot is not dropped
        worker = scene.start_named("--snapshot-interval", "3600", kill_at=kill_at)
        assert worker.wait(LONG_S) == -9, f"{kill_at} was not reached in order\n{worker.log}"
    worker = scene.start_named()
    scene.feed(records[1_600:])
    scene.wait_caught_up(worker)
    scene.stop(worker)
    assert check(scene)[BLOCK_HISTORY] > 5
