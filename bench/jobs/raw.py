"""The practical limit in Python: `consume` and `value()`, no decoding and no state."""

from __future__ import annotations

import gc
import time
import uuid

from confluent_kafka import Consumer

from bench.jobs import parameters, result


def main() -> None:
    told = parameters()
    total = told["messages"]
    consumer = Consumer(
        {
            "bootstrap.servers": told["bootstrap"],
            "group.id": f"bench-raw-{uuid.uuid4()}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            # librdkafka's default of 1000 ms stalls a fast reader each time 100,000 messages are queued.
            "fetch.queue.backoff.ms": 1,
        }
    )
    consumer.subscribe([told["topic"]])
    gc.disable()
    seen = seen_first = seen_half = size = 0
    first = half = busy_s = 0.0
    while seen < total:
        batch = consumer.consume(10_000, 0.5)
        if not batch:
            continue
        if not seen:
            first, seen_first, busy_s = time.perf_counter(), len(batch), time.process_time()
        for message in batch:
            size += len(message.value())
        seen += len(batch)
        if not half and seen >= total // 2:
            half, seen_half = time.perf_counter(), seen
    last, busy_s = time.perf_counter(), time.process_time() - busy_s
    consumer.close()
    result(
        rate=(seen - seen_first) / (last - first),
        process_ns=1e9 * busy_s / (seen - seen_first),
        second_half=(seen - seen_half) / (last - half) if last > half else 0,
        bytes_per_message=size / seen,
    )


if __name__ == "__main__":
    main()
