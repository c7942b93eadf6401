"""A blocker's side of `block-events`, in one file to copy: it needs nothing of Grayline, only confluent-kafka.

A copy of the topic lies in memory, for answers in microseconds, and in an SQLite file, for a start that goes on where
the last one ended. docs/blockers.md has the contract. Times are ms since the epoch, UTC.

    python blocker.py --brokers localhost:9092 --state blocked.db --name switch-7

reads numbers (E.164) on standard input, one a line, and answers each with one line of JSON; `ready` on standard error
says when the copy is whole. --check compares the copy with the topic instead, and ends with code 1 if they differ.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

TOPIC, ACKS = "block-events", "block-acks"
# The topic keeps tombstones for 30 days: a copy that was away for longer may have missed one, and begins anew.
AWAY_MAX_MS = 25 * 86_400_000
ANSWER_S = 10.0
BATCH = 1_000

TABLES = """
create table if not exists states (number text primary key, value text not null) without rowid;
create table if not exists places (partition integer primary key, next_offset integer not null);
create table if not exists notes (name text primary key, value text not null);
"""


class Copy:
    """The newest state of each number. One thread applies records; any thread looks numbers up."""

    def __init__(self, path: str) -> None:
        """Raises sqlite3.Error when the file is none of ours or another process has it."""
        self._file = sqlite3.connect(path, timeout=1.0, check_same_thread=False, isolation_level=None)
        self._file.execute("pragma locking_mode = exclusive")
        self._file.executescript(TABLES)
        states = self._file.execute("select number, value from states")
        self._states: dict[str, dict[str, Any]] = {number: json.loads(value) for number, value in states}

    def lookup(self, number: str, now_ms: int) -> dict[str, Any] | None:
        """The number's state while it is blocked, else None. A block ends by the clock given, whatever comes later."""
        state = self._states.get(number)
        return state if state is not None and state["state"] == "active" and now_ms < state["until"] else None

    def whole(self) -> dict[str, dict[str, Any]]:
        return dict(self._states)

    def places(self) -> dict[int, int]:
        """The next offset of each partition."""
        return dict(self._file.execute("select partition, next_offset from places"))

    def is_too_old(self, now_ms: int, topic_id: str) -> bool:
        """True if tombstones may have been missed, or if the copy is of another topic of the same name."""
        notes = dict(self._file.execute("select name, value from notes"))
        return now_ms - int(notes.get("seen_at", now_ms)) > AWAY_MAX_MS or notes.get("topic", topic_id) != topic_id

    def apply(self, messages: list[Message], now_ms: int, topic_id: str) -> list[tuple[str, str]]:
        """Takes records in the order of their partitions: file first, then memory. Returns (number, event id) of the
        changes that are in force now. A record that cannot be read is told and leaves the number as it was."""
        taken: dict[str, dict[str, Any] | None] = {}
        changed = []
        for message in messages:
            key, value = message.key(), message.value()
            try:
                number = (key or b"").decode()
                state = None if value is None else _state(number, value)
            except (ValueError, RecursionError) as problem:
                print(f"partition {message.partition()}, offset {message.offset()}: {problem}", file=sys.stderr)
                continue
            taken[number] = state
            if state is not None:
                changed.append((number, state["event_id"]))
        self._file.execute("begin")
        for number, state in taken.items():
            if state is None:
                self._file.execute("delete from states where number = ?", (number,))
            else:
                self._file.execute("insert or replace into states values (?, ?)", (number, json.dumps(state)))
        for message in messages:
            self._file.execute(
                "insert or replace into places values (?, ?)", (message.partition(), (message.offset() or 0) + 1)
            )
        self._note(seen_at=str(now_ms), topic=topic_id)
        self._file.execute("commit")
        for number, state in taken.items():
            if state is None:
                self._states.pop(number, None)
            else:
                self._states[number] = state
        return changed

    def clear(self) -> None:
        """Forgets everything. Until the topic is read again, nobody is blocked."""
        self._file.execute("begin")
        for table in ("states", "places", "notes"):
            self._file.execute(f"delete from {table}")
        self._file.execute("commit")
        self._states.clear()

    def close(self) -> None:
        self._file.close()

    def _note(self, **notes: str) -> None:
        self._file.executemany("insert or replace into notes values (?, ?)", notes.items())


def _state(number: str, value: bytes) -> dict[str, Any]:
    """The fields that a blocker needs. Raises ValueError. Fields and actions that nobody here knows are ignored."""
    told = json.loads(value)
    if not isinstance(told, dict) or not number or told.get("number") != number:
        raise ValueError("no block event of the number that is its key")
    if not isinstance(told.get("until"), int) or not isinstance(told.get("state"), str):
        raise ValueError("a block event without `state` or `until`")
    holds = told.get("holds") or []
    announcements = [hold.get("announcement") for hold in holds if isinstance(hold, dict)]
    return {
        "number": number, "state": told["state"], "until": told["until"], "event_id": str(told.get("event_id")),
        "directions": told.get("directions") or [], "actions": told.get("actions") or [],
        "announcement": next((text for text in announcements if text), None),
    }  # fmt: skip


