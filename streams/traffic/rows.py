"""Records, and columns of them on their way out. A row is one record: a message, or one event of a call."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

MESSAGE, SETUP, ANSWER, RELEASE, COMPLETE = range(5)
EVENTS, WHOLE, BOTH = (
    "events",
    "complete",
    "both",
)  # how a feed tells of calls: as they go, when they have ended, or both
FORMS = (EVENTS, WHOLE, BOTH)
CAUSES = ("", "normal", "no_answer", "busy")
NO_CAUSE, NORMAL, NO_ANSWER, BUSY = range(4)
UNANSWERED = -1  # in a column of talk times


class TrafficRecord(NamedTuple):
    topic: str
    key: bytes  # the number that it is about, E.164
    timestamp_ms: int  # Kafka timestamp; the event's time as well, but for a report that is delivered again
    value: bytes  # JSON


@dataclass
class Rows:
    at: np.ndarray  # int64: event time, ms
    actor: np.ndarray  # int64: who calls or sends
    peer: np.ndarray  # int64: number called or sent to
    kind: np.ndarray  # uint8: MESSAGE, SETUP, ANSWER, RELEASE or COMPLETE
    ref: np.ndarray  # int64: of a message its text, of a call its id
    cause: np.ndarray  # uint8: place in CAUSES
    setup_at: np.ndarray  # int64, ms: of a COMPLETE its set-up, else 0
    answer_at: np.ndarray  # int64, ms: of a COMPLETE its answer, 0 without one

    def __len__(self) -> int:
        return len(self.at)

    def take(self, where: np.ndarray | slice) -> Rows:
        return Rows(*(getattr(self, f.name)[where] for f in fields(self)))

    def sorted(self) -> Rows:
        """By time; rows of one time keep their order, so a set-up stays before its release."""
        return self.take(np.argsort(self.at, kind="stable"))


def join(parts: list[Rows]) -> Rows:
    return Rows(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Rows)))


def empty() -> Rows:
    none = np.empty(0, np.int64)
    return Rows(none, none, none, none.astype(np.uint8), none, none.astype(np.uint8), none, none)


def messages(at: np.ndarray, actor: np.ndarray, recipient: np.ndarray, text: np.ndarray) -> Rows:
    n = len(at)
    none = np.zeros(n, np.int64)
    return Rows(at, actor, recipient, np.full(n, MESSAGE, np.uint8), text, np.zeros(n, np.uint8), none, none)


@dataclass
class Calls:
    """n calls before they become set-ups, answers and releases; all int64[n]."""

    at: np.ndarray
    callee: np.ndarray
    ring_ms: np.ndarray
    talk_ms: np.ndarray  # UNANSWERED when nobody answered

    @staticmethod
    def none() -> Calls:
        return Calls(*(np.empty(0, np.int64) for _ in range(4)))

    @staticmethod
    def joined(parts: list[Calls]) -> Calls:
        return Calls(*(np.concatenate([getattr(c, f.name) for c in parts]) for f in fields(Calls)))

    @property
    def ends(self) -> np.ndarray:
        return self.at + self.ring_ms + np.maximum(self.talk_ms, 0)

    def take(self, where: np.ndarray) -> Calls:
        return Calls(self.at[where], self.callee[where], self.ring_ms[where], self.talk_ms[where])

    def rows(self, actor: np.ndarray, first_id: int, form: str = EVENTS) -> Rows:
        """One row per event of each call, one per call, or both (`form`). Calls get the ids from `first_id` on."""
        ids = np.arange(first_id, first_id + len(self.at), dtype=np.int64)
        answered = self.talk_ms >= 0
        # An unanswered call that was given up within a few rings found the line busy or was a one-ring.
        cause = np.where(answered, NORMAL, np.where(self.ring_ms < 4_000, BUSY, NO_ANSWER)).astype(np.uint8)
        no_cause, no_time = np.zeros(len(ids), np.uint8), np.zeros(len(ids), np.int64)
        answer_at = self.at + self.ring_ms

        def events(at: np.ndarray, kind: int, why: np.ndarray) -> Rows:
            return Rows(at, actor, self.callee, np.full(len(ids), kind, np.uint8), ids, why, no_time, no_time)

        parts = []
        if form != WHOLE:
            parts = [events(self.at, SETUP, no_cause), events(answer_at, ANSWER, no_cause).take(answered)]
            parts.append(events(self.ends, RELEASE, cause))
        if form != EVENTS:
            whole = events(self.ends, COMPLETE, cause)
            whole.setup_at, whole.answer_at = self.at, np.where(answered, answer_at, 0)
            parts.append(whole)
        return join(parts)
