"""The reference consumer of `block-events`: lists the numbers that are blocked now, and follows every change.

Downstream blockers may copy this file's way of reading. `block-events` is compacted: the newest record of a key is the
number's whole state, so that a reader needs no history, no consumer group and no committed offsets. It

1. reads every partition from its beginning to the end it finds there, committed records only, keeping the newest value
   per number (a tombstone forgets the number);
2. then applies each further record as it comes.

A number is blocked while its state is `active` *and* its `until` lies ahead: a block ends by the reader's own clock,
not by the `expired` notice, which comes later, or never while no worker runs. A value that cannot be read is reported
and skipped; the number keeps the state it had.
"""

from __future__ import annotations

import heapq
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from schemas.json_reading import Int64, JsonReader, Unreadable
from streams.kafka.settings import KafkaProblem, KafkaSettings

if TYPE_CHECKING:
    from confluent_kafka import Message

TOPIC = "block-events"
STATES = ("active", "released", "suspended", "expired")
TIMEOUT_S = 10.0
POLL_S = 0.2  # how long Ctrl-C and a block's end by the clock may wait
RECORDS_MAX = 10_000


class BlockHold(msgspec.Struct):
    """One rule's (or operator's) hold on a number. Times in ms since the epoch, UTC."""

    block_id: str
    rule: str
    until: Int64
    rules_version: str | Int64 | None = None
    from_: Int64 | None = msgspec.field(default=None, name="from")
    directions: list[str] = []
    actions: list[str] = []
    reason: str | None = None
    evidence: Any = None
    announcement: str | None = None


class BlockState(msgspec.Struct):
    """The value of one record: the number's whole current state."""

    event_id: str
    number: str
    state: str
    change: str
    until: Int64
    directions: list[str] = []
    actions: list[str] = []
    hold: BlockHold | None = None
    holds: list[BlockHold] = []


@dataclass(frozen=True, slots=True)
class BlockChange:
    """A number's state as of one record, or as of its end by the clock (`lapsed`); without a block after a tombstone.

    `value` is the record's own bytes, None for a lapse or a tombstone.
    """

    number: str
    kind: str  # "state", "removed" or "lapsed"
    block: BlockState | None
    value: bytes | None = None


class BadValue(ValueError):
    """A record of `block-events` that is no block event. The message holds neither payload nor number."""


class BlockTable:
    """The newest state per number. No I/O, no clock: `now_ms` is given."""

    def __init__(self) -> None:
        self._newest: dict[str, BlockChange] = {}
        self._ends: list[tuple[int, str]] = []  # a heap of (until, number); an entry may be out of date

    def apply(self, key: bytes | None, value: bytes | None) -> BlockChange:
        """Takes one record, in the order of its partition. Raises BadValue; the number then keeps the state it had."""
        number = _decode_key(key)
        if value is None:
            self._newest.pop(number, None)
            return BlockChange(number, "removed", None)
        change = BlockChange(number, "state", decode(number, value), value)
        self._newest[number] = change
        if change.block is not None and change.block.state == "active":
            heapq.heappush(self._ends, (change.block.until, number))
        return change

    def blocked(self, now_ms: int) -> list[BlockChange]:
        """All numbers that are blocked at `now_ms`, by number."""
        return [change for _, change in sorted(self._newest.items()) if is_blocked(change.block, now_ms)]

    def lapsed(self, now_ms: int) -> list[BlockChange]:
        """The blocks that ended by the clock since the last call, the earliest first."""
        ended = []
        while self._ends and self._ends[0][0] <= now_ms:
            until, number = heapq.heappop(self._ends)
            newest = self._newest.get(number)
            if newest is None or newest.block is None:
                continue
            # An extension or a release since then has an `until` or a state of its own.
            if newest.block.state == "active" and newest.block.until == until and newest.kind == "state":
                lapse = BlockChange(number, "lapsed", newest.block)
                self._newest[number] = lapse
                ended.append(lapse)
        return ended


def is_blocked(block: BlockState | None, now_ms: int) -> bool:
    return block is not None and block.state == "active" and now_ms < block.until


def decode(number: str, value: bytes) -> BlockState:
    """The state that a value says `number` has. Unknown fields are ignored. Raises BadValue."""
    try:
        block = _STATE.read(value)
    except Unreadable as error:
        raise BadValue(f"its value is no block event: {error}") from error
    if block.state not in STATES:
        raise BadValue(f"its `state` is none of {', '.join(STATES)}")
    if block.number != number:
        raise BadValue("its `number` is not the record's key")
    return block


