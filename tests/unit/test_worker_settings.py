"""The settings that a worker accepts."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import streams
from streams.delivery.guarantees import GUARANTEES
from streams.kafka.worker_config import consumer_config, producer_config
from streams.runtime.settings import DELIVERIES, WorkerSettings
from streams.runtime.start_from import SettingsProblem, StartFrom, parse_start_from

CLIENT = {"bootstrap.servers": "127.0.0.1:9092"}


def settings(**changes: object) -> WorkerSettings:
    return WorkerSettings(consumer=CLIENT, producer=CLIENT, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("earliest", StartFrom("earliest")),
        ("latest", StartFrom("latest")),
        ("1767225600000", StartFrom("timestamp", 1767225600000)),
        ("2026-01-01T00:00:00Z", StartFrom("timestamp", 1767225600000)),
        ("2026-01-01T09:00:00+09:00", StartFrom("timestamp", 1767225600000)),
    ],
)
def test_a_start_is_a_word_or_a_time(text: str, meant: StartFrom) -> None:
    assert parse_start_from(text) == meant


@pytest.mark.parametrize("text", ["", "beginning", "2026-01-01T00:00:00", "1767225600", "-1"])
def test_a_start_that_could_mean_two_things_is_refused(text: str) -> None:
    with pytest.raises(SettingsProblem, match="RFC 3339 with a zone"):
        parse_start_from(text)


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.0.2.1", "grayline.example"])
def test_a_web_server_beyond_the_machine_needs_a_token(bind: str) -> None:
    with pytest.raises(SettingsProblem, match="GRAYLINE_WEB_TOKEN"):
        settings(web_port=8080, web_bind=bind)
    assert settings(web_port=8080, web_bind=bind, web_token="t").web_bind == bind


@pytest.mark.parametrize("bind", ["127.0.0.1", "::1", "localhost"])
def test_a_web_server_on_loopback_needs_none(bind: str) -> None:
    assert settings(web_port=8080, web_bind=bind).loopback


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"commit_interval_ms": 0}, {"web_port": 70000}])
def test_a_number_out_of_range_is_named(wrong: dict[str, int]) -> None:
    with pytest.raises(SettingsProblem, match=str(next(iter(wrong.values())))):
        settings(**wrong)


def test_what_exactness_needs_cannot_be_configured_away() -> None:
    client = {**CLIENT, "enable.auto.commit": True, "auto.offset.reset": "latest", "enable.idempotence": False}
    told = WorkerSettings(consumer=client, producer=client)
    assert consumer_config(told)["enable.auto.commit"] is False
    assert consumer_config(told)["auto.offset.reset"] == "error"
    assert consumer_config(told)["partition.assignment.strategy"] == "range"
    for guarantee in GUARANTEES.values():
        assert producer_config(told, guarantee.producer)["enable.idempotence"] is True


def test_each_delivery_that_can_be_chosen_is_one_that_the_worker_has() -> None:
    assert tuple(GUARANTEES) == DELIVERIES


def test_clients_are_made_in_one_place() -> None:
    root = Path(streams.__file__).parent
    made = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Consumer", "Producer", "AdminClient")
    }
    assert made == {"kafka/clients.py"}


def test_only_inputs_can_be_read_besides_and_the_message_names_them() -> None:
    assert settings(topics=("reports", "control")).topics == ("reports", "control")
    with pytest.raises(SettingsProblem, match="--topics block-events: the inputs are message-relay, cdr, reports"):
        settings(topics=("reports", "block-events"))


def test_a_token_is_not_shown() -> None:
    assert "hush" not in repr(settings(web_token="hush"))
