"""Fetches records without an object for each: from queues of librdkafka's, through its C interface, into columns.

confluent-kafka's consumer stays, and does everything else: the group and its callbacks, assignments, pauses, commits,
security. What its partitions fetch is forwarded to a queue of ours in the very library that the consumer is linked
with (docs/decisions/0051-records-are-fetched-without-objects.md). Whether that can be done is found out once, at the
start; where it cannot, records come as messages, as from any consumer.
"""

from __future__ import annotations

import ctypes
import logging
import time
from collections.abc import Collection
from typing import Any

import numpy as np

from schemas.topics import REKEYED
from streams.ingest.epoch import Place, RawBatch
from streams.ingest.feed_codes import HEADER
from streams.ingest.packed import Packed
from streams.kafka.columns import ColumnPoll, PackedHeaders, Trouble
from streams.kernels.fetch import FAILED, HEADERS, NAMED, RECORDS, TOPICS_MAX, drain, give_back, weigh
from streams.kernels.words import PADDING

log = logging.getLogger("grayline.source")

VERSIONS = tuple((2, minor) for minor in range(12, 17))  # of confluent-kafka and librdkafka, with which it was tried
CONSUMER = 1  # rd_kafka_type_t
HANDLE_AT = object.__basicsize__  # in a Consumer object, behind the head that all objects have
MESSAGES_MAX = 100_000
RENEW_S = 1.0
GATHER_S = 0.01  # records that come alone wait so long for others: an epoch has a price, however few it has

_POINTER, _INT = ctypes.c_void_p, ctypes.c_int
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "rd_kafka_version": (_INT, []),
    "rd_kafka_type": (_INT, [_POINTER]),
    "rd_kafka_name": (ctypes.c_char_p, [_POINTER]),
    "rd_kafka_queue_new": (_POINTER, [_POINTER]),
    "rd_kafka_queue_destroy": (None, [_POINTER]),
    "rd_kafka_queue_get_partition": (_POINTER, [_POINTER, ctypes.c_char_p, ctypes.c_int32]),
    "rd_kafka_queue_forward": (None, [_POINTER, _POINTER]),
    "rd_kafka_consume_batch_queue": (ctypes.c_ssize_t, [_POINTER, _INT, _POINTER, ctypes.c_size_t]),
    "rd_kafka_topic_name": (ctypes.c_char_p, [_POINTER]),
    "rd_kafka_message_errstr": (ctypes.c_char_p, [_POINTER]),
    "rd_kafka_message_timestamp": (ctypes.c_int64, [_POINTER, _POINTER]),
    "rd_kafka_message_headers": (_INT, [_POINTER, _POINTER]),
    "rd_kafka_header_get_all": (_INT, [_POINTER, ctypes.c_size_t, _POINTER, _POINTER, _POINTER]),
    "rd_kafka_message_destroy": (None, [_POINTER]),
}
_ASKED_BY_KERNELS = (
    "rd_kafka_message_timestamp", "rd_kafka_message_headers", "rd_kafka_header_get_all", "rd_kafka_message_destroy",
)  # fmt: skip


class Unfit(Exception):
    """This confluent-kafka cannot be read from in this way; the message says why."""


class _Message(ctypes.Structure):
    """rd_kafka_message_t, for the few that are errors."""

    _fields_ = (
        ("error", _INT), ("topic", _POINTER), ("partition", ctypes.c_int32), ("value", _POINTER),
        ("length", ctypes.c_size_t), ("key", _POINTER), ("key_length", ctypes.c_size_t), ("offset", ctypes.c_int64),
    )  # fmt: skip


