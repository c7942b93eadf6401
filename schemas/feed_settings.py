"""Settings of feeds: what is known of those who deliver records, beside what their records say.

Without a file of them every record speaks for itself. With one, a feed that is not in it vouches for nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.codes import VERIFIED
from schemas.envelopes import ENVELOPES
from schemas.feeds import FEEDS
from schemas.numbers import NUMBER_FORMATS

VOUCHES = VERIFIED[1:]
LEGS = ("", "originating", "terminating", "transit")  # of a call, by their code
FORMATS = NUMBER_FORMATS
KINDS_OF_ENVELOPE = ENVELOPES
INPUTS = tuple(FEEDS)

LATENESS_MAX_MS = 7 * 86_400_000
OFFSET_MAX_MS = 7 * 86_400_000
SILENT_MAX_MS = 30 * 86_400_000


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """vouches: the strongest `verified` that the feed's records may claim. offset_ms: added to all their times. zone:
    of times without one; None: those are flaws. lateness_ms, silent_after_ms, region: None for the worker's own. leg:
    the end of a call that the feed tells. envelope: the wrapping of its records. topics: those that it delivers; empty
    for all."""

    vouches: str = "none"
    offset_ms: int = 0
    zone: str | None = None
    lateness_ms: int | None = None
    number_format: str = FORMATS[0]
    region: str | None = None
    silent_after_ms: int | None = None
    leg: str = ""
    envelope: str | None = None
    topics: tuple[str, ...] = ()


UNKNOWN = FeedSettings()
SPEAKS_FOR_ITSELF = FeedSettings(vouches=VOUCHES[0])


@dataclass(frozen=True)
class FeedBook:
    """The settings of all feeds. version: a hash of what they say; "" without a file."""

    feeds: Mapping[str, FeedSettings] = field(default_factory=dict)
    version: str = ""

    @property
    def own_silence_ms(self) -> dict[str, int]:
        """The time without records after which each feed counts as silent that has a time of its own."""
        return {name: each.silent_after_ms for name, each in self.feeds.items() if each.silent_after_ms is not None}

    def of(self, name: str, topic: str) -> FeedSettings:
        """The settings of a feed of this name where it delivers the topic."""
        if not self.version:
            return SPEAKS_FOR_ITSELF
        found = self.feeds.get(name, UNKNOWN)
        return found if not found.topics or topic in found.topics else UNKNOWN


NO_BOOK = FeedBook()
