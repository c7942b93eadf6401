"""This machine's clock, for all that goes by wall time. Nothing of it reaches `step`."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Returns ms since the epoch, UTC."""
    return time.time_ns() // 1_000_000
