"""The gray job's input: message-relay records that our schema and the other processors read alike, made in arrays.

A record is one fixed template of `RECORD_BYTES` bytes into which digits are written, a matrix column at a time: eight
million records in seconds, the same bytes for the same seed and start.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit

SENDERS = 51_711
HOT_SHARE = 0.25  # of all messages, from one sender
BURSTS = 21  # senders that go past 100 messages a minute, beside the hot one
BURST_MESSAGES = (120, 400)
MESSAGES_PER_HOUR = 1_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
LIMIT = 100
WINDOW_S = 60
CHUNK_RECORDS = 250_000

_TEMPLATE = (
    b'{"message_id":"m#########","at":@@@@@@@@@@@@@,"sender":"+8210^^^^^^^^","recipient":"+8210%%%%%%%%",'
    b'"channel":"sms","origin":"domestic","verified":"full","relay":"relay-03","id":1#########,"ts":@@@@@@@@@@@@@}'
)
RECORD_BYTES = 213
_RECORD = np.frombuffer(_TEMPLATE.replace(b"relay-", b"relay-%s" % (b"0" * (RECORD_BYTES - len(_TEMPLATE)))), np.uint8)
KEY = slice(_TEMPLATE.index(b"+8210^"), _TEMPLATE.index(b'","recipient'))  # where the sender stands in a record


def morning_ms(now_ms: int) -> int:
    """10:00 in Korea on the last working day that began at least two days ago: all inputs lie in the past, and a hold
    of a week, which expires by the worker's clock, outlasts the run."""
    midnight = (now_ms + 9 * HOUR_MS) // DAY_MS - 2
    weekday = (midnight + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    return (midnight - max(0, weekday - 4)) * DAY_MS + HOUR_MS


@dataclass(frozen=True)
class GrayInput:
    """n messages in time order; a sender is its place in the population, 0 the hot one."""

    at_ms: np.ndarray  # int64[n], ascending
    sender: np.ndarray  # int64[n]
    recipient: np.ndarray  # int64[n]: eight digits

    def __len__(self) -> int:
        return len(self.at_ms)

    def first(self, n: int) -> GrayInput:
        return GrayInput(self.at_ms[:n], self.sender[:n], self.recipient[:n])

    def records(self) -> Iterator[tuple[bytes, bytes, int]]:
        """(key, value, timestamp in ms) of each message, in order."""
        for first in range(0, len(self), CHUNK_RECORDS):
            times = self.at_ms[first : first + CHUNK_RECORDS].tolist()
            values = self.values(first, first + len(times))
            for i, at in enumerate(times):
                value = values[i * RECORD_BYTES : (i + 1) * RECORD_BYTES]
                yield value[KEY], value, at

    def values(self, first: int, end: int) -> bytes:
        """The records from `first` to before `end`, one behind the other."""
        out = np.tile(_RECORD, (end - first, 1))
        _write(out, b"#", np.arange(first, end))
        _write(out, b"@", self.at_ms[first:end])
        _write(out, b"^", digits_of(self.sender[first:end]))
        _write(out, b"%", self.recipient[first:end])
        return out.tobytes()


def hour_of(senders: int, start_ms: int, *, seed: int = 1) -> GrayInput:
    """An hour of messages in which each of so many senders has at least one, and as many again come from a heavy tail
    of them."""
    draw = np.random.default_rng(seed)
    busy = (senders * draw.random(senders) ** 4).astype(np.int64)
    sender = draw.permutation(np.concatenate([np.arange(senders), busy]))
    at_ms = start_ms + np.sort(draw.integers(0, HOUR_MS, len(sender)))
    return GrayInput(at_ms, sender, draw.integers(0, 100_000_000, len(sender)))


def gray_input(
    messages: int,
    start_ms: int,
    *,
    seed: int = 1,
    senders: int = SENDERS,
    bursts: int = BURSTS,
    per_hour: int = MESSAGES_PER_HOUR,
    bursts_within: tuple[float, float] | None = None,
) -> GrayInput:
    """One hot sender, a long tail of quiet ones far below the limit, and `bursts` senders that pass it.

    bursts_within: the part of the input, from 0 to 1, in which bursts begin; the first event hour unless given."""
    draw = np.random.default_rng(seed)
    at_ms = start_ms + (np.arange(messages) * (HOUR_MS / per_hour)).astype(np.int64)
    quiet = senders - 1 - bursts
    weight = np.minimum(draw.lognormal(0.0, 1.2, quiet), 60.0)
    sender = 1 + bursts + draw.choice(quiet, messages, p=weight / weight.sum())
    sender[draw.random(messages) < HOT_SHARE] = 0
    low, high = bursts_within or (0.0, min(1.0, per_hour / max(messages, 1)))
    minute = per_hour // 60  # messages of all senders within a minute
    for i in range(bursts):
        begin = int(messages * (low + (high - low) * i / bursts))
        end = min(begin + minute * 5 // 6, messages)
        size = min(int(draw.integers(*BURST_MESSAGES)), end - begin)
        sender[begin + draw.choice(end - begin, size, replace=False)] = 1 + i
    return GrayInput(at_ms, sender, draw.integers(20_000_000, 100_000_000, messages))


def triggers(traffic: GrayInput) -> dict[str, int]:
    """Number -> place of the message at which its window first holds `LIMIT`, worked out without any state: the
    reference that all processors are compared with."""
    second = traffic.at_ms // 1000 - traffic.at_ms[0] // 1000 + WINDOW_S
    order = np.argsort(traffic.sender, kind="stable")
    # Senders side by side, far enough apart that no window reaches into the neighbour's seconds.
    line = traffic.sender[order] * (int(second[-1]) + 2 * WINDOW_S) + second[order]
    count = np.arange(len(line)) - np.searchsorted(line, line - (WINDOW_S - 1)) + 1
    hits = order[count >= LIMIT]
    who, first = np.unique(traffic.sender[hits], return_index=True)
    return {key_of(sender).decode(): int(hits[i]) for sender, i in zip(who.tolist(), first.tolist(), strict=True)}


def digits_of(sender: np.ndarray) -> np.ndarray:
    """Eight digits behind 010 for each sender; different senders have different ones (48,271 shares no factor with
    80,000,000)."""
    return 20_000_000 + (sender * 48_271 + 12_345) % 80_000_000


def key_of(sender: int) -> bytes:
    return b"+8210%d" % digits_of(np.int64(sender))


def _write(records: np.ndarray, mark: bytes, values: np.ndarray) -> None:
    """Write `values`, right-aligned with leading zeros, over every run of `mark` in the template."""
    places = np.flatnonzero(mark[0] == _RECORD)
    for run in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1):
        _digits(records, int(run[0]), int(run[-1]), values)


@njit(cache=True)
def _digits(records, first, last, values):  # type: ignore[no-untyped-def]
    """records: uint8[n, RECORD_BYTES]; values: int64[n] into the columns from `first` to `last`."""
    for i in range(len(values)):
        rest = values[i]
        for column in range(last, first - 1, -1):
            records[i, column] = 48 + rest % 10
            rest //= 10