class Library:
    """The librdkafka that confluent_kafka is linked with. Raises Unfit."""

    def __init__(self) -> None:
        import confluent_kafka
        from confluent_kafka import cimpl

        versions = (confluent_kafka.version(), confluent_kafka.libversion()[0])
        for version in versions:
            if tuple(map(int, version.split(".")[:2])) not in VERSIONS:
                raise Unfit(f"confluent-kafka {versions[0]} with librdkafka {versions[1]} was not tried")
        if ctypes.sizeof(_POINTER) != 8:
            raise Unfit("addresses do not have 64 bits")
        library = ctypes.CDLL(cimpl.__file__)
        try:
            for name, (result, arguments) in _FUNCTIONS.items():
                function = getattr(library, name)
                function.restype, function.argtypes = result, arguments
                setattr(self, name.removeprefix("rd_kafka_"), function)
        except AttributeError as problem:
            raise Unfit(f"librdkafka lacks a function: {problem}") from problem
        if (self.version() >> 24, self.version() >> 16 & 0xFF) not in VERSIONS:
            raise Unfit("another librdkafka answers than the one that confluent-kafka tells of")
        addresses = [ctypes.cast(getattr(library, name), _POINTER).value for name in _ASKED_BY_KERNELS]
        self.functions = np.array(addresses, np.int64)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def forwarding(self, consumer: Any) -> Forwarding:
        """Of a consumer that has no partitions yet. Raises Unfit."""
        return Forwarding(self, consumer)

    def handle(self, consumer: Any) -> int:
        """The rd_kafka_t of a confluent_kafka.Consumer. Raises Unfit."""
        if type(consumer).__basicsize__ < HANDLE_AT + 8:
            raise Unfit("a Consumer object holds no handle")
        found = _POINTER.from_address(id(consumer) + HANDLE_AT).value
        if not found or self.type(found) != CONSUMER or b"#consumer-" not in self.name(found):
            raise Unfit("a Consumer object holds no handle of a consumer")
        return found


class Forwarding:
    """A queue for all that the forwarded partitions of one consumer fetch. All calls are the polling thread's."""

    def __init__(self, library: Library, consumer: Any) -> None:
        self._library = library
        self._consumer = consumer  # which never ends while records in our queue hold its partitions: it must outlive us
        self._handle = library.handle(consumer)
        self._queue = library.queue_new(self._handle)
        self._places: frozenset[Place] = frozenset()
        self._ever: set[Place] = set()  # forwarded at any time
        self._renew_at = 0.0
        self._messages = np.zeros(0, np.int64)  # addresses; 0 for those that are given back
        self._scratch = np.zeros(4, np.int64)
        self._wanted = np.frombuffer(HEADER.encode(), np.uint8)

    def forward(self, places: Collection[Place]) -> None:
        """To be called before these places are assigned, in place of all others."""
        self._places = frozenset(places)
        self._ever |= self._places
        self._renew()

    def take(self, most: int, timeout_s: float) -> ColumnPoll:
        """The next records and errors: what comes within GATHER_S of the first, at most `most`; none after so long."""
        most = min(most, MESSAGES_MAX)
        if len(self._messages) < most:
            self._messages = np.zeros(most, np.int64)
        if time.monotonic() >= self._renew_at:
            self._renew()
        n = self._consume(0, 1, timeout_s)
        if n > 0 and most > 1:
            n += max(0, self._consume(1, most - 1, min(timeout_s, GATHER_S)))
        if n <= 0:
            self._renew_at = 0.0
            return ColumnPoll()
        try:
            return self._columns(n)
        finally:
            give_back(self._messages, n, self._library.functions[3])

    def _consume(self, first: int, most: int, timeout_s: float) -> int:
        """Fills so many messages from the first on; returns how many came, negative for an error."""
        at = self._messages[first:].ctypes.data
        return int(self._library.consume_batch_queue(self._queue, int(timeout_s * 1000), at, most))

    def close(self) -> None:
        """Lets go of everything, and of what was fetched and not taken. To be called before the consumer is closed."""
        if not self._queue:
            return
        for place in self._ever:  # their queues hold ours, and the records in ours hold them
            self._forward(place, None)
        self._library.queue_destroy(self._queue)
        self._queue = None

    def __del__(self) -> None:
        if getattr(self, "_queue", None):
            self.close()

    def _renew(self) -> None:
        """An assignment that ends takes the forwarding of its partitions away, a moment later, and the next does not
        bring it back. What a partition has fetched meanwhile waits in its own queue, and comes with the renewal."""
        self._renew_at = time.monotonic() + RENEW_S
        for place in self._places:
            self._forward(place, self._queue)

    def _forward(self, place: Place, to: int | None) -> None:
        own = self._library.queue_get_partition(self._handle, place[0].encode(), place[1])
        if own:
            self._library.queue_forward(own, to)
            self._library.queue_destroy(own)

    def _columns(self, n: int) -> ColumnPoll:
        functions = self._library.functions
        topics, code = np.zeros(TOPICS_MAX, np.int64), np.empty(n, np.uint8)
        sizes = np.zeros((TOPICS_MAX, 5), np.int64)
        found = weigh(self._messages, n, functions[1], functions[2], topics, code, sizes, self._scratch)
        troubles = [self._trouble(int(self._messages[i])) for i in np.flatnonzero(code == FAILED).tolist()]
        if not found:
            return ColumnPoll([], troubles)
        names = [self._library.topic_name(int(topic)).decode() for topic in topics[:found]]
        drained = _Drained(sizes[:found])
        drained.fill(self._messages, n, code, self._wanted, functions, self._scratch)
        return ColumnPoll([drained.batch(c, name) for c, name in enumerate(names)], troubles)

    def _trouble(self, address: int) -> Trouble:
        from confluent_kafka import KafkaError

        message = _Message.from_address(address)
        if not message.error:
            raise RuntimeError(f"a poll has records of more than {TOPICS_MAX} topics")
        text = self._library.message_errstr(address)
        topic = self._library.topic_name(message.topic).decode() if message.topic else ""
        why = KafkaError(message.error, text.decode(errors="replace") if text else None)
        return Trouble((topic, message.partition), message.offset, why)


