"""The embedded broker does what its module says, its limits included."""

from __future__ import annotations

import subprocess

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.kafka.embedded import AUTO_CREATED_PARTITIONS, PARTITION_BYTES_MAX, EmbeddedBroker
from streams.kafka.settings import KafkaProblem, KafkaSettings

QUIET = {"log_level": "0"}


def read_all(broker: EmbeddedBroker, topic: str, partitions: int) -> list[Message]:
    consumer = Consumer(
        KafkaSettings(broker.bootstrap, QUIET).consumer("readers", offset_reset="earliest")
        | {"enable.partition.eof": True}
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    messages, open_partitions = [], set(range(partitions))
    while open_partitions:
        message = consumer.poll(10.0)
        assert message is not None, "nothing came within 10 s"
        if message.error() is None:
            messages.append(message)
        else:
            assert message.error().code() == KafkaError._PARTITION_EOF
            open_partitions.discard(message.partition())
    consumer.close()
    return messages


def test_topics_are_made_with_the_wanted_partitions() -> None:
    with EmbeddedBroker(partitions=7) as broker:
        broker.create_topics(["message-relay", "cdr"])
        broker.create_topics(["control-global"], partitions=1)
        topics = AdminClient(KafkaSettings(broker.bootstrap, QUIET).common()).list_topics(timeout=10).topics
        assert {name: len(topic.partitions) for name, topic in topics.items()} == {
            "message-relay": 7,
            "cdr": 7,
            "control-global": 1,
        }


def test_a_topic_that_exists_cannot_be_made_again() -> None:
    with EmbeddedBroker() as broker:
        broker.create_topics(["cdr"])
        with pytest.raises(KafkaProblem, match="cdr"):
            broker.create_topics(["cdr"])


def test_a_topic_that_a_producer_names_first_appears_with_librdkafkas_own_count() -> None:
    with EmbeddedBroker(partitions=2) as broker:
        producer = Producer(KafkaSettings(broker.bootstrap, QUIET).producer())
        producer.produce("surprise", b"value")
        assert producer.flush(10) == 0
        topic = producer.list_topics("surprise", timeout=10).topics["surprise"]
        assert len(topic.partitions) == AUTO_CREATED_PARTITIONS


def test_keys_headers_timestamps_and_tombstones_come_back_as_sent() -> None:
    with EmbeddedBroker(partitions=3) as broker:
        broker.create_topics(["block-events"])
        producer = Producer(KafkaSettings(broker.bootstrap, QUIET).producer())
        headers = [("__connect.errors.topic", b"cdr"), ("twice", b"1"), ("twice", b"2")]
        producer.produce("block-events", b"{}", key=b"+821000000001", headers=headers, timestamp=1_600_000_000_123)
        producer.produce("block-events", None, key=b"+821000000001")
        assert producer.flush(10) == 0
        first, second = read_all(broker, "block-events", 3)
        assert (first.key(), first.value(), first.headers()) == (b"+821000000001", b"{}", headers)
        assert first.timestamp()[1] == 1_600_000_000_123
        assert second.value() is None
        assert first.partition() == second.partition()


def test_a_partition_drops_its_oldest_records_past_its_bound() -> None:
    with EmbeddedBroker(partitions=1) as broker:
        broker.create_topics(["cdr"])
        producer = Producer(
            KafkaSettings(broker.bootstrap, {**QUIET, "compression.type": "none", "batch.size": "100000"}).producer()
        )
        sent = 2 * PARTITION_BYTES_MAX // 10_000
        for index in range(sent):
            producer.produce("cdr", index.to_bytes(4, "big") + bytes(9_996), partition=0)
            producer.poll(0)
        assert producer.flush(30) == 0
        kept = [int.from_bytes(message.value()[:4], "big") for message in read_all(broker, "cdr", 1)]
        assert kept == list(range(sent - len(kept), sent)), "the newest are kept, without a gap"
        assert 0.9 * PARTITION_BYTES_MAX < 10_000 * len(kept) < 1.1 * PARTITION_BYTES_MAX


def test_other_processes_can_connect(kcat: str) -> None:
    with EmbeddedBroker(partitions=2) as broker:
        broker.create_topics(["reports"])
        kcat_to = [kcat, "-b", broker.bootstrap, "-t", "reports"]
        subprocess.run([*kcat_to, "-P", "-K", "|"], input=b"key|value\n", check=True, timeout=30)
        read = subprocess.run(
            [*kcat_to, "-C", "-e", "-q", "-f", "%k=%s\n"], capture_output=True, check=True, timeout=30
        )
        assert read.stdout == b"key=value\n"


def test_two_brokers_live_side_by_side_and_end_cleanly() -> None:
    with EmbeddedBroker() as one, EmbeddedBroker() as other:
        assert one.bootstrap != other.bootstrap
    assert one.bootstrap == ""
    with pytest.raises(KafkaProblem, match="not running"):
        one.create_topics(["cdr"])
    one.start()
    one.create_topics(["cdr"])
    one.stop()
