"""Faults 9 and 10 of docs/reliability.md: the folder of snapshots is gone, old, damaged, taken, or full."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.topics import BLOCK_HISTORY
from tests.faults.check import check, check_store
from tests.faults.scene import LONG_S, Scene
from tests.faults.traffic import five_hours_ago, traffic


def worked(scene: Scene, records: int = 800) -> None:
    """A worker has counted something, has left a snapshot, and has ended without a word."""
    scene.feed(traffic(scene.seed, five_hours_ago(), records))
    worker = scene.start_named()
    scene.wait_caught_up(worker)
    scene.wait_snapshot(worker)
    worker.kill()


def finished(scene: Scene) -> None:
    """The successor counts the rest, and its store ends as the reference counts."""
    scene.feed(traffic(scene.seed + 1, five_hours_ago(), 800))
    worker = scene.start_named()
    scene.wait_caught_up(worker)
    scene.wait_snapshot(worker)
    scene.stop(worker)
    assert check(scene)[BLOCK_HISTORY] > 5
    check_store(scene)


def _truncate(folder: Path) -> None:
    """Half of every file of data, as after a crash of the machine."""
    for file in folder.rglob("*"):
        if file.suffix in (".sst", ".log"):
            with file.open("r+b") as opened:
                opened.truncate(file.stat().st_size // 2)


def _flip(folder: Path) -> None:
    """A byte in the middle of every file of data."""
    for file in folder.rglob("*"):
        if file.suffix in (".sst", ".log") and file.stat().st_size:
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 0x55
            file.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], None]] = {"deleted": shutil.rmtree, "truncated": _truncate, "flipped": _flip}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_is_rebuilt_to_the_same_state(scene: Scene, damage: str) -> None:
    worked(scene)
    DAMAGES[damage](scene.state)
    finished(scene)


def test_an_old_copy_of_the_store_is_brought_up_to_date(scene: Scene) -> None:
    worked(scene)
    old = scene.folder / "old"
    shutil.copytree(scene.state, old)
    scene.feed(traffic(scene.seed + 2, five_hours_ago(), 800))
    worker = scene.start_named()
    scene.wait_caught_up(worker)
    scene.stop(worker)
    shutil.rmtree(scene.state)
    old.rename(scene.state)
    finished(scene)


def test_a_store_in_use_is_refused(scene: Scene) -> None:
    scene.feed(traffic(scene.seed, five_hours_ago(), 300))
    worker = scene.start_named()
    scene.wait_caught_up(worker)
    other = scene.start("--name", f"{scene.group}-2", "--state", str(scene.state))
    assert other.wait(LONG_S) == 2, other.log
    assert str(scene.state) in other.log
    assert "Traceback" not in other.log
    scene.stop(worker)
    check(scene)


def test_a_full_disk_stops_the_worker_which_says_so_and_resumes_later(scene: Scene) -> None:
    """No file may grow beyond what the worker's own log needs: the kernel's limit stands for the disk's."""
    worked(scene)
    worker = scene.start_named()
    scene.wait_caught_up(worker)
    limit = 40_000
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (limit, limit))
    with scene.feeding(traffic(scene.seed + 2, five_hours_ago(), 3_000)):
        assert worker.wait(LONG_S) == 1, worker.log
    assert str(scene.state) in worker.log
    finished(scene)