class Follower:
    """Reads the topic into a copy. No consumer group: every blocker reads all partitions."""

    def __init__(self, brokers: str, copy: Copy, name: str, acks: bool) -> None:
        self.stopping = threading.Event()
        self.ready = threading.Event()  # every partition has been read up to its end: the snapshot is whole
        self._brokers, self._copy, self._name = brokers, copy, name
        # A group's name is demanded and never used; read committed only.
        self._consumer = Consumer({
            "bootstrap.servers": brokers, "group.id": f"blocker-{uuid.uuid4().hex}", "enable.auto.commit": False,
            "isolation.level": "read_committed", "enable.partition.eof": True, "auto.offset.reset": "earliest",
        })  # fmt: skip
        self._producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True}) if acks else None

    def run(self, until_ready: bool = False) -> None:
        """Until `stopping` is set, or the snapshot is whole if `until_ready`. Raises KafkaException when the topic
        cannot be read. Kafka away is no end: the copy goes on answering."""
        topic_id, partitions = self._topic()
        if self._copy.is_too_old(_now_ms(), topic_id):
            self._copy.clear()
        places = self._copy.places()
        self._consumer.assign([TopicPartition(TOPIC, p, places.get(p, 0)) for p in partitions])
        unread = set(partitions)
        with closing(self._consumer):
            while not (self.stopping.is_set() or (until_ready and self.ready.is_set())):
                messages = []
                for message in self._consumer.consume(BATCH, 0.2):
                    if (error := message.error()) is None:
                        messages.append(message)
                    elif error.code() == KafkaError._PARTITION_EOF:
                        unread.discard(message.partition())
                    elif error.fatal() or not error.retriable():
                        raise KafkaException(error)
                if messages:
                    self._acknowledge(self._copy.apply(messages, _now_ms(), topic_id))
                if not unread:
                    self.ready.set()
            if self._producer is not None:
                self._producer.flush(ANSWER_S)

    def _topic(self) -> tuple[str, list[int]]:
        """(id of the topic as the broker gives it, empty if it gives none; partitions)"""
        found = self._consumer.list_topics(TOPIC, ANSWER_S).topics[TOPIC]
        if found.error is not None:
            raise KafkaException(found.error)
        asked = AdminClient({"bootstrap.servers": self._brokers}).describe_topics(TopicCollection([TOPIC]))[TOPIC]
        try:
            topic_id = str(asked.result(ANSWER_S).topic_id or "")
        except (KafkaException, TimeoutError):  # an old broker gives none
            topic_id = ""
        return topic_id, sorted(found.partitions)

    def _acknowledge(self, changed: list[tuple[str, str]]) -> None:
        """After the change is in the file. A crash between the two acknowledges once more, which is allowed."""
        if self._producer is None:
            return
        for number, event_id in changed:
            ack = {"event_id": event_id, "blocker": self._name, "applied_at": _now_ms()}
            self._producer.produce(ACKS, json.dumps(ack), number)
        self._producer.poll(0)


def differences(one: dict[str, Any], other: dict[str, Any]) -> Iterator[str]:
    """The numbers that two copies know differently."""
    for number in sorted(one.keys() | other.keys()):
        if one.get(number) != other.get(number):
            yield number


def check(brokers: str, copy: Copy) -> int:
    """Reads the topic anew beside the copy, which is brought up to date, and compares. Returns the exit code."""
    fresh = Copy(":memory:")
    for _ in range(3):  # what changes between the two readings is no difference: it is gone the next time
        for one in (copy, fresh):
            try:
                Follower(brokers, one, "check", acks=False).run(until_ready=True)
            except KafkaException as problem:
                print(f"{TOPIC} cannot be read: {problem.args[0].str()}", file=sys.stderr)
                return 1
        found = list(differences(copy.whole(), fresh.whole()))
        if not found:
            break
    print(f"{len(fresh.whole()):,} numbers, {len(found)} differences", *found[:10], sep="\n")
    return 1 if found else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brokers", default="localhost:9092")
    parser.add_argument("--state", default="blocked.db", help="the SQLite file (default: blocked.db)")
    parser.add_argument("--name", default="blocker", help="the name of this blocker in its acknowledgements")
    parser.add_argument("--acks", action="store_true", help=f"acknowledge each applied change on the topic {ACKS}")
    parser.add_argument("--check", action="store_true", help="compare the copy with the topic, and end")
    options = parser.parse_args()
    try:
        copy = Copy(options.state)
    except sqlite3.Error as problem:
        print(f"{options.state}: {problem}", file=sys.stderr)
        return 1
    with closing(copy):
        if options.check:
            return check(options.brokers, copy)
        return serve(Follower(options.brokers, copy, options.name, options.acks), copy)


def serve(follower: Follower, copy: Copy) -> int:
    """Answers lines until standard input ends. Returns the exit code."""
    problems: list[KafkaException] = []

    def run() -> None:
        try:
            follower.run()
        except KafkaException as problem:
            problems.append(problem)
            follower.ready.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    follower.ready.wait()
    if not problems:
        print("ready", file=sys.stderr, flush=True)
        for line in sys.stdin:
            number = line.strip()
            state = copy.lookup(number, _now_ms())
            print(json.dumps({"number": number, "blocked": False} if state is None else {"blocked": True} | state))
            sys.stdout.flush()
    follower.stopping.set()
    thread.join()
    for problem in problems:
        print(f"{TOPIC} cannot be read: {problem.args[0].str()}", file=sys.stderr)
    return 1 if problems else 0


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    sys.exit(main())
