"""Topics that are deleted and made anew, under a worker that runs and under one that does not."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from schemas.topics import BLOCK_HISTORY, CDR, LEDGER, MESSAGE_RELAY
from tests.faults.scene import LONG_S, Scene, client_of
from tests.faults.traffic import five_hours_ago, traffic
from tests.faults.zygote import Process

RECORDS = 600


def refused(scene: Scene, worker: Process, *says: str) -> None:
    assert worker.wait(LONG_S) == 2, worker.log
    assert "Traceback" not in worker.log
    for words in says:
        assert words in worker.log.splitlines()[-1]


def notes(scene: Scene) -> list[TopicPartition]:
    """What the group has committed, with the texts beside it."""
    asked = [TopicPartition(*place) for place in scene.inputs()]
    return list(scene._ask(lambda consumer: consumer.committed(asked, timeout=5)))


def goes_on(scene: Scene, *arguments: str) -> None:
    worker = scene.start(*arguments)
    scene.wait_until(lambda: worker.log.count("live: partition=") == scene.partitions, "it counts", worker)
    scene.stop(worker)


@pytest.mark.parametrize("topic", [CDR, MESSAGE_RELAY])
def test_an_input_made_anew_under_a_running_worker_ends_it_before_anything_of_the_new_one_counts(
    scene: Scene, topic: str
) -> None:
    made_anew_while_it_runs(scene, topic)


def made_anew_while_it_runs(scene: Scene, topic: str) -> None:
    """The new topic has more records than the old one had: the worker's position lies among them."""
    old = traffic(scene.seed, five_hours_ago(), RECORDS)
    worker = scene.start()
    scene.feed(old)
    scene.wait_caught_up(worker)
    ends, before = scene.ends(), len(scene.read(BLOCK_HISTORY))
    scene.make_anew(topic)
    new = traffic(scene.seed + 1, five_hours_ago(), 3 * RECORDS)
    scene.feed(new)
    refused(scene, worker, f"topic '{topic}'", "--from earliest")
    for place in notes(scene):
        assert place.topic != topic or place.offset <= ends[place.topic, place.partition]
    worker = scene.start(may_choose=False)
    refused(scene, worker, topic, "made anew", "--from earliest")
    assert {place.offset for place in notes(scene) if place.topic == topic} <= {-1001, *ends.values()}
    worker = scene.start("--from", "earliest")
    scene.wait_caught_up(worker)
    scene.stop(worker)
    assert len(scene.read(BLOCK_HISTORY)) > before
    assert "Traceback" not in worker.log


def test_an_input_made_anew_while_no_worker_runs_is_refused_by_the_note_beside_the_commit(scene: Scene) -> None:
    """A commit may reach the broker behind the deletion, which takes the commits before it away."""
    worker = scene.start()
    scene.feed(traffic(scene.seed, five_hours_ago(), RECORDS))
    scene.wait_caught_up(worker)
    scene.stop(worker)
    left = notes(scene)
    scene.make_anew(CDR)
    scene.feed(traffic(scene.seed + 1, five_hours_ago(), 3 * RECORDS))
    late: Any = Consumer(client_of(scene.broker) | {"group.id": scene.group, "enable.auto.commit": False})
    late.commit(offsets=[place for place in left if place.topic == CDR], asynchronous=False)
    late.close()
    assert scene.all_committed()
    refused(scene, scene.start(), f"topic '{CDR}' was deleted and made anew", "--from earliest")
    worker = scene.start("--from", "earliest")
    scene.wait_caught_up(worker)
    assert f"topic '{CDR}' was deleted and made anew" in worker.log, "it is told as a gap"
    scene.stop(worker)
    goes_on(scene)


def test_a_ledger_made_anew_is_refused_until_an_operator_says_so(scene: Scene) -> None:
    worker = scene.start()
    scene.feed(traffic(scene.seed, five_hours_ago(), RECORDS))
    scene.wait_caught_up(worker)
    scene.make_anew(LEDGER)
    refused(scene, worker, f"topic '{LEDGER}'", "--new-ledger")
    refused(scene, scene.start(), f"topic '{LEDGER}' was deleted and made anew", "the holds in force", "--new-ledger")
    goes_on(scene, "--new-ledger")
    goes_on(scene)
