"""The time of each stage, in microseconds: the same stages as in the worker, one after the other in one thread, each
timed.

In the worker fetching, counting and producing overlap; here they do not, so that a stage's share is its own. What is
measured is the thread's processor time: waiting for the broker, or for a processor that others use, is no part of it.
Stages are timed by wrappers around the functions that `STAGES` names; a name that no longer exists is an error, not a
zero."""

from __future__ import annotations

import gc
import importlib
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.jobs import parameters, result

# (stage, module, function): a stage's time is that of its functions without that of stages inside it.
STAGES = (
    ("decode: other (lay out the buffer, columns, slow rows)", "streams.ingest.decode", "Decoder.decode"),
    ("decode: find the fields", "streams.ingest.decode", "scan"),
    ("decode: times", "streams.kernels.fields", "times"),
    ("decode: choices", "streams.kernels.fields", "choices"),
    ("decode: hashes of ids", "streams.kernels.fields", "hashes"),
    ("decode: numbers", "streams.kernels.identity", "numbers"),
    ("step: other", "streams.engine.engine", "Engine.step"),
    ("step: merge", "streams.engine.engine", "merge"),
    ("step: intake (late, twice)", "streams.ingest.admission", "Intake.accept"),
    ("step: rows of numbers", "streams.counting.rows", "Store.rows_of"),
    ("step: newest times", "streams.counting.rows", "Store.note_times"),
    ("step: which events hit", "streams.counting.table", "TopicState.hits"),
    ("step: counters", "streams.counting.table", "TopicState.read"),
    ("step: columns of `when`", "streams.engine.compiled_rule", "Source.put"),
    ("step: `when`", "streams.engine.conditions", "Programs.fired"),
    ("step: ledger", "streams.holds.ledger", "Ledger.apply"),
    ("step: firings into block events", "streams.engine.engine", "Engine._emit"),
    ("step: reclaim rows", "streams.engine.engine", "Engine.maintain"),
)


class Stopwatch:
    """Seconds per stage, nested stages taken off the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside = [0.0]

    def around(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        self.seconds[stage] = 0.0

        def timed(*arguments: Any, **named: Any) -> Any:
            self._inside.append(0.0)
            begun = time.thread_time()
            try:
                return work(*arguments, **named)
            finally:
                took = time.thread_time() - begun
                self.seconds[stage] += took - self._inside.pop()
                self._inside[-1] += took

        return timed

    def install(self) -> None:
        for stage, module, path in STAGES:
            holder: Any = importlib.import_module(module)
            *owners, name = path.split(".")
            for owner in owners:
                holder = getattr(holder, owner)
            setattr(holder, name, self.around(stage, getattr(holder, name)))

    def restart(self) -> None:
        self.seconds = dict.fromkeys(self.seconds, 0.0)


def main() -> None:
    from confluent_kafka import Message, TopicPartition

    from rules.load import load
    from streams.kafka.clients import Clients
    from streams.kafka.native_check import library_or_none
    from streams.kafka.polls import epoch_of
    from streams.kafka.settings import KafkaSettings
    from streams.runtime.settings import EPOCH_RECORDS_MAX

    told = parameters()
    watch = Stopwatch()
    watch.install()
    from streams.engine.engine import Engine

    engine = Engine(load([Path(told["rules"])]))
    kafka = KafkaSettings(brokers=told["bootstrap"])
    clients = Clients(library_or_none())
    consumer = clients.consumer(kafka.consumer(f"bench-{uuid.uuid4()}"), in_columns=True)
    producer = clients.producer(kafka.producer())
    places = [(topic, p) for topic in engine.topics for p in consumer.list_topics(topic).topics[topic].partitions]
    consumer.forward(places)
    consumer.assign([TopicPartition(*place, 0) for place in places])
    code_of = {topic: code for code, topic in enumerate(engine.topics)}
    consume = watch.around("consume", consumer.consume)
    columns = watch.around("columns", lambda messages: epoch_of(messages, engine.topics, code_of, Message))

    def produce(records: list[Any]) -> None:
        for record in records:
            producer.produce(record.topic, record.value, record.key, headers=record.headers)
        producer.poll(0)

    sink = watch.around("sink", produce)
    seen = counted = 0
    process_s, thread_s = time.process_time(), time.thread_time()
    gc.collect()
    gc.disable()
    while seen < told["messages"]:
        messages = consume(EPOCH_RECORDS_MAX, 0.05)
        if not messages:
            continue
        epoch = columns(messages)
        del messages
        outcome = engine.step([engine.decoders[raw.topic].decode(raw) for raw in epoch.batches])
        sink(outcome.records)
        engine.maintain()
        seen += epoch.count
        counted += epoch.count
        # Loading the kernels and filling the caches is no part of a long run.
        if counted == seen and seen >= told["messages"] // 5:
            watch.restart()
            counted, process_s, thread_s = 0, time.process_time(), time.thread_time()
    clients_s = time.process_time() - process_s - (time.thread_time() - thread_s)
    producer.flush()
    consumer.close()
    stages = {**watch.seconds, "threads of librdkafka (fetch, decompress)": clients_s}
    result(records=counted, ns={stage: 1e9 * s / counted for stage, s in stages.items()})


if __name__ == "__main__":
    main()
