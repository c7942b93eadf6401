"""Records that come in columns are those that come as messages; nothing of librdkafka's is kept."""

from __future__ import annotations

import gc
import resource
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.topics import REKEYED
from streams.ingest.epoch import Place, RawBatch
from streams.ingest.feed_codes import Feeds
from streams.ingest.packed import Packed
from streams.kafka import native, native_check
from streams.kafka.columns import ColumnPoll, PackedHeaders
from streams.kafka.embedded import EmbeddedBroker
from streams.kafka.native import Library, Unfit
from streams.kafka.polls import epoch_of, errors_in, goes_back, still_owned, without_errors
from streams.kafka.reconnecting import LastingConsumer
from tests.sim.clients import packed

PARTITIONS = 2
FAST = {"fetch.wait.max.ms": 5, "fetch.queue.backoff.ms": 1, "enable.partition.eof": True, "log_level": 0}
END = KafkaError._PARTITION_EOF


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(PARTITIONS) as broker:
        yield broker


@pytest.fixture(scope="module")
def library() -> Library:
    return Library()


texts = st.none() | st.binary(max_size=40)
names = st.sampled_from(["feed", "trace", "fee", "feeds", ""]) | st.text(st.characters(min_codepoint=1), max_size=4)
headers = st.none() | st.lists(st.tuples(names, texts), max_size=4)
# (which topic, partition, key, value, headers)
records = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, PARTITIONS - 1), texts, texts, headers), min_size=1, max_size=60
)


def written(broker: EmbeddedBroker, told: list[tuple[Any, ...]], topics: tuple[str, str]) -> None:
    broker.create_topics(topics)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    for i, (topic, partition, key, value, own) in enumerate(told):
        producer.produce(topics[topic], value, key, partition, timestamp=1_700_000_000_000 + i, headers=own or None)
    assert producer.flush(10) == 0


def lasting(broker: EmbeddedBroker, library: Library | None, **more: Any) -> LastingConsumer:
    config = {"bootstrap.servers": broker.bootstrap, "group.id": uuid.uuid4().hex, **FAST, **more}
    return LastingConsumer(lambda: Consumer(config), None if library is None else library.forwarding)


def all_of(consumer: LastingConsumer, places: list[Place], most: int = 7) -> list[Any]:
    """The polls until every place has come to its end."""
    consumer.forward(places)
    consumer.assign([TopicPartition(*place, 0) for place in places])
    polls, ended = [], set()
    while ended != set(places):
        polled = consumer.consume(most, 0.02)
        ended |= {(e.topic(), e.partition()) for e in errors_in(polled, Message) if e.error().code() == END}
        polls.append(without_errors(polled))
    return polls


