"""The note beside each committed offset: which worker's which commit it was, and the partition count."""

from __future__ import annotations

import re
import uuid


class Notes:
    """The texts that a worker leaves beside the offsets it commits: by them it recognises its own last commit.

    parts: the partition count of the inputs, for whoever starts after it has changed."""

    def __init__(self, parts: int) -> None:
        self._parts = parts
        self._worker = uuid.uuid4().hex
        self._count = 0

    def next(self) -> str:
        self._count += 1
        return f"grayline1 parts={self._parts} commit={self._worker}-{self._count}"


def noted_parts(note: str | None) -> int | None:
    """The partition count that a committed note tells; None when the offsets were committed by something else."""
    found = re.match(r"grayline1 parts=(\d+) ", note or "")
    return int(found[1]) if found else None
