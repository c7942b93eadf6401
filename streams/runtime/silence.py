"""Notices when a feed falls silent: it had records, and then none for a long while. Pure: the caller tells the time.

A carrier whose feed stops looks like a carrier without offenders. Nothing else in the worker would show it, since there
is nothing to do and no lag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from schemas.feeds import FEEDS
from schemas.printable import printable


@dataclass(frozen=True, slots=True)
class Turn:
    """A feed fell silent, or is heard again. quiet_ms: the time since its last record, or since the one before the
    first that is heard again."""

    feed: str
    silent: bool
    quiet_ms: int

    def __str__(self) -> str:
        seconds = self.quiet_ms // 1000
        if self.silent:
            return (
                f"feed {printable(self.feed)} is silent: no record for {seconds} s; is whoever delivers still running?"
            )
        return f"feed {printable(self.feed)} is heard again, after {seconds} s"


class FeedWatch:
    """All times are monotonic, in ms. A feed that was never heard is not silent: it may be one that nobody has. Neither
    is one whose records come now and then."""

    def __init__(self, silent_after_ms: int, own_ms: Mapping[str, int] = MappingProxyType({})) -> None:
        """own_ms: the time of feeds that have one of their own."""
        if silent_after_ms < 1:
            raise ValueError(f"silent_after_ms is {silent_after_ms}; it must be at least 1")
        self._silent_after_ms = silent_after_ms
        self._own_ms = own_ms
        self._heard_ms: dict[str, int] = {}
        self._counted_from_ms: dict[str, int] = {}  # silence counts from here, or from the last record if that is later
        self._silent: set[str] = set()

    def expect(self, own_ms: Mapping[str, int]) -> None:
        """Goes on with these times of feeds. One that had a time of its own and has none now is nobody's concern."""
        for feed in self._own_ms.keys() - own_ms.keys() - FEEDS.keys():
            self._heard_ms.pop(feed, None)
            self._counted_from_ms.pop(feed, None)
            self._silent.discard(feed)
        self._own_ms = own_ms

    def note(self, feed: str, records: int, now_ms: int) -> Turn | None:
        """Notes that a feed had so many records, or 0, since the last call. Returns the turn if there is one."""
        if feed in FEEDS and not FEEDS[feed].is_steady:
            return None
        if records:
            quiet_ms = now_ms - self._heard_ms.get(feed, now_ms)
            self._heard_ms[feed] = self._counted_from_ms[feed] = now_ms
            if feed in self._silent:
                self._silent.discard(feed)
                return Turn(feed, False, quiet_ms)
        elif feed in self._heard_ms and feed not in self._silent:
            if now_ms - self._counted_from_ms[feed] >= self._own_ms.get(feed, self._silent_after_ms):
                self._silent.add(feed)
                return Turn(feed, True, now_ms - self._heard_ms[feed])
        return None

    def restart(self, now_ms: int) -> None:
        """Starts the wait anew after a time in which nothing could be heard (partitions were restored, the broker was
        away): no feed falls silent by that. Those that were silent stay so until they are heard."""
        for feed in self._counted_from_ms:
            self._counted_from_ms[feed] = now_ms

    def forget(self) -> None:
        """Forgets all feeds: the worker has no partitions left, so they are another worker's concern."""
        self._heard_ms.clear()
        self._counted_from_ms.clear()
        self._silent.clear()

    @property
    def named(self) -> frozenset[str]:
        """The feeds that have a time of their own."""
        return frozenset(self._own_ms)

    def silent(self) -> dict[str, bool]:
        """True for a feed that is silent now, for each feed that was ever heard."""
        return {feed: feed in self._silent for feed in sorted(self._heard_ms)}

    def quiet_ms(self, now_ms: int) -> dict[str, int]:
        """For each feed that was ever heard, the time since its last record."""
        return {feed: now_ms - heard for feed, heard in sorted(self._heard_ms.items())}
