"""The contract of a delivery: how outputs and offsets reach the broker, whatever its guarantee."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from streams.ingest.epoch import Offsets, OutRecord

PATIENCE_S = 0.5  # between two attempts while the broker is away


class DeliveryFailed(Exception):
    """Output cannot be delivered: nothing may be committed, the worker must stop."""

    exit_code = 1


class Fenced(DeliveryFailed):
    """Another process runs under this worker's name, and the broker has given it the name."""


class Delivery(Protocol):
    """Called by one thread, in order: open, then produce any number of times, commit, produce ... Only `close` may
    come from any thread."""

    note: str
    """The text that the last successful commit left beside its offsets, without the ids that follow it; empty before
    the first."""

    def open(self) -> None:
        """Gets ready to produce; waits for the broker. Raises DeliveryFailed."""
        ...

    def produce(self, records: Sequence[OutRecord]) -> None:
        """Hands over records of the next commit. Raises DeliveryFailed when one can never be delivered."""
        ...

    def commit(self, offsets: Offsets) -> bool:
        """Makes everything produced since the last commit durable, and `offsets` with it. False: the group has given
        the partitions to somebody else; nothing was committed and the records are forgotten. Without records and
        offsets there is nothing to do. Raises DeliveryFailed."""
        ...

    def abort(self) -> None:
        """Forgets what was produced since the last commit: its partitions are lost."""
        ...

    def close(self) -> None:
        """Makes a call that waits for the broker give up with DeliveryFailed. May be called from any thread."""
        ...
