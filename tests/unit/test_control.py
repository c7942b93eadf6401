"""The words of operators as records, and what a worker does with those that it cannot read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from rules.load import load_protected
from rules.registry import ALWAYS_MS, Entry
from schemas.numbers import normalise
from schemas.registry import ALLOWED, INSTITUTION
from schemas.topics import CONTROL_GLOBAL, TOPICS
from streams.holds import registry_records
from streams.holds.pause import PAUSE_KEY, Pause, pause_of
from streams.holds.registry_records import record_of, told_entry
from streams.kafka.ownership import Refused
from streams.kafka.settings import KafkaSettings
from streams.kafka.topics import create
from streams.runtime.settings import WorkerSettings
from streams.runtime.start_from import SettingsProblem
from streams.worker import control
from streams.worker.control import ControlUnread, ControlWatch, Said
from tests.kafka_broker import Broker

PAUSE = Pause("id-1", True, 1_794_798_000_000, "kim", "a feed runs wild")


def test_a_pause_is_a_compacted_record_of_one_partition_and_reads_back_as_itself() -> None:
    record = PAUSE.record()
    assert (record.topic, record.key, record.partition) == (CONTROL_GLOBAL, PAUSE_KEY, 0)
    assert pause_of(record.value) == PAUSE
    spec = TOPICS[CONTROL_GLOBAL]
    assert (spec.partitions, spec.partitions_like_input, spec.config["cleanup.policy"]) == (1, False, "compact")


def test_a_tombstone_ends_a_pause_and_what_is_none_is_refused() -> None:
    assert pause_of(None) is None
    for value in (b"", b"{}", b'{"id":"x","at":1,"paused":"yes"}', b"\xff"):
        with pytest.raises(ValueError, match="a record `pause` on control-global cannot be read"):
            pause_of(value)


def test_a_pause_is_over_at_its_end_and_one_without_an_end_never() -> None:
    ends = replace_end(PAUSE, PAUSE.at + 1000)
    assert ends.as_of(PAUSE.at + 999) == ends
    assert ends.as_of(PAUSE.at + 1000) == Pause("id-1", False, PAUSE.at, "kim", "a feed runs wild", PAUSE.at + 1000)
    assert PAUSE.as_of(1 << 60) is PAUSE


def replace_end(pause: Pause, until_ms: int) -> Pause:
    return Pause(pause.id, pause.paused, pause.at, pause.operator, pause.reason, until_ms)


class _Message:
    def __init__(self, key: bytes | None, value: bytes | None, code: int | None = None) -> None:
        self._key, self._value, self._code = key, value, code

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def error(self) -> KafkaError | None:
        return None if self._code is None else KafkaError(self._code)


END = _Message(None, None, KafkaError._PARTITION_EOF)


class _Consumer:
    """Hands out what it is given, poll by poll; a broker's odd answers cannot be had from a real one."""

    def __init__(self, polls: list[list[_Message]]) -> None:
        self.polls, self.is_down = polls, False

    def list_topics(self, topic: str, timeout: float) -> Any:
        if self.is_down:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))

        class Found:
            topics = {topic: type("Topic", (), {"error": None, "partitions": {0: None}})}  # noqa: RUF012

        return Found

    def get_watermark_offsets(self, place: Any, timeout: float) -> tuple[int, int]:
        return 0, 9

    def assign(self, places: list[Any]) -> None: ...

    def consume(self, count: int, timeout: float) -> list[_Message]:
        return self.polls.pop(0) if self.polls else []


class _Clients:
    def __init__(self, *polls: list[_Message]) -> None:
        self.made = _Consumer(list(polls))

    def consumer(self, config: Mapping[str, object]) -> _Consumer:
        assert "group.instance.id" not in config, "a static member has one consumer only"
        return self.made


def watch(*polls: list[_Message]) -> ControlWatch:
    return ControlWatch(_Clients(*polls), {"group.instance.id": "worker-1"})  # type: ignore[arg-type]


def test_the_newest_word_holds_and_others_keys_are_not_ours() -> None:
    later = Pause("id-2", False, 1_794_798_001_000)
    told = watch([_Message(PAUSE_KEY, PAUSE.row())], [_Message(b"allow", b"{}"), _Message(PAUSE_KEY, later.row()), END])
    assert told.start().pause == later
    assert told.poll().pause == later


def test_a_word_that_cannot_be_read_does_not_end_a_pause() -> None:
    told = watch([_Message(PAUSE_KEY, PAUSE.row()), END], [_Message(PAUSE_KEY, b"{")])
    told.start()
    assert told.poll().pause == PAUSE


