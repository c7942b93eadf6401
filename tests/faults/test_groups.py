"""Faults 3, 4, 7, 8 and 16 of docs/reliability.md: workers that end, sleep, come and go, and share a name."""

from __future__ import annotations

import re
import signal

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from schemas.topics import BLOCK_HISTORY, CDR, TOPICS
from tests.faults.check import check
from tests.faults.kills import step
from tests.faults.scene import LONG_S, PARTITIONS, Scene
from tests.faults.traffic import five_hours_ago, traffic
from tests.faults.zygote import Process

PRODUCER = "confluent_kafka:Producer"


def partitions_of(worker: Process) -> set[int]:
    """Those of its last assignment or revoke, as its log tells them."""
    told = re.findall(r"(assigned|revoked): partitions=\[([0-9, ]*)\]", worker.log)
    if not told or told[-1][0] == "revoked":
        return set()
    return {int(p) for p in told[-1][1].split(", ") if p}


def test_sigterm_under_load_hands_over_cleanly(scene: Scene) -> None:
    records = traffic(scene.seed, five_hours_ago(), 3_000)
    first, second = scene.start(), scene.start()
    with scene.feeding(records) as feeder:
        scene.wait_until(lambda: len(partitions_of(first)) == 2 == len(partitions_of(second)), "both own two")
        scene.wait_committed(500, first, second)
        assert feeder.produced < len(records), "the load ended too early"
        scene.stop(first)
        scene.wait_until(lambda: len(partitions_of(second)) == PARTITIONS, "the other takes over", second)
    scene.wait_caught_up(second)
    scene.stop(second)
    assert check(scene)[BLOCK_HISTORY] > 5


def test_a_named_worker_restarted_under_load_goes_on_from_its_own_store(scene: Scene) -> None:
    records = traffic(scene.seed, five_hours_ago(), 2_500)
    with scene.feeding(records) as feeder:
        for _ in range(3):
            worker = scene.start_named()
            before = sum(scene.committed().values())
            scene.wait_committed(before + 200, worker)
            scene.stop(worker)
        assert feeder.produced < len(records), "the load ended too early"
    worker = scene.start_named()
    scene.wait_caught_up(worker)
    scene.stop(worker)
    assert check(scene)[BLOCK_HISTORY] > 5


@pytest.mark.parametrize("asleep", ["before send_offsets_to_transaction", "before commit_transaction"])
def test_a_worker_that_slept_past_its_session_writes_nothing_when_it_wakes(scene: Scene, asleep: str) -> None:
    records = traffic(scene.seed, five_hours_ago(), 2_000)
    when, _, method = asleep.partition(" ")
    sleeper = scene.start(kill_at=step(f"{PRODUCER}.{method}", when, 4, signal.SIGSTOP))
    with scene.feeding(records[:1_000]):
        scene.wait_until(lambda: is_stopped(sleeper.pid), "it stops inside a commit", sleeper)
    # Alone, its successor gets everything once the session of the sleeper and its open transaction have run out.
    heir = scene.start()
    scene.wait_caught_up(heir)
    with scene.feeding(records[1_000:]):
        sleeper.signal(signal.SIGCONT)
        scene.wait_until(lambda: len(partitions_of(heir)) == 2 == len(partitions_of(sleeper)), "it is taken in again")
    scene.wait_caught_up(heir, sleeper)
    assert any(word in sleeper.log for word in ("aborted", "replaced", "lost=True")), sleeper.log
    scene.stop(heir)
    scene.stop(sleeper)
    assert check(scene)[BLOCK_HISTORY] > 5


def test_workers_come_and_go_and_each_record_is_counted_by_one_of_them(scene: Scene) -> None:
    count = 2
    records = traffic(scene.seed, five_hours_ago(), 1_500 * count + 500)
    with scene.feeding(records):
        lasting = scene.start()
        for i in range(count):
            guests = [scene.start(), scene.start()]
            scene.wait_until(
                lambda guests=guests: all(map(partitions_of, guests)), "each owns a part", lasting, *guests
            )
            before = sum(scene.committed().values())
            scene.wait_committed(before + 100, lasting, *guests)
            for guest in guests:
                guest.kill() if i % 2 else scene.stop(guest)
            scene.wait_until(lambda: len(partitions_of(lasting)) == PARTITIONS, "the last one owns all", lasting)
    scene.wait_caught_up(lasting)
    scene.stop(lasting)
    assert check(scene)[BLOCK_HISTORY] > 5


def test_of_two_workers_with_one_name_one_survives_and_the_other_says_why(scene: Scene) -> None:
    records = traffic(scene.seed, five_hours_ago(), 1_500)
    name = f"{scene.group}-twin"
    first = scene.start("--name", name)
    with scene.feeding(records):
        scene.wait_committed(200, first)
        second = scene.start("--name", name)
        scene.wait_until(lambda: ended(first, second), "one ends")
    survivor, loser = (second, first) if first.exit_code is not None else (first, second)
    assert loser.exit_code == 1, loser.log
    assert name in loser.log.splitlines()[-1]
    assert "--name" in loser.log.splitlines()[-1]
    scene.wait_caught_up(survivor)
    scene.stop(survivor)
    assert check(scene)[BLOCK_HISTORY] > 5


def test_a_changed_partition_count_is_refused_with_the_way_out(scene: Scene) -> None:
    scene.feed(traffic(scene.seed, five_hours_ago(), 300))
    worker = scene.start_named()
    scene.wait_caught_up(worker)
    scene.stop(worker)
    check(scene)
    admin = AdminClient({"bootstrap.servers": scene.broker.bootstrap})
    others = [spec.name for spec in TOPICS.values() if spec.partitions_like_input and spec.name != CDR]
    for grown, says in (([CDR], "equal partition counts"), (others, "--group")):
        for future in admin.create_partitions([NewPartitions(name, PARTITIONS + 2) for name in grown]).values():
            future.result()
        worker = scene.start_named()
        assert worker.wait(LONG_S) == 2, worker.log
        assert says in worker.log
        assert str(PARTITIONS + 2) in worker.log
        assert "Traceback" not in worker.log


def ended(*workers: Process) -> bool:
    return any(worker.exit_code is not None for worker in workers)


def is_stopped(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "T"
