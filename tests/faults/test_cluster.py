"""Fault 26 of docs/reliability.md: three brokers, of which one is lost, slow, stands still, or hands its work over."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from schemas.topics import BLOCK_HISTORY, CDR
from tests.conftest import missing
from tests.faults.check import check
from tests.faults.scene import BROKER, Scene
from tests.faults.traffic import Record, five_hours_ago, traffic
from tests.faults.zygote import Process, Zygote
from tests.kafka_broker import Broker, KafkaUnavailable
from tests.kafka_cluster import Cluster
from tests.kafka_proxy import Proxy

MINUTES = float(os.environ.get("GRAYLINE_SOAK_MINUTES") or 0)
RECOVERY_S = 120.0
FAULTS = 4
# A slow node stands still most of the time, and never for as long as another takes it for dead.
STILL_S, AT_WORK_S = 0.4, 0.1
# Three brokers on one small machine take their time to find another leader or coordinator.
PATIENT = {"session_timeout_ms": "10000", "transaction_timeout_ms": "10000"}


class ClusterScene(Scene):
    """`broker` is the cluster: none of what a scene does to its one broker is done here."""

    replication = 3


@pytest.fixture(scope="module")
def cluster(zygote: Zygote) -> Iterator[Cluster]:
    try:
        made = Cluster(BROKER)
    except KafkaUnavailable as why:
        missing(str(why))
    with made:
        yield made


@pytest.mark.timeout(60 * MINUTES + 900)
def test_a_leader_killed_a_coordinator_that_moves_and_a_replica_behind_or_slow_lose_and_double_nothing(
    cluster: Cluster, proxy: Proxy, zygote: Zygote, tmp_path: Path, seed: int
) -> None:
    zygote.wait_ready()
    until_s = time.monotonic() + 60 * MINUTES
    for i in itertools.count():
        folder = tmp_path / str(i)
        folder.mkdir()
        broker: Any = cluster
        scene = ClusterScene(broker, proxy, zygote, folder, seed + i)
        try:
            go_through(scene, cluster)
        finally:
            scene.close()
        if time.monotonic() >= until_s:
            return


def go_through(scene: Scene, cluster: Cluster) -> None:
    """Of the records of each fault a half comes before it, so that it strikes while they are counted."""
    records = traffic(scene.seed, five_hours_ago(), 400 * FAULTS)
    parts = [records[i * len(records) // FAULTS : (i + 1) * len(records) // FAULTS] for i in range(FAULTS)]
    worker = scene.start(**PATIENT)
    scene.wait_until(lambda: "live: partition=" in worker.log, "it counts", worker, limit_s=RECOVERY_S)
    with fed(scene, worker, parts[0]):
        leader = cluster.nodes[cluster.leader_of(CDR, 0)]
        leader.kill()
    leader.start()
    with fed(scene, worker, parts[1]):
        coordinator = cluster.nodes[cluster.coordinator_of(scene.group)]
        coordinator.stop()
    coordinator.start()
    with fed(scene, worker, parts[2]):
        behind = next(id for id in cluster.nodes if id != cluster.leader_of(CDR, 0))
        cluster.nodes[behind].suspend()
    try:
        scene.wait_until(
            lambda: all(behind not in nodes for nodes in cluster.in_sync(CDR).values()), "it is out of sync",
            worker, limit_s=RECOVERY_S,
        )  # fmt: skip
    finally:
        cluster.nodes[behind].resume()
    scene.wait_until(
        lambda: all(behind in nodes for nodes in cluster.in_sync(CDR).values()), "it has caught up",
        worker, limit_s=RECOVERY_S,
    )  # fmt: skip
    with slow(cluster.nodes[cluster.leader_of(CDR, 0)]), fed(scene, worker, parts[3]):
        pass
    scene.wait_caught_up(worker, limit_s=RECOVERY_S)
    scene.stop(worker)
    assert check(scene)[BLOCK_HISTORY] > 5


@contextmanager
def slow(node: Broker) -> Iterator[None]:
    """It answers everything, in the time in which it is not stopped."""
    done = threading.Event()

    def stop_and_go() -> None:
        while not done.wait(AT_WORK_S):
            node.suspend()
            done.wait(STILL_S)
            node.resume()

    thread = threading.Thread(target=stop_and_go)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def fed(scene: Scene, worker: Process, records: Sequence[Record]) -> Iterator[None]:
    """Half of the records before what is done inside, half behind it; all are counted at the end."""
    half = len(records) // 2
    scene.feed(records[:half])
    yield
    scene.feed(records[half:])
    scene.wait_until(lambda: scene.lag() == 0, "all are counted", worker, limit_s=RECOVERY_S)
