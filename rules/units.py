"""Durations as rules write them: `500ms`, `1s`, `1m`, `4h`, `30d`, `2w`, and runs of these like `1h30m`."""

from __future__ import annotations

import re

UNITS_MS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_PART = re.compile(r"(\d{1,9})(ms|[wdhms])", re.ASCII)
_WHOLE = re.compile(r"(?:\d{1,9}(?:ms|[wdhms]))+", re.ASCII)


def duration_ms(text: str) -> int:
    """Returns the milliseconds of a text such as `1h30m`. Units go from large to small, each at most once. Raises
    ValueError with a message for the author of the rule."""
    text = text.strip()
    if re.fullmatch(r"[\d.]+", text):
        raise ValueError(f"`{text}` has no unit; write `{text}s`, `{text}m`, `{text}h` or `{text}d`")
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"`{text}` is not a duration; write a whole number with a unit, like `90s` or `1h30m`")
    parts = _PART.findall(text)
    order = [list(UNITS_MS).index(unit) for _, unit in parts]
    if order != sorted(set(order)):
        raise ValueError(f"`{text}` has its units out of order or twice; write them from large to small: `1h30m`")
    return sum(int(count) * UNITS_MS[unit] for count, unit in parts)


def duration_text(ms: int) -> str:
    """The shortest spelling that `duration_ms` reads back as `ms`: 5400000 is `1h30m`. Weeks are written as days,
    which read better beside periods of 7 and 30 days."""
    if ms < 0:
        raise ValueError(f"a duration cannot be negative: {ms} ms")
    out = []
    for unit, unit_ms in UNITS_MS.items():
        if unit != "w" and (count := ms // unit_ms):
            out.append(f"{count}{unit}")
            ms -= count * unit_ms
    return "".join(out) or "0s"
