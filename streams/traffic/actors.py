"""The base of businesses and offenders: their numbers, their work on a day, and its pace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from streams.traffic.feeds import Feed
from streams.traffic.hours import Day
from streams.traffic.population import Population
from streams.traffic.rows import Calls


@dataclass
class Work:
    """The records of one actor on one day."""

    calls: Calls = field(default_factory=Calls.none)
    sent_at: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))  # ms
    recipients: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    texts: list[str] = field(default_factory=list)  # one per message


@dataclass(frozen=True)
class Actor:
    """A planted number. `work(day, population, rng)` makes its records; the generator cuts them at the day's ends.

    gang: the same for numbers that one gang uses, "" without one. forges: it is no number of its own but somebody who
    forges the number of another actor, whose label stands for both."""

    number: int
    kind: str
    innocent: bool
    feed: Feed
    work: Callable[[Day, Population, np.random.Generator], Work]
    gang: str = ""
    forges: bool = False


Span = tuple[int, int]  # begin, end in ms


def bursts(
    rng: np.random.Generator, span: Span, run_s: tuple[float, float], pause_s: tuple[float, float],
    gap_s: tuple[float, float],
) -> np.ndarray:  # fmt: skip
    """Times of acts inside a span, int64 ms, ascending: runs with pauses between them. Every run has its own mean gap;
    gaps vary around it as those of a machine with a line to wait for do (gamma, shape 4)."""
    parts, at, end = [], float(span[0]), float(span[1])
    while at < end:
        until = min(end, at + 1000 * rng.uniform(*run_s))
        mean_ms = 1000 * rng.uniform(*gap_s)
        count = int(1.5 * (until - at) / mean_ms) + 10
        times = at + np.cumsum(rng.gamma(4.0, mean_ms / 4, count)) - mean_ms / 2
        parts.append(times[(times >= at) & (times < until)])
        at = until + 1000 * rng.uniform(*pause_s)
    return np.concatenate(parts).astype(np.int64) if parts else np.empty(0, np.int64)


def dial(
    rng: np.random.Generator, at: np.ndarray, callees: np.ndarray, answered: float,
    ring_s: tuple[float, float], talk_s: tuple[float, float], give_up_s: tuple[float, float],
) -> Calls:  # fmt: skip
    """Calls at these times. Ring, talk and give-up times are uniform in their ranges."""
    n = len(at)
    taken = rng.random(n) < answered
    ring = np.where(taken, rng.uniform(*ring_s, n), rng.uniform(*give_up_s, n))
    talk = np.where(taken, rng.uniform(*talk_s, n) * 1000, -1)
    return Calls(at, callees, (ring * 1000).astype(np.int64), talk.astype(np.int64))


def one_line(calls: Calls, pause_ms: int) -> Calls:
    """Leaves out the calls for which the line would still be busy. `calls` are ascending by time, with a pause after
    each."""
    keep = np.zeros(len(calls.at), bool)
    free_at = -1
    for i, (at, end) in enumerate(zip(calls.at.tolist(), calls.ends.tolist(), strict=True)):
        if at >= free_at:
            keep[i] = True
            free_at = end + pause_ms
    return calls.take(keep)
