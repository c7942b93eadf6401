"""The result of every reader of captures: some records as columns, in the capture's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from streams.ingest.packed import Packed

NO_RECORD = -1


class CaptureError(Exception):
    """A file that is no capture, or a damaged one; the message says which, where and what would be right."""


@dataclass(slots=True)
class CaptureRows:
    """n lines or rows of a capture."""

    topics: list[str]
    topic: np.ndarray  # int64[n]: index in `topics`, NO_RECORD for a line that is blank or cannot be read
    partition: np.ndarray  # int32[n]
    offset: np.ndarray  # int64[n]
    timestamp: np.ndarray  # int64[n]: ms since the epoch, -1 where there is none
    keys: Packed
    values: Packed
    unread: list[tuple[int, bytes, Exception]] = field(default_factory=list)  # (index, line, why), blank ones left out
    feeds: Sequence[bytes | None] | None = None  # each record's header `feed`; None where no record has one

    def __len__(self) -> int:
        return len(self.topic)
