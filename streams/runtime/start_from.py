"""The operator's choice of where a group that has committed nothing begins to read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime


class SettingsProblem(ValueError):
    """A setting that cannot work. The message says which one, why, and which value would."""


@dataclass(frozen=True)
class StartFrom:
    """The point from which a partition that was never committed is read: the operator's explicit choice."""

    kind: str  # "earliest", "latest" or "timestamp"
    at_ms: int = 0  # for "timestamp": the first record at or after this Kafka timestamp


def parse_start_from(text: str) -> StartFrom:
    """Reads `earliest`, `latest`, milliseconds since 1970 or RFC 3339 with a zone. Raises SettingsProblem."""
    if text in ("earliest", "latest"):
        return StartFrom(text)
    if re.fullmatch(r"[0-9]{12,14}", text):
        return StartFrom("timestamp", int(text))
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise SettingsProblem(
            f"--from {text!r}: neither `earliest` nor `latest` nor a time; a time is milliseconds since the epoch "
            "(1767225600000) or RFC 3339 with a zone (2026-01-01T00:00:00+09:00)"
        )
    return StartFrom("timestamp", int(at.timestamp() * 1000))
