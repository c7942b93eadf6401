"""A producer at a steady rate: the gray job's records at the times at which they are due, and when it handed over each
record that makes a number go past the limit.

Records are made beforehand. Most of the run warms up the worker and the broker, whose compilers take whole cores at
first; the numbers to be blocked follow."""

from __future__ import annotations

import gc
import time

from confluent_kafka import Producer

from bench.jobs import parameters, result
from bench.traffic import BURST_MESSAGES, KEY, RECORD_BYTES, gray_input, triggers

BURSTS_MAX = 400
BURSTS_SHARE = 0.1  # of all messages, at most
SENDERS = 2_000_000  # so many that, in a run of some seconds, only those that are to pass the limit do
WARM = (0.6, 0.95)  # of the run: the numbers to be blocked come when all processes have been compiled and warmed up
TICK_S = 0.002


def main() -> None:
    told = parameters()
    rate, seconds = told["rate"], told["seconds"]
    messages = rate * seconds
    bursts = max(1, min(BURSTS_MAX, int(BURSTS_SHARE * messages / max(BURST_MESSAGES))))
    traffic = gray_input(
        messages, time.time_ns() // 1_000_000, senders=SENDERS, bursts=bursts,
        per_hour=rate * 3600, bursts_within=WARM,
    )  # fmt: skip
    due = sorted((place, number) for number, place in triggers(traffic).items() if place >= int(WARM[0] * len(traffic)))
    blob = traffic.values(0, len(traffic))
    records = []
    for i in range(0, len(blob), RECORD_BYTES):
        value = blob[i : i + RECORD_BYTES]
        records.append({"value": value, "key": value[KEY]})
    del blob
    producer = Producer(
        {
            "bootstrap.servers": told["bootstrap"],
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            # A broker that is short of processor time answers few requests a second: what waits goes out together.
            "linger.ms": 20,
            "enable.idempotence": True,
            "queue.buffering.max.messages": 2_000_000,
        }
    )
    gc.disable()
    handed_over: dict[str, float] = {}
    places = iter([*due, (len(records), "")])
    place, number = next(places)
    sent = 0
    begun, behind_s = time.perf_counter(), 0.0
    while sent < len(records):
        now = time.perf_counter() - begun
        end = min(int(now * rate), len(records))
        behind_s = max(behind_s, (end - sent) / rate)
        while place < end:
            handed_over[number] = time.time()
            place, number = next(places)
        if queued := end - sent:
            taken = producer.produce_batch("message-relay", records[sent:end])
            if taken != queued:
                raise SystemExit(f"the producer took {taken} of {queued} records")
        sent = end
        producer.poll(0)
        if time.perf_counter() - begun - now < TICK_S:
            time.sleep(TICK_S)
    took = time.perf_counter() - begun
    producer.flush(30)
    result(rate=sent / took, behind_s=behind_s, handed_over=handed_over)


if __name__ == "__main__":
    main()
