"""Fixtures of the fault tests: one broker and one parent of workers for all of them, a fresh scene for each."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import broker_or_skip
from tests.faults.scene import BROKER, Scene
from tests.faults.traffic import RULES
from tests.faults.zygote import Zygote
from tests.kafka_broker import Broker
from tests.kafka_proxy import Proxy


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    rules = tmp_path_factory.mktemp("zygote") / "rules.yaml"
    rules.write_text(RULES)
    parent = Zygote(rules)
    yield parent
    parent.close()


@pytest.fixture(scope="session")
def proxy() -> Iterator[Proxy]:
    with Proxy() as made:
        yield made


@pytest.fixture(scope="session")
def fault_broker(zygote: Zygote, proxy: Proxy) -> Iterator[Broker]:
    """After the parent of the workers, which gets ready while the broker starts."""
    with broker_or_skip(settings=BROKER, proxy_port=proxy.port) as broker:
        proxy.target = broker.behind_proxy
        yield broker


@pytest.fixture
def seed() -> int:
    """Another one every run; GRAYLINE_SEED repeats one."""
    return int(os.environ.get("GRAYLINE_SEED") or random.SystemRandom().randrange(10**6))


@pytest.fixture
def scene(fault_broker: Broker, proxy: Proxy, zygote: Zygote, tmp_path: Path, seed: int) -> Iterator[Scene]:
    zygote.wait_ready()
    made = Scene(fault_broker, proxy, zygote, tmp_path, seed)
    yield made
    made.close()
