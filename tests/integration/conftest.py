"""Fixtures of the tests in which a group of workers runs while its rules change.

A module says BEFORE, the rules it starts with, AFTER, those whose kernels it needs too, and PARTITIONS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import broker_or_skip
from tests.faults.zygote import Zygote
from tests.integration.live import Live
from tests.kafka_broker import Broker


@pytest.fixture(scope="module")
def live_broker() -> Iterator[Broker]:
    with broker_or_skip() as broker:
        yield broker


@pytest.fixture(scope="module")
def live_zygote(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    file = tmp_path_factory.mktemp("zygote") / "rules.yaml"
    file.write_text(request.module.AFTER)
    parent = Zygote(file)
    yield parent
    parent.close()


@pytest.fixture
def live(request: pytest.FixtureRequest, live_broker: Broker, live_zygote: Zygote, tmp_path: Path) -> Iterator[Live]:
    made = Live(live_broker, live_zygote, tmp_path, request.module.PARTITIONS)
    made.rules_file.write_text(request.module.BEFORE)
    yield made
    made.close()
