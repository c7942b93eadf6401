"""Numbers: ranges that look like Korea's, handed out from the seed so that no two holders ever share one.

A number is its E.164 digits as an integer (821012345678)."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import gcd

import numpy as np

# (first number, how many follow). First digits stay inside what numbering plans assign, so types are recognised.
MOBILE = (821020000000, 80_000_000)  # 010-2000-0000 to 010-9999-9999
SEOUL = (82220000000, 30_000_000)  # 02-2000-0000 to 02-4999-9999; the 7-digit 02-830 and 02-900 are apart
VOIP = (827040000000, 20_000_000)  # 070-4000-0000 to 070-5999-9999; the bulk-bought 070-7893 is apart
AREAS = tuple((82 * 10**9 + area * 10**7 + 2_000_000, 5_000_000) for area in (31, 32, 42, 51, 53, 62))
REPRESENTATIVE = tuple((8200000000 + prefix * 10**4, 10_000) for prefix in (1544, 1566, 1577, 1588, 1599, 1644, 1661))
SAFE = tuple((8200000000000 + prefix * 10**8 + 20_000_000, 70_000_000) for prefix in (502, 504, 505, 507, 508))
ABROAD = (
    (447400000000, 500_000_000),  # +44 7400 ... 7899
    (8613800000000, 100_000_000),  # +86 138
    (639170000000, 10_000_000),  # +63 917
    (84910000000, 9_000_000),  # +84 91
    (819020000000, 70_000_000),  # +81 90
    (12025550000, 10_000),  # +1 202 555
)
SERIES_7893 = (827078930000, 10_000)  # 070-7893-XXXX
SERIES_SEOUL = ((8228300000, 10_000), (8229000000, 10_000))  # 02-830-XXXX and 02-900-XXXX

SHARE_MOBILE, SHARE_LANDLINE = 0.88, 0.08  # of ordinary subscribers; the rest is VoIP


class Allocator:
    """Hands out the numbers of each range in an order that only the seed decides: place i of a range is
    `(i * step + shift) mod size`, a bijection, so nothing needs to be remembered to avoid giving one twice."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._next: dict[tuple[int, int], int] = {}

    def take(self, span: tuple[int, int], count: int) -> np.ndarray:
        """The range's next `count` numbers, int64[count]. Raises ValueError when the range has fewer left."""
        first, size = span
        begin = self._next.get(span, 0)
        if begin + count > size:
            raise ValueError(
                f"the range that starts at {str(first)[:6]}... holds {size} numbers; {begin + count} needed"
            )
        self._next[span] = begin + count
        rng = np.random.default_rng([self._seed, first])
        step = int(rng.integers(size // 3, size))
        while gcd(step, size) != 1:
            step += 1
        places = np.arange(begin, begin + count, dtype=np.int64)
        return first + (places * step + int(rng.integers(size))) % size

    def one(self, span: tuple[int, int]) -> int:
        return int(self.take(span, 1)[0])

    def one_of(self, spans: tuple[tuple[int, int], ...], rng: np.random.Generator) -> int:
        return self.one(spans[int(rng.integers(len(spans)))])


@dataclass
class Population:
    """The ordinary subscribers: mobiles first, then landlines, then VoIP lines."""

    numbers: np.ndarray  # int64[size]
    mobiles: int  # how many of them are mobiles
    feed: np.ndarray  # uint8[size]: which carrier's feed reports on them (feeds.SUBSCRIBER_FEEDS)
    calling: np.ndarray = field(repr=False)  # float64[size]: cumulative shares of calls
    writing: np.ndarray = field(repr=False)  # float64[mobiles]: cumulative shares of messages

    @property
    def size(self) -> int:
        return len(self.numbers)

    def strangers(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Numbers picked without regard to who they are, as diallers do: int64[count], mobiles only."""
        return self.numbers[rng.integers(self.mobiles, size=count)]


def populate(allocator: Allocator, size: int, feed_shares: tuple[float, ...], seed: int) -> Population:
    """`size` subscribers. How much each calls and writes is log-normal (sigma 1), cut at 15 times the mean: the
    busiest of them are busy people, not machines."""
    rng = np.random.default_rng([seed, 1])
    mobiles, landlines = round(size * SHARE_MOBILE), round(size * SHARE_LANDLINE)
    area_each = landlines // (2 * len(AREAS))
    parts = [allocator.take(MOBILE, mobiles), allocator.take(SEOUL, landlines - area_each * len(AREAS))]
    parts += [allocator.take(area, area_each) for area in AREAS]
    parts.append(allocator.take(VOIP, size - mobiles - landlines))
    feed = np.searchsorted(np.cumsum(feed_shares), rng.random(size), side="right")
    return Population(
        numbers=np.concatenate(parts),
        mobiles=mobiles,
        feed=np.minimum(feed, len(feed_shares) - 1).astype(np.uint8),
        calling=_cumulative(rng, size),
        writing=_cumulative(rng, mobiles),
    )


def _cumulative(rng: np.random.Generator, size: int) -> np.ndarray:
    weights = rng.lognormal(0.0, 1.0, size)
    np.minimum(weights, 15 * np.exp(0.5), out=weights)
    total = np.cumsum(weights)
    return total / total[-1]
