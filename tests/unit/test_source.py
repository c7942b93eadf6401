"""From polled messages to an epoch's columns, over librdkafka's own in-process broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from streams.kafka.embedded import EmbeddedBroker
from streams.kafka.polls import epoch_of, goes_back, still_owned

TOPICS = ("message-relay", "cdr")
CODES = {topic: code for code, topic in enumerate(TOPICS)}


@pytest.fixture(scope="module")
def messages() -> Iterator[list[Message]]:
    """300 messages of two topics and three partitions, in the order one poll gave them."""
    with EmbeddedBroker(partitions=3) as broker:
        broker.create_topics(list(TOPICS))
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        for i in range(300):
            value = None if i == 7 else b"v%d" % i
            producer.produce(TOPICS[i % 2], value, partition=i % 3, timestamp=1767225600000 + i)
        producer.flush()
        consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "g"})
        consumer.assign([TopicPartition(topic, partition, 0) for topic in TOPICS for partition in range(3)])
        polled: list[Message] = []
        while len(polled) < 300:
            polled += consumer.consume(300 - len(polled), 1.0)
        yield polled
        consumer.close()


def test_every_message_lies_in_its_topics_batch_at_its_place_of_arrival(messages: list[Message]) -> None:
    epoch = epoch_of(messages, TOPICS, CODES, Message)
    assert epoch.count == 300
    seen = {}
    for raw in epoch.batches:
        columns = zip(raw.order, raw.partition, raw.offset, raw.timestamp, raw.values, strict=True)
        for order, partition, offset, timestamp, value in columns:
            seen[int(order)] = (raw.topic, int(partition), int(offset), int(timestamp), value)
    expected = [(m.topic(), m.partition(), m.offset(), m.timestamp()[1], m.value()) for m in messages]
    assert [seen[i] for i in range(300)] == expected
    assert None in [value for raw in epoch.batches for value in raw.values]


def test_the_next_offsets_are_behind_the_last_record_of_each_partition(messages: list[Message]) -> None:
    epoch = epoch_of(messages[:100], TOPICS, CODES, Message)
    expected: dict[tuple[str, int], int] = {}
    for message in messages[:100]:
        expected[message.topic(), message.partition()] = message.offset() + 1
    assert epoch.next_offsets == expected


def test_one_topic_takes_the_short_way_to_the_same_columns(messages: list[Message]) -> None:
    own = [message for message in messages if message.topic() == "cdr"]
    short = epoch_of(own, ("cdr",), {"cdr": 0}, Message)
    long = epoch_of(own, TOPICS, CODES, Message)
    for name in ("order", "partition", "offset", "timestamp", "values"):
        assert list(getattr(short.batches[0], name)) == list(getattr(long.batches[0], name)), name
    assert short.next_offsets == long.next_offsets


def test_a_rebalance_inside_a_poll_leaves_each_offset_once_and_no_foreign_partition(messages: list[Message]) -> None:
    before, after = messages[:120], messages[60:]  # 60 of them were gathered twice
    position = {(topic, partition): 0 for topic in TOPICS for partition in (0, 1)}  # partition 2 went to another worker
    kept = still_owned(before + after, position)
    assert kept == [message for message in messages if message.partition() != 2]


def test_what_another_worker_counted_meanwhile_is_not_counted_again(messages: list[Message]) -> None:
    own = [message for message in messages if (message.topic(), message.partition()) == ("cdr", 1)]
    kept = still_owned(own, {("cdr", 1): 20})
    assert [message.offset() for message in kept] == list(range(20, len(own)))


def test_an_epoch_that_goes_back_behind_a_rebalance_is_told_from_one_that_goes_on(messages: list[Message]) -> None:
    own = [message for message in messages if message.topic() == "cdr" and message.partition() < 2]
    epoch = epoch_of(own, TOPICS, CODES, Message)
    firsts = {("cdr", partition): 0 for partition in (0, 1)}
    assert not goes_back(epoch, firsts)
    assert goes_back(epoch, firsts | {("cdr", 1): 1})
    assert not goes_back(epoch, {("message-relay", 1): 1000, ("cdr", 2): 1000})
