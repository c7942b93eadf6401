"""Faults 5 and 6 of docs/reliability.md: the broker dies and returns, falls silent, or its answers are lost."""

from __future__ import annotations

from schemas.topics import BLOCK_HISTORY
from tests.faults.check import check
from tests.faults.scene import LONG_S, Scene
from tests.faults.traffic import five_hours_ago, traffic
from tests.kafka_proxy import (
    ADD_OFFSETS_TO_TXN,
    CUT_ANSWER,
    DROP_ANSWER,
    END_TXN,
    HOLD_ANSWER,
    HOLD_REQUEST,
    PRODUCE,
    REFUSE,
    TXN_OFFSET_COMMIT,
)

# Longer than the session and the transactions of these workers, and than the broker's own session with its controller
# (9 s): when it is back, its metadata name no broker for a moment.
SILENCE_S = 12.0
RECOVERY_S = 120.0
LOST = (
    (END_TXN, DROP_ANSWER),
    (END_TXN, CUT_ANSWER),
    (END_TXN, HOLD_ANSWER),  # into the next transaction
    (END_TXN, HOLD_REQUEST),
    (ADD_OFFSETS_TO_TXN, REFUSE),
    (TXN_OFFSET_COMMIT, DROP_ANSWER),
    (TXN_OFFSET_COMMIT, CUT_ANSWER),
    (PRODUCE, CUT_ANSWER),
)


def test_a_broker_killed_under_load_loses_and_doubles_nothing(scene: Scene) -> None:
    count = 2
    records = traffic(scene.seed, five_hours_ago(), 1_200 * (count + 1))
    worker = scene.start()
    with scene.feeding(records) as feeder:
        for i in range(count):
            scene.wait_committed(600 * (i + 1), worker)
            assert feeder.produced < len(records), "the load ended too early"
            scene.broker.kill()
            scene.broker.start()
        scene.wait_committed(600 * (count + 1), worker, limit_s=RECOVERY_S)
    scene.wait_caught_up(worker, limit_s=RECOVERY_S)
    scene.stop(worker)
    assert check(scene)[BLOCK_HISTORY] > 5


def test_a_broker_that_falls_silent_is_waited_for(scene: Scene) -> None:
    records = traffic(scene.seed, five_hours_ago(), 2_500)
    worker = scene.start()
    with scene.feeding(records) as feeder:
        scene.wait_committed(500, worker)
        assert feeder.produced < len(records), "the load ended too early"
        scene.silence(SILENCE_S)
        scene.wait_committed(1_200, worker, limit_s=RECOVERY_S)
    scene.wait_caught_up(worker, limit_s=RECOVERY_S)
    scene.stop(worker)
    assert check(scene)[BLOCK_HISTORY] > 5


def test_a_named_worker_whose_session_a_silent_broker_ended_goes_on_when_started_again(scene: Scene) -> None:
    """librdkafka takes a static member that comes back for another one of its name, and ends it: the supervisor's
    restart is part of the recovery."""
    records = traffic(scene.seed, five_hours_ago(), 1_500)
    worker = scene.start_named()
    with scene.feeding(records):
        scene.wait_committed(500, worker)
        scene.silence(SILENCE_S)
        scene.wait_until(
            lambda: worker.exit_code is not None or sum(scene.committed().values()) > 1_000, "either",
            limit_s=RECOVERY_S,
        )  # fmt: skip
        if worker.exit_code is not None:
            assert worker.exit_code == 1, worker.log
            worker = scene.start_named()
    scene.wait_caught_up(worker, limit_s=RECOVERY_S)
    scene.stop(worker)
    assert check(scene)[BLOCK_HISTORY] > 5


def test_answers_that_are_lost_or_late_lose_and_tear_nothing(scene: Scene) -> None:
    records = traffic(scene.seed, five_hours_ago(), 500 * (len(LOST) + 1))
    worker = scene.start(bootstrap_servers=scene.proxy.bootstrap)
    with scene.feeding(records) as feeder:
        scene.wait_committed(100, worker)
        for api, what in LOST:
            fault = scene.proxy.once(api, what)
            assert fault.happened.wait(LONG_S), (api, what)
            done = sum(scene.committed().values())
            if what == HOLD_ANSWER:
                # The answer to a producer that was replaced meanwhile.
                scene.wait_committed(done + 100, worker)
            fault.release()
            scene.wait_committed(done + 200, worker)
            assert feeder.produced < len(records), "the load ended too early"
    scene.wait_caught_up(worker)
    scene.stop(worker)
    assert check(scene)[BLOCK_HISTORY] > 5
