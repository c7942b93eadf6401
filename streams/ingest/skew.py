"""By how much the events of feeds are dated ahead of the log: what a wrong clock or a wrong zone shows."""

from __future__ import annotations

import numpy as np

from streams.kernels.clocks import KNOWN_FROM_MS

SAMPLE = 1024  # events that are looked at of an epoch's topic; the middle of them is all that is wanted


def skews(feed: np.ndarray, at: np.ndarray, timestamp: np.ndarray) -> dict[int, int]:
    """By the code of a feed the middle of `at` - `timestamp` over its events, ms, above 0 for one that is ahead. Events
    whose Kafka timestamp is unknown, and feeds of few among many events, are left out.

    feed: int32[n], codes. at, timestamp: int64[n], ms."""
    known = np.flatnonzero(timestamp >= KNOWN_FROM_MS)
    known = known[:: len(known) // SAMPLE + 1]
    ahead, feed = at[known] - timestamp[known], feed[known]
    if len(feed) and (feed == feed[0]).all():
        return {int(feed[0]): int(np.partition(ahead, len(ahead) // 2)[len(ahead) // 2])}
    order = np.lexsort((ahead, feed))
    codes, first, count = np.unique(feed[order], return_index=True, return_counts=True)
    middle = ahead[order][first + count // 2]
    return dict(zip(codes.tolist(), middle.tolist(), strict=True))
