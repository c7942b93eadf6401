"""The fetch alone: what a message costs when it comes in columns, and when it comes as an object that is asked for
value, partition, offset and timestamp. Both with the worker's settings of the consumer, and turn by turn by the bench.
"""

from __future__ import annotations

import gc
import time
import uuid
from typing import Any

import numpy as np
from confluent_kafka import Consumer, Message, TopicPartition

from bench.jobs import parameters, result

EPOCH_RECORDS = 10_000
POLL_S = 0.05


def main() -> None:
    from streams.kafka.settings import KafkaSettings

    told = parameters()
    kafka = KafkaSettings(brokers=told["bootstrap"])
    consumer = Consumer(kafka.consumer(f"bench-fetch-{uuid.uuid4()}", offset_reset="earliest"))
    places = [(told["topic"], partition) for partition in range(told["partitions"])]
    forwarding: Any = None
    if told["form"] == "columns":
        from streams.kafka.native import Library
        from streams.kafka.native_check import check

        library = Library()
        check(library)
        forwarding = library.forwarding(consumer)
        forwarding.forward(places)
    consumer.assign([TopicPartition(*place, 0) for place in places])
    gc.disable()
    seen = seen_first = size = 0
    begun = thread_s = process_s = 0.0
    while seen < told["messages"]:
        count, length = _in_columns(forwarding) if forwarding is not None else _as_messages(consumer)
        seen += count
        size += length
        if count and not begun:
            begun, thread_s, process_s, seen_first = time.perf_counter(), time.thread_time(), time.process_time(), seen
    took_s = time.perf_counter() - begun
    per_message = 1e9 / (seen - seen_first)
    thread_ns, process_ns = (per_message * s for s in (time.thread_time() - thread_s, time.process_time() - process_s))
    if forwarding is not None:
        forwarding.close()
    consumer.close()
    result(rate=(seen - seen_first) / took_s, thread_ns=thread_ns, process_ns=process_ns, bytes_per_message=size / seen)


def _in_columns(forwarding: Any) -> tuple[int, int]:
    polled = forwarding.take(EPOCH_RECORDS, POLL_S)
    return len(polled), sum(int(raw.values.length.sum()) for raw in polled.batches)


def _as_messages(consumer: Any) -> tuple[int, int]:
    messages = consumer.consume(EPOCH_RECORDS, POLL_S)
    n = len(messages)
    values = list(map(Message.value, messages))
    np.fromiter(map(Message.partition, messages), np.int32, n)
    np.fromiter(map(Message.offset, messages), np.int64, n)
    np.fromiter([message.timestamp()[1] for message in messages], np.int64, n)
    return n, sum(map(len, values))


if __name__ == "__main__":
    main()
