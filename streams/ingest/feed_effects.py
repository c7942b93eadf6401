"""The effects that the settings of feeds have on the records of one topic: what is vouched for, clocks, numbers,
envelopes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from schemas.codes import VERIFIED
from schemas.decoding import ZoneOf
from schemas.envelopes import opened
from schemas.feed_settings import UNKNOWN, FeedSettings
from schemas.feeds import FEEDS
from streams.ingest.feed_codes import Feeds, header_text, named_in
from streams.ingest.number_reader import NumberReader
from streams.kernels.fields import FEED_CODES
from streams.kernels.scan import SLOW


class FeedEffects:
    """The settings of all feeds as one topic's decoder needs them. Without a file of feeds nothing has an effect."""

    def __init__(self, feeds: Feeds, topic: str, region: str) -> None:
        self._feeds, self._topic, self._region = feeds, topic, region
        self._naming = FEEDS[topic].naming
        known = {name: feeds.book.of(name, topic) for name in feeds.book.feeds}
        self._zones = {name: ZoneInfo(each.zone) for name, each in known.items() if each.zone}
        self._envelopes = {name: each.envelope for name, each in known.items() if each.envelope}
        self._offsets = self._array(known, lambda each: each.offset_ms, np.int64)
        self._caps = None  # of the code of `verified`: the higher, the weaker
        if feeds.book.version:
            self._caps = self._array(known, lambda each: VERIFIED.index(each.vouches), np.uint8)
        self._ways = [(region, UNKNOWN.number_format)]
        self._ways += sorted({self._way_of(each) for each in known.values()} - {*self._ways})
        self.readers = [NumberReader(*way) for way in self._ways]
        self._way = self._array(known, lambda each: self._ways.index(self._way_of(each)), np.uint8)

    def _way_of(self, settings: FeedSettings) -> tuple[str, str]:
        """The region and the format of a feed's numbers."""
        return settings.region or self._region, settings.number_format

    def _array(
        self, known: Mapping[str, FeedSettings], of: Callable[[FeedSettings], int], kind: Any
    ) -> np.ndarray | None:
        """One value for each code; None where all are the same and 0."""
        out = np.full(FEED_CODES, of(UNKNOWN), kind)
        for name, settings in known.items():
            out[self._feeds.code(name)] = of(settings)
        return out if out.any() else None

    @property
    def one_way(self) -> bool:
        """True while all feeds write numbers alike."""
        return self._way is None

    def settings(self, header: bytes | None, found: Mapping[str, Any]) -> FeedSettings:
        """The settings of the feed of one record, by its header and its fields."""
        return self._feeds.book.of(self._name(header, found), self._topic)

    def zone_of(self, header: bytes | None) -> ZoneOf | None:
        """The zones of times without one, for `schemas.decoding.read`."""
        if not self._zones:
            return None

        def zone(found: Mapping[str, Any]) -> tzinfo | None:
            name = self._name(header, found)
            return self._zones.get(name) if self._feeds.book.of(name, self._topic).zone else None

        return zone

    def reader(self, settings: FeedSettings) -> NumberReader:
        return self.readers[self._ways.index(self._way_of(settings))]

    def opened(self, values: Sequence[bytes | None], named: Sequence[bytes | None] | None) -> Sequence[bytes | None]:
        """The records without their envelopes: of feeds that a header names, or that are named as the topic is. What
        the fields of a record say is not known before it is opened."""
        if not self._envelopes:
            return values
        of_topic = self._envelopes.get(self._topic)
        if named is None:
            return values if of_topic is None else [opened(of_topic, value) for value in values]
        out = []
        for value, header in zip(values, named, strict=True):
            name = header_text(header)
            envelope = of_topic if name is None else self._envelopes.get(name)
            out.append(value if envelope is None else opened(envelope, value))
        return out

    def read_numbers(
        self, codes: np.ndarray, status: np.ndarray, read: Callable[[NumberReader, np.ndarray], None]
    ) -> None:
        """Calls `read` with each reader and the status of the records that it is to read."""
        assert self._way is not None
        way = self._way[codes]
        for number, reader in enumerate(self.readers):
            mine = way == number
            if mine.any():
                masked = np.where(mine, status, np.uint8(SLOW))
                read(reader, masked)
                status[mine] = masked[mine]

    def apply(self, codes: np.ndarray, columns: dict[str, np.ndarray]) -> None:
        """Corrects clocks, and takes back what a feed does not vouch for."""
        if self._caps is not None and "verified" in columns:
            np.maximum(columns["verified"], self._caps[codes], out=columns["verified"])
        if self._offsets is not None:
            shift = self._offsets[codes]
            for name in FEEDS[self._topic].times:
                columns[name] += np.where(columns[name] != 0, shift, 0)

    def _name(self, header: bytes | None, found: Mapping[str, Any]) -> str:
        return header_text(header) or named_in(found, self._naming) or self._topic