class _Drained:
    """The columns of one poll. sizes: int64[T, 5], as `weigh` measures them."""

    def __init__(self, sizes: np.ndarray) -> None:
        # In the buffer the values of a topic lie behind one another, then its keys, then the texts of its headers.
        texts = sizes[:, : NAMED + 1]
        first = np.concatenate(([0], np.cumsum(texts)[:-1])).reshape(texts.shape)
        counts = sizes[:, HEADERS:]
        self._begins = np.concatenate((first, np.cumsum(counts, axis=0) - counts), axis=1)
        self._sizes = sizes
        rows, headers = int(sizes[:, RECORDS].sum()), int(sizes[:, HEADERS].sum())
        self._buffer = np.empty(int(texts.sum()) + PADDING, np.uint8)
        self._numbers = np.empty((rows, 4), np.int64)
        self._spans, self._ends = np.empty((rows, 2, 2), np.int64), np.empty(rows, np.int64)
        self._heads, self._parts = np.empty((rows, 3), np.int64), np.empty((headers, 2, 2), np.int64)

    def fill(
        self, messages: np.ndarray, n: int, code: np.ndarray, wanted: np.ndarray, functions: np.ndarray,
        scratch: np.ndarray,
    ) -> None:  # fmt: skip
        drain(
            messages, n, code, wanted, functions, self._begins.copy(), self._numbers, self._spans, self._ends,
            self._buffer.ctypes.data, self._heads, self._parts, scratch,
        )  # fmt: skip

    def batch(self, c: int, topic: str) -> RawBatch:
        """The records of the topic in place c."""
        row, count = int(self._begins[c, RECORDS]), int(self._sizes[c, RECORDS])
        here = slice(row, row + count)
        order, partition, offset, timestamp = (np.ascontiguousarray(each) for each in self._numbers[here].T)
        values, keys = (Packed(self._buffer, *self._spans[here, part].T) for part in range(2))
        begin, length = int(self._begins[c, 0]), int(self._sizes[c, 0])
        values.lie_together(self._buffer[begin : begin + length + PADDING], self._ends[here] - begin)
        raw = RawBatch(topic, order, partition.astype(np.int32), offset, timestamp, values)
        if topic != REKEYED:  # there the key is ours
            raw.keys = keys
        if self._sizes[c, HEADERS]:
            self._with_headers(raw, here)
        elif topic == REKEYED:
            raw.headers = [[] for _ in range(count)]
        return raw

    def _with_headers(self, raw: RawBatch, here: slice) -> None:
        first, count, feed = self._heads[here].T
        names, values = (Packed(self._buffer, *self._parts[:, part].T) for part in range(2))
        headers = PackedHeaders(first, count, names, values)
        if raw.topic == REKEYED:  # there they say where a record came from as well
            raw.headers = [each or [] for each in headers]
            return
        raw.with_headers = headers
        length = np.where(feed >= 0, values.length[feed], -1)
        if (length >= 0).any():
            raw.feeds = Packed(self._buffer, values.at[feed], length)
