"""When people and offenders are active, in Korean time (UTC+9 the year round; public holidays are not modelled)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
KOREA_MS = 9 * HOUR_MS  # ahead of UTC

# Share of a day's traffic in each hour from midnight.
ORDINARY = np.array([10, 6, 4, 3, 3, 5, 12, 30, 55, 70, 74, 76, 78, 72, 70, 70, 72, 78, 80, 74, 66, 54, 36, 20], float)
ORDINARY /= ORDINARY.sum()
ORDINARY_WEEKEND = 0.75  # of a weekday

# Offenders keep office hours: nearly all between 09 and 18, most before noon, the peak at 10.
OFFENDER = np.array([0.2] * 7 + [0.5, 2.5, 16, 24, 17, 9, 8, 8, 7, 6, 4, 1.5, 1] + [0.4] * 4, float)
OFFENDER /= OFFENDER.sum()


@dataclass(frozen=True)
class Day:
    """One day of Korean time, or what the settings' start and end leave of it."""

    index: int  # days since 1970-01-01, Korean time
    begin_ms: int
    end_ms: int
    office_hours: bool  # False when the whole traffic is too short for offenders to wait for their hours

    @property
    def midnight_ms(self) -> int:
        return self.index * DAY_MS - KOREA_MS

    @property
    def weekend(self) -> bool:
        return is_weekend(self.begin_ms)


def days(start_ms: int, end_ms: int, office_hours: bool) -> list[Day]:
    first, last = (start_ms + KOREA_MS) // DAY_MS, (end_ms - 1 + KOREA_MS) // DAY_MS
    return [
        Day(d, max(start_ms, d * DAY_MS - KOREA_MS), min(end_ms, (d + 1) * DAY_MS - KOREA_MS), office_hours)
        for d in range(first, last + 1)
    ]


def is_weekend(at_ms: int) -> bool:
    return ((at_ms + KOREA_MS) // DAY_MS + 3) % 7 >= 5  # 1970-01-01 was a Thursday


def activity(begin_ms: int, end_ms: int) -> float:
    """The share of an ordinary weekday's traffic that falls between two times (1.0 = a whole weekday)."""
    total, at = 0.0, begin_ms
    while at < end_ms:
        local = at + KOREA_MS
        until = min(end_ms, at + HOUR_MS - local % HOUR_MS)
        share = ORDINARY[local // HOUR_MS % 24] * (until - at) / HOUR_MS
        total += share * (ORDINARY_WEEKEND if is_weekend(at) else 1.0)
        at = until
    return total


def draw_office_time(rng: np.random.Generator, day: Day) -> int:
    """A time of day at which an offender starts work; it may lie outside what is left of the day."""
    hour = rng.choice(24, p=OFFENDER)
    return day.midnight_ms + int((hour + rng.random()) * HOUR_MS)