def rows(polls: list[Any], topics: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Everything that an epoch holds of each record, sorted by place."""
    codes = {topic: code for code, topic in enumerate(topics)}
    found = []
    for polled in polls:
        epoch = epoch_of(polled, topics, codes, Message)
        for raw in epoch.batches:
            assert list(raw.order) == sorted(raw.order)
            for i in range(len(raw.order)):
                found.append((
                    raw.topic, int(raw.partition[i]), int(raw.offset[i]), int(raw.timestamp[i]), raw.values[i],
                    raw.keys[i] if raw.keys else None, raw.feeds[i] if raw.feeds else None,
                    raw.headers[i] if raw.headers is not None else None,
                    raw.with_headers[i] if raw.with_headers else None,
                ))  # fmt: skip
        assert sorted(order for raw in epoch.batches for order in raw.order) == list(range(epoch.count))
    return sorted(found, key=lambda row: row[:3])


@settings(max_examples=10, deadline=None)
@given(told=records, most=st.integers(1, 40))
def test_columns_hold_what_messages_hold(
    broker: EmbeddedBroker, library: Library, told: list[tuple[Any, ...]], most: int
) -> None:
    topics = (uuid.uuid4().hex, uuid.uuid4().hex)
    written(broker, told, topics)
    places = [(topic, partition) for topic in topics for partition in range(PARTITIONS)]
    found = []
    for each in (library, None):
        consumer = lasting(broker, each)
        found.append(rows(all_of(consumer, places, most), topics))
        consumer.close()
    assert found[0] == found[1]
    assert len(found[0]) == len(told)


def test_values_lie_together_as_the_decoder_wants_them(broker: EmbeddedBroker, library: Library) -> None:
    topics = (uuid.uuid4().hex, uuid.uuid4().hex)
    written(broker, [(i % 2, 0, b"k", b"v%d" % i if i % 3 else None, None) for i in range(20)], topics)
    consumer = lasting(broker, library)
    [first, *_] = [polled for polled in all_of(consumer, [(topic, 0) for topic in topics], 1000) if len(polled)]
    consumer.close()
    for raw in first.epoch().batches:
        buffer, ends = raw.values.laid_out()
        begins = np.concatenate(([0], ends[:-1]))
        texts = [bytes(buffer[begin:end]) for begin, end in zip(begins, ends, strict=True)]
        assert texts == [value or b"" for value in raw.values]
        assert len(buffer) >= ends[-1] + 16


# -- what is left out behind a rebalance -----------------------------------------------------------------------------

offsets = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 2), st.integers(0, 12)), max_size=40)
positions = st.dictionaries(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 2)), st.integers(0, 12))


class Polled:
    """A message with a place alone."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        self.topic, self.partition, self.offset = (lambda: topic), (lambda: partition), (lambda: offset)


def in_columns(told: list[tuple[str, int, int]]) -> ColumnPoll:
    batches = []
    for topic in sorted({topic for topic, _, _ in told}):
        order = np.array([i for i, each in enumerate(told) if each[0] == topic])
        partition, offset = np.array([told[i][1:] for i in order]).T
        at, length = np.zeros(len(order), np.int64), np.full(len(order), -1)
        nothing = Packed(np.zeros(16, np.uint8), at, length)
        with_headers = PackedHeaders(at, at, nothing, nothing)
        batches.append(RawBatch(topic, order, partition, offset, at, nothing, nothing, nothing, None, with_headers))
    return ColumnPoll(batches)


@given(told=offsets, position=positions)
def test_columns_are_left_out_as_messages_are(told: list[tuple[str, int, int]], position: dict[Place, int]) -> None:
    messages: Any = [Polled(*each) for each in told]
    expected = [(m.topic(), m.partition(), m.offset()) for m in still_owned(messages, position)]
    kept = still_owned(in_columns(told), position)
    found = {}
    for raw in kept.epoch().batches:
        for order, partition, offset in zip(raw.order, raw.partition, raw.offset, strict=True):
            found[int(order)] = (raw.topic, int(partition), int(offset))
        assert len(raw.values) == len(raw.keys) == len(raw.feeds) == len(raw.with_headers) == len(raw.order)
    assert [found[i] for i in range(len(found))] == expected
    assert not goes_back(kept.epoch(), position)


@given(st.lists(st.none() | st.binary(max_size=4) | st.text(max_size=140).map(str.encode), min_size=1, max_size=20))
def test_headers_in_columns_name_the_feeds_that_headers_name(named: list[bytes | None]) -> None:
    feeds, n = Feeds(), len(named)
    assert list(feeds.codes("x", packed(named), [], n)) == list(feeds.codes("x", named, [], n))


# -- assignments, pauses and the end ---------------------------------------------------------------------------------


def test_a_partition_that_comes_back_is_read_from_where_it_is_assigned(
    broker: EmbeddedBroker, library: Library
) -> None:
    topics = (uuid.uuid4().hex, uuid.uuid4().hex)
    written(broker, [(0, i % 2, None, b"v%d" % i, None) for i in range(40)], topics)
    consumer = lasting(broker, library)
    places = [(topics[0], 0), (topics[0], 1)]
    for _ in range(3):
        found = rows(all_of(consumer, places), topics)
        assert [row[1:3] for row in found] == [(p, offset) for p in (0, 1) for offset in range(20)]
        consumer.unassign()
    consumer.close()


def test_a_paused_partition_gives_nothing_and_goes_on_behind_what_was_taken(
    broker: EmbeddedBroker, library: Library
) -> None:
    topics = (uuid.uuid4().hex, uuid.uuid4().hex)
    written(broker, [(0, i % 2, None, b"v", None) for i in range(60)], topics)
    consumer = lasting(broker, library)
    places = [(topics[0], 0), (topics[0], 1)]
    consumer.forward(places)
    consumer.assign([TopicPartition(*place, 0) for place in places])
    polls: list[Any] = []
    while (topics[0], 1) not in {(t, p) for t, p, *_ in rows(polls, topics)}:
        polls.append(without_errors(consumer.consume(5, 0.02)))
    consumer.pause([TopicPartition(topics[0], 1)])
    while True:
        polled = consumer.consume(5, 0.02)
        polls.append(without_errors(polled))
        if any(e.partition() == 0 for e in errors_in(polled, Message)):
            break
    before = rows(polls, topics)
    assert [offset for _, p, offset, *_ in before if p == 0] == list(range(30))
    assert len(before) < 60
    consumer.resume([TopicPartition(topics[0], 1)])
    while len(rows(polls, topics)) < 60:
        polls.append(without_errors(consumer.consume(5, 0.02)))
    assert [row[1:3] for row in rows(polls, topics)] == [(p, offset) for p in (0, 1) for offset in range(30)]
    consumer.close()


def test_an_offset_that_is_gone_is_the_error_it_was(broker: EmbeddedBroker, library: Library) -> None:
    topics = (uuid.uuid4().hex, uuid.uuid4().hex)
    written(broker, [(0, 0, None, b"v", None)], topics)
    told = []
    for each in (library, None):
        consumer = lasting(broker, each, **{"auto.offset.reset": "error"})
        consumer.forward([(topics[0], 0)])
        consumer.assign([TopicPartition(topics[0], 0, 1000)])
        errors: list[Any] = []
        while not errors:
            errors = list(errors_in(consumer.consume(10, 0.05), Message))
        told.append([(e.error().code(), e.error().str(), e.topic(), e.partition(), e.error().fatal()) for e in errors])
        consumer.close()
    assert told[0] == told[1]
    assert told[0][0][0] == KafkaError._AUTO_OFFSET_RESET


def test_a_consumer_that_nobody_closes_ends_with_records_waiting(broker: EmbeddedBroker, library: Library) -> None:
    topics = (uuid.uuid4().hex, uuid.uuid4().hex)
    written(broker, [(0, 0, None, b"v", None)] * 500, topics)
    consumer = lasting(broker, library)
    consumer.forward([(topics[0], 0)])
    consumer.assign([TopicPartition(topics[0], 0, 0)])
    while not len(consumer.consume(1, 0.05)):
        pass
    del consumer
    gc.collect()


def test_memory_is_given_back(broker: EmbeddedBroker, library: Library) -> None:
    topics = (uuid.uuid4().hex, uuid.uuid4().hex)
    written(broker, [(0, 0, b"k" * 20, bytes(2000), [("feed", b"f")])] * 1500, topics)
    consumer = lasting(broker, library)
    peaks_kb = []
    for turn in range(60):  # 3 MB each: 180 MB of values alone
        assert sum(map(len, all_of(consumer, [(topics[0], 0)], 500))) == 1500
        consumer.unassign()
        if turn in (9, 59):
            peaks_kb.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    consumer.close()
    assert peaks_kb[1] - peaks_kb[0] < 60_000


# -- where it cannot be ----------------------------------------------------------------------------------------------


def test_the_check_passes_here() -> None:
    assert native_check.library_or_none() is not None


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda m: m.setattr(native, "VERSIONS", ((1, 0),)), id="version"),
        pytest.param(
            lambda m: m.setitem(native._FUNCTIONS, "rd_kafka_no_such_function", (None, [])), id="lacks a function"
        ),
        pytest.param(lambda m: m.setattr(native_check, "LIMIT_S", 0.0), id="nothing comes"),
        pytest.param(lambda m: m.setattr(native_check, "START_MS", 5), id="differ"),
        pytest.param(lambda m: m.setattr(native_check, "EmbeddedBroker", None), id="a mistake"),
        pytest.param(lambda m: m.setattr(native.Forwarding, "forward", lambda self, places: None), id="nothing comes"),
    ],
)
def test_anything_unexpected_leaves_records_to_come_as_messages(
    broken: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken(monkeypatch)
    if native_check.START_MS == 5:
        monkeypatch.setattr(native_check, "_expected", list)
    if native_check.LIMIT_S:
        monkeypatch.setattr(native_check, "LIMIT_S", 0.5)
    assert native_check.library_or_none() is None
    [told] = caplog.records
    assert "records are fetched as messages" in told.message


def test_a_consumer_object_of_another_kind_is_refused(library: Library) -> None:
    with pytest.raises(Unfit, match="no handle"):
        library.handle(Producer({"log_level": 0}))
    with pytest.raises(Unfit, match="no handle"):
        library.handle(object())


def test_clients_without_a_library_fetch_messages(broker: EmbeddedBroker) -> None:
    consumer = lasting(broker, None)
    assert consumer.consume(1, 0.0) == []
    consumer.close()


def test_records_of_rekeyed_keep_all_headers_and_no_key(broker: EmbeddedBroker, library: Library) -> None:
    written(broker, [(0, 0, b"k", b"v", [("a", b"1"), ("feed", b"f")]), (0, 0, b"k", b"w", None)], (REKEYED, "x"))
    consumer = lasting(broker, library)
    found = [raw for polled in all_of(consumer, [(REKEYED, 0)], 100) for raw in polled.epoch().batches]
    consumer.close()
    assert [headers for raw in found for headers in raw.headers] == [[("a", b"1"), ("feed", b"f")], []]
    assert {(raw.keys, raw.feeds, raw.with_headers) for raw in found} == {(None, None, None)}
