"""Turns the messages of a poll into an epoch's columns, and leaves out those that are not this worker's to count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np

from schemas.topics import REKEYED
from streams.ingest.epoch import Epoch, Headers, Place, RawBatch
from streams.ingest.feed_codes import feeds_of
from streams.kafka.columns import ColumnPoll, Trouble

if TYPE_CHECKING:
    from confluent_kafka import Message

    Polled = list[Message] | ColumnPoll  # what `consume` returns


def errors_in(polled: Polled, message_type: Any) -> Sequence[Message | Trouble]:
    """Returns the errors that came in place of records."""
    if isinstance(polled, ColumnPoll):
        return polled.troubles
    if not any(map(message_type.error, polled)):
        return ()
    return [message for message in polled if message.error() is not None]


def without_errors(polled: Polled) -> Polled:
    if isinstance(polled, ColumnPoll):
        return polled.without_troubles()
    return [message for message in polled if message.error() is None]


def still_owned(messages: Polled, position: Mapping[Place, int]) -> Polled:
    """Filters a poll during which partitions changed hands: keeps the records of owned partitions, each offset once.
    Records gathered before the change come again after it, from the committed offset on. position: the next offset of
    each owned partition, as the last assignment and the polls since left it."""
    if isinstance(messages, ColumnPoll):
        return messages.still_owned(position)
    expected = dict(position)
    kept = []
    for message in messages:
        place = (message.topic(), message.partition())
        if place in expected and message.offset() >= expected[place]:
            kept.append(message)
            expected[place] = message.offset() + 1
    return kept


def goes_back(epoch: Epoch, position: Mapping[Place, int]) -> bool:
    """True if it has records that were fetched before. A poll during which partitions came back may have returned some
    from before the change and too few from behind it: what follows comes again with the polls after it."""
    for raw in epoch.batches:
        known = np.zeros(int(raw.partition.max()) + 1, np.int64)
        for (topic, partition), at in position.items():
            if topic == raw.topic and partition < len(known):
                known[partition] = at
        if (raw.offset < known[raw.partition]).any():
            return True
    return False


def epoch_of(messages: Polled, topics: tuple[str, ...], code_of: Mapping[str, int], message_type: Any) -> Epoch:
    """Columns of n messages without errors. Each accessor runs over the whole poll at once: one Python loop that asked
    a message for everything would cost more than all of this together."""
    if isinstance(messages, ColumnPoll):
        return messages.epoch()
    n = len(messages)
    values = list(map(message_type.value, messages))
    partition = np.fromiter(map(message_type.partition, messages), np.int32, n)
    offset = np.fromiter(map(message_type.offset, messages), np.int64, n)
    timestamp = np.fromiter([message.timestamp()[1] for message in messages], np.int64, n)
    headers = list(map(message_type.headers, messages))
    if len(topics) == 1:
        raw = _batch(topics[0], np.arange(n), partition, offset, timestamp, values, headers)
        return Epoch([_with_keys(raw, messages)], n)
    code = np.frombuffer(bytes(map(code_of.__getitem__, map(message_type.topic, messages))), np.uint8)
    batches = []
    for number in np.flatnonzero(np.bincount(code)).tolist():
        here = code == number
        ours, order = list(compress(values, here.tolist())), np.flatnonzero(here)
        raw = _batch(topics[number], order, partition[here], offset[here], timestamp[here], ours, headers)
        batches.append(_with_keys(raw, messages))
    return Epoch(batches, n)


def _batch(
    topic: str,
    order: np.ndarray,
    partition: np.ndarray,
    offset: np.ndarray,
    timestamp: np.ndarray,
    values: list[bytes | None],
    headers: list[Headers | None],
) -> RawBatch:
    """headers: of all the poll's messages."""
    raw = RawBatch(topic, order, partition, offset, timestamp, values)
    if topic == REKEYED:  # there they say where a record came from as well
        raw.headers = [headers[i] or [] for i in order.tolist()]
    elif any(headers):
        raw.with_headers = [headers[i] for i in order.tolist()]
        raw.feeds = feeds_of(raw.with_headers)
    return raw


def _with_keys(raw: RawBatch, messages: list[Message]) -> RawBatch:
    """messages: all of the poll."""
    if raw.topic != REKEYED:  # there the key is ours
        raw.keys = _Keys(messages, raw.order)
    return raw


class _Keys(Sequence[bytes | None]):
    """The keys of a poll's records, each asked for only when its record makes a dead letter: few do."""

    def __init__(self, messages: list[Message], order: np.ndarray) -> None:
        self._messages, self._order = messages, order

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, i: Any) -> Any:
        key: Any = self._messages[self._order[i]].key()
        return key


def batch_of(messages: list[Message], topic: str, message_type: Any) -> RawBatch:
    """The same for messages of one topic."""
    return epoch_of(messages, (topic,), {topic: 0}, message_type).batches[0]