def test_a_broker_that_goes_away_leaves_the_word_as_it_was_and_one_that_refuses_stops_the_start() -> None:
    refused = _Message(None, None, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    told = watch([_Message(PAUSE_KEY, PAUSE.row()), END], [refused])
    told.start()
    assert told.poll().pause == PAUSE
    with pytest.raises(Refused, match="lacks the right Read"):
        watch([refused]).start()
    with pytest.raises(ControlUnread, match="cannot be read"):
        watch([_Message(None, None, KafkaError.KAFKA_STORAGE_ERROR)]).start()


ENTRY = Entry(ALLOWED, 0, 821055500101, ALWAYS_MS, 1_900_000_000_000, "relay7", "its gateway")
OTHER = Entry(INSTITUTION, 6, 822210, 1_700_000_000_000, 1_900_000_000_000, "a ministry", "its exchange")


def entry_message(entry: Entry, is_over: bool = False) -> _Message:
    record = record_of(entry, "id", 1_794_798_000_000, "kim")
    return _Message(record.key, None if is_over else record.value)


def entries(said: Said) -> list[Entry]:
    return [said.registry.entry(i) for i in range(len(said.registry))]


def test_an_entry_reads_back_as_itself_and_lies_on_the_compacted_topic() -> None:
    for entry in (ENTRY, OTHER):
        record = record_of(entry, "id", 1_794_798_000_000, "kim")
        assert (record.topic, record.partition) == (CONTROL_GLOBAL, 0)
        assert told_entry(record.key or b"", record.value or b"") == entry
    assert record_of(OTHER, "id", 1, "").key == b"registry/institution/+822210*"


def test_entries_are_taken_replaced_and_taken_back_key_by_key() -> None:
    longer = replace(ENTRY, until_ms=1_900_000_000_001)
    told = watch(
        [entry_message(ENTRY), entry_message(OTHER), END], [entry_message(longer)], [entry_message(ENTRY)],
        [entry_message(OTHER, is_over=True), entry_message(OTHER, is_over=True)],
    )  # fmt: skip
    first = told.start()
    assert entries(first) == [ENTRY, OTHER]
    assert entries(told.poll()) == [longer, OTHER]
    assert told.poll().registry.version == first.registry.version, "as it was"
    last = told.poll()
    assert entries(last) == [ENTRY]
    assert told.poll().registry is last.registry, "nothing changed"


def test_an_entry_that_was_taken_back_while_the_topic_could_not_be_read_is_gone_and_not_before_its_end_is_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its tombstone may be gone as well: the topic is compacted."""
    monkeypatch.setattr(control, "MISSING_QUIET_S", 0.0)
    refused = _Message(None, None, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    told = watch(
        [_Message(PAUSE_KEY, PAUSE.row()), entry_message(ENTRY), entry_message(OTHER), END], [refused],
        [entry_message(OTHER)], [END],
    )  # fmt: skip
    assert entries(told.start()) == [ENTRY, OTHER]
    for _ in range(2):
        said = told.poll()
        assert (entries(said), said.pause) == ([ENTRY, OTHER], PAUSE)
    said = told.poll()
    assert (entries(said), said.pause) == ([OTHER], None)


BAD_ENTRIES = {
    b"registry/allowed/+821055500101": [b"", b"{}", b'{"id":"x","at":1,"until":5,"owner":"o","reason":"r"}', b"\xff"],
    b"registry/allowed/010-5550-0101": [record_of(ENTRY, "id", 1, "").value],
    b"registry/allowed/1366": [record_of(ENTRY, "id", 1, "").value],
    b"registry/sender/+821055500101": [record_of(ENTRY, "id", 1, "").value],
    b"registry/\xff": [record_of(ENTRY, "id", 1, "").value],
}


@pytest.mark.parametrize("key", BAD_ENTRIES)
def test_an_entry_that_cannot_be_used_leaves_its_key_as_it_was_and_the_log_shows_no_number(
    key: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    for value in BAD_ENTRIES[key]:
        told = watch([entry_message(ENTRY), END], [_Message(key, value)])
        told.start()
        caplog.clear()
        assert entries(told.poll()) == [ENTRY]
        assert "an entry on control-global cannot be" in caplog.text
        assert "5550" not in caplog.text


def test_entries_beyond_the_bound_are_not_taken_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_records, "TOLD_MAX", 1)
    told = watch([entry_message(ENTRY), entry_message(OTHER), entry_message(ENTRY), END])
    assert entries(told.start()) == [ENTRY]
    assert "more than 1 entries on control-global: put them into a file" in caplog.text


def test_a_broker_without_the_topic_lets_the_worker_start_unpaused(kafka: Broker) -> None:
    from streams.kafka.clients import Clients

    config = KafkaSettings(brokers=kafka.bootstrap).consumer("control")
    told = ControlWatch(Clients(), config)
    try:
        if CONTROL_GLOBAL not in told._consumer.list_topics(timeout=10).topics:
            assert told.start() == Said()
        create(KafkaSettings(brokers=kafka.bootstrap), 1, specs=[TOPICS[CONTROL_GLOBAL]])
    finally:
        told.close()


@pytest.mark.parametrize("name", ["breaker_opens", "breaker_factor"])
def test_limits_of_the_breaker_below_nothing_are_refused(name: str) -> None:
    with pytest.raises(SettingsProblem, match=f"{name} is -1"):
        WorkerSettings({}, {}, **{name: -1})  # type: ignore[arg-type]


def test_institutions_that_anybody_may_need_are_protected() -> None:
    protected = load_protected()
    for spelled in ("1577-0199", "1588-9191", "+82 1577 1000", "02-3210-0404", "02-2100-0001"):
        assert protected.covers(normalise(spelled).key), spelled
    for short in ("112", "119", "109", "1339", "02-112"):
        assert normalise(short).key < 0, f"{short} is no E.164 number, and is never blocked"