_STATE = JsonReader(BlockState)


def _decode_key(key: bytes | None) -> str:
    if not key:
        raise BadValue("it has no key; the key is the number")
    try:
        return key.decode()
    except UnicodeDecodeError as error:
        raise BadValue("its key is not UTF-8 text") from error


class BlockReader:
    """Reads `block-events` from a broker into a BlockTable; a context manager.

    `now_ms` is the clock (ms since 1970); `complain` is called with a message for each record that could not be read,
    and when brokers cease to answer, or answer again.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        now_ms: Callable[[], int],
        complain: Callable[[str], None],
        topic: str = TOPIC,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.table = BlockTable()
        self.bad_values = 0
        self._settings, self._topic, self._timeout_s = settings, topic, timeout_s
        self._now_ms, self._complain = now_ms, complain
        self._consumer: Any = None

    def __enter__(self) -> BlockReader:
        from confluent_kafka import KafkaException, TopicPartition

        from streams.kafka.clients import Clients
        from streams.kafka.topics import check_inputs

        partitions = check_inputs(self._settings, [self._topic], self._timeout_s)
        # No offsets are committed: the group's name only has to be unique.
        config = self._settings.consumer(f"grayline-blocks-{uuid.uuid4().hex}", offset_reset="earliest")
        try:
            self._consumer = Clients().consumer({"log_level": 2, **config, "enable.partition.eof": True})
            self._consumer.assign([TopicPartition(self._topic, index, 0) for index in range(partitions)])
        except KafkaException as error:
            raise KafkaProblem(f"cannot read {self._topic}: {error.args[0].str()}") from error
        self._unread = set(range(partitions))
        return self

    def __exit__(self, *_: object) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    @property
    def is_answered(self) -> bool:
        """False while no broker answers: changes may be missing."""
        return self._consumer is not None and bool(self._consumer.is_answered)

    def snapshot(self) -> list[BlockChange]:
        """Reads to the ends found, and returns the numbers that are blocked now. Raises KafkaProblem when the broker
        falls silent."""
        deadline = monotonic() + self._timeout_s
        while self._unread:
            if self._read():
                deadline = monotonic() + self._timeout_s
            elif monotonic() > deadline:
                raise KafkaProblem(
                    f"the broker at {self._settings.brokers} sent nothing of {self._topic} for {self._timeout_s:g} s"
                )
        now_ms = self._now_ms()
        self.table.lapsed(now_ms)  # what ended before we came is no news
        return self.table.blocked(now_ms)

    def changes(self) -> Iterator[list[BlockChange]]:
        """To be called after `snapshot()`: yields the changes, every POLL_S or so, without end. Lists may be empty."""
        was_answered = True
        while True:
            yield [*(self._read() or []), *self.table.lapsed(self._now_ms())]
            is_answered = self._consumer.is_answered
            if is_answered != was_answered:
                brokers, was_answered = self._settings.brokers, is_answered
                self._complain(
                    f"a broker at {brokers} answers again" if is_answered else
                    f"no broker at {brokers} answers: until one does, changes are not shown"
                )  # fmt: skip

    def _read(self) -> list[BlockChange] | None:
        """Reads and applies one batch of records. Returns None when nothing at all came."""
        assert self._consumer is not None, "use the reader in a `with`"
        messages = self._consumer.consume(RECORDS_MAX, POLL_S)
        if not messages:
            return None
        changes = []
        for message in messages:
            if message.error() is not None:
                self._take_error(message)
                continue
            try:
                changes.append(self.table.apply(message.key(), message.value()))
            except BadValue as error:
                self.bad_values += 1
                place = f"partition {message.partition()}, offset {message.offset()}"
                self._complain(f"{self._topic}, {place}: skipped: {error}")
        return changes

    def _take_error(self, message: Message) -> None:
        from streams.kafka.errors import Meaning, meaning_of

        error = message.error()
        assert error is not None
        if meaning_of(error) is Meaning.END:
            self._unread.discard(message.partition())
        # librdkafka goes on by itself after every other error unless it says it cannot.
        elif error.fatal() or meaning_of(error) in (Meaning.NO_RIGHT, Meaning.NO_TOPIC):
            raise KafkaProblem(f"cannot read {self._topic}: {error.str()}")
