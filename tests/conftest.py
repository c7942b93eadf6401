"""Fixtures that several test files share: a real Kafka, and kcat beside it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from click.testing import CliRunner

# Test helpers (`tests.kafka_broker`) are imported by their full name whichever way pytest was started. At the end of
# the path, so that nothing of the checkout shadows an installed package.
ROOT = str(Path(__file__).parents[1])
if ROOT not in sys.path:
    sys.path.append(ROOT)

from streams.cli import command  # noqa: E402
from tests.kafka_broker import Broker, KafkaUnavailable  # noqa: E402


@pytest.fixture(scope="session")
def kafka() -> Iterator[Broker]:
    """A running Apache Kafka without topics; tests name their topics so that they do not meet."""
    with broker_or_skip() as broker:
        yield broker


def broker_or_skip(**settings: Any) -> Broker:
    """A broker to start, with these settings of Broker's; skips the test where Java or Maven is missing."""
    try:
        return Broker(**settings)
    except KafkaUnavailable as why:
        missing(str(why))


@contextmanager
def broker_with_topics(partitions: int) -> Iterator[Broker]:
    """A running broker on which the command line has made the topics."""
    with broker_or_skip() as broker:
        asked = ["topics", "create", "--brokers", broker.bootstrap, "--partitions", str(partitions)]
        done = CliRunner().invoke(command, asked)
        assert done.exit_code == 0, done.output
        yield broker


@pytest.fixture(scope="session")
def kcat() -> str:
    """The path of kcat, a Kafka client that is neither ours nor Java's."""
    path = shutil.which("kcat") or shutil.which("kafkacat")
    return path or missing("no `kcat` on the PATH: `apt-get install kcat`")


def missing(why: str) -> NoReturn:
    """Skips a test for a tool that a developer's machine may lack; in CI nothing may be missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


WAITING = ("docs", "faults", "integration", "sim")  # folders of tests that mostly wait for other processes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that wait for brokers and files that compute take turns, so that neither is left for the end alone."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)
        files.setdefault(item.path, []).append(item)
    waiting = [path for path in files if path.relative_to(Path(__file__).parent).parts[0] in WAITING]
    computing = [path for path in files if path not in waiting]
    # Those that wait are the longest: all have begun when three quarters of the others have.
    place = {path: 0.75 * i / len(waiting) for i, path in enumerate(waiting)}
    place |= {path: i / len(computing) for i, path in enumerate(computing)}
    items[:] = [item for path in sorted(place, key=place.__getitem__) for item in files[path]]
