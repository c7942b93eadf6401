"""Fault 25 of docs/reliability.md: the broker is gone for long, and comes back at another address."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from schemas.topics import BLOCK_HISTORY
from tests.faults.check import check
from tests.faults.scene import Scene
from tests.faults.traffic import five_hours_ago, traffic
from tests.kafka_proxy import CUT, Proxy

MINUTES = float(os.environ.get("GRAYLINE_SOAK_MINUTES") or 0)
# Longer than sessions, transactions and whatever a client waits before it gives its broker up; `make soak`: an hour.
OUTAGE_S = 60 * MINUTES or 10.0
RECOVERY_S = 120.0


@pytest.mark.timeout(60 * MINUTES + 600)
def test_a_broker_that_is_gone_for_long_and_comes_back_at_another_address_is_found(scene: Scene) -> None:
    records = traffic(scene.seed, five_hours_ago(), 1_000)
    with Proxy() as elsewhere:
        elsewhere.target = scene.proxy.target
        worker = scene.start(bootstrap_servers=f"{scene.proxy.bootstrap},{elsewhere.bootstrap}")
        scene.feed(records[:500])
        scene.wait_until(lambda: scene.lag() == 0, "all are counted", worker)
        with moved_away(scene, elsewhere):
            scene.feed(records[500:])
            scene.wait_caught_up(worker, limit_s=RECOVERY_S)
            scene.stop(worker)
            assert check(scene)[BLOCK_HISTORY] > 5
    assert OUTAGE_S < 60 or "not ready: no broker has answered" in worker.log


@contextmanager
def moved_away(scene: Scene, elsewhere: Proxy) -> Iterator[None]:
    """The broker is gone for OUTAGE_S, and then at the other proxy's address; nobody is at its old one any more. In the
    end it is where it was, for other tests."""
    scene.broker.kill()
    scene.proxy.take_away(CUT)
    try:
        scene.broker.move(elsewhere.port)
        time.sleep(OUTAGE_S)  # the fault itself: nothing is waited for
        scene.broker.start()
        yield
    finally:
        scene.broker.kill()
        scene.broker.move(scene.proxy.port)
        scene.proxy.bring_back()
        scene.broker.start()
