"""The newest Kafka: console tools, exactly-once delivery under kills and rebalances, topics made anew.

All other tests run on the oldest that is supported; `make test KAFKA=...` runs them on this one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from schemas.topics import BLOCK_EVENTS, BLOCK_HISTORY, CDR
from tests.conftest import missing
from tests.faults.check import check
from tests.faults.kills import PRODUCER, step
from tests.faults.scene import BROKER, Scene
from tests.faults.test_anew import made_anew_while_it_runs
from tests.faults.traffic import five_hours_ago, traffic
from tests.faults.zygote import Zygote
from tests.kafka_broker import NEWEST, Broker, KafkaUnavailable
from tests.kafka_proxy import Proxy


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with Proxy() as made:
        yield made


@pytest.fixture(scope="module")
def fault_broker(zygote: Zygote, proxy: Proxy) -> Iterator[Broker]:
    try:
        broker = Broker(settings=BROKER, version=NEWEST, proxy_port=proxy.port)
    except KafkaUnavailable as why:
        missing(str(why))
    with broker:
        proxy.target = broker.behind_proxy
        yield broker


def test_workers_that_come_and_are_killed_publish_each_change_once(scene: Scene) -> None:
    records = traffic(scene.seed, five_hours_ago(), 1_500)
    with scene.feeding(records):
        killed = scene.start(kill_at=step(f"{PRODUCER}.commit_transaction", "during", 5))
        scene.wait_until(lambda: killed.exit_code is not None, "it is killed")
        first, second = scene.start(), scene.start()
        scene.wait_until(lambda: "assigned: partitions=[" in second.log, "both are members", first, second)
        before = sum(scene.committed().values())
        scene.wait_committed(before + 200, first, second)
        scene.broker.kill()
        scene.broker.start()
    scene.wait_caught_up(first, second)
    scene.stop(second)
    scene.stop(first)
    assert check(scene)[BLOCK_HISTORY] > 5


def test_the_console_tools_write_and_read_as_ours_do(scene: Scene) -> None:
    lines = ["feed:skt|+8210,1\\n ü = #!", "feed:kt|+8211,gone", "feed:lgu|+8212,3"]
    scene.broker.console_producer(
        BLOCK_EVENTS, lines, key_separator=",", null_marker="gone", headers_delimiter="|"
    )  # fmt: skip
    found = {m.key(): (m.value(), m.headers(), m.partition()) for m in scene.read(BLOCK_EVENTS)}
    assert {key: (value, headers) for key, (value, headers, _) in found.items()} == {
        b"+8210": ("1\\n ü = #!".encode(), [("feed", b"skt")]),
        b"+8211": (None, [("feed", b"kt")]),
        b"+8212": (b"3", [("feed", b"lgu")]),
    }
    assert all(partition == scene.partition_of(key.decode()) for key, (_, _, partition) in found.items())
    shown = scene.broker.console_consumer(BLOCK_EVENTS, messages=3)
    assert sorted(shown) == ["+8210\t1\\n ü = #!", "+8211\tnull", "+8212\t3"]


def test_an_input_made_anew_is_refused(scene: Scene) -> None:
    made_anew_while_it_runs(scene, CDR)
