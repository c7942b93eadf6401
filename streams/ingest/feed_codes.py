"""Feeds: who delivered a record. Its header `feed` says so, else its field `carrier`, else `relay`; else the feed is
the topic itself.

In columns a feed is a code that hangs on its name alone, so it is the same in every worker, after every restore, and
however many names there are (docs/decisions/0028-a-feeds-code-hangs-on-its-name.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from schemas.feed_settings import LEGS, NO_BOOK, FeedBook
from schemas.objects import ObjectError, read_pairs
from schemas.records import ID_MAX
from streams.ingest.packed import Packed
from streams.kernels.fields import FEED_CODES, ascii_hashes, feed_codes
from streams.kernels.words import PADDING, hash_bytes

HEADER = "feed"
NO_FEED = 0  # the code of records that name none: their feed is their topic
NAMES_KEPT_MAX = 1_000  # of feeds, to be shown; counting needs none
HEADERS_CACHED_MAX = 10_000
OTHERS = "others"  # stands for the feeds beyond NAMES_KEPT_MAX


def text_hash(text: str) -> int:
    """The hash that the kernels give the same string: non-zero int64 of its UTF-8, halves of surrogate pairs kept."""
    raw = text.encode("utf-8", "surrogatepass")
    padded = np.frombuffer(raw + bytes(PADDING), np.uint8)
    return int(hash_bytes(padded.ctypes.data, 0, len(raw)))


def feeds_of(headers: Iterable[Iterable[tuple[str, bytes | None]] | None]) -> list[bytes | None] | None:
    """The feed that each record's headers name, the first where several do; None where no record has such a header."""
    named = [next((value for name, value in each or () if name == HEADER), None) for each in headers]
    return named if any(name is not None for name in named) else None


class Feeds:
    """The codes of feeds, the names of those that were seen, and what is known of each.

    lateness_ms: int64[FEED_CODES], -1 where the feed has none of its own. leg: uint8[FEED_CODES], the place among LEGS
    of the end of a call that it tells."""

    def __init__(self, book: FeedBook = NO_BOOK) -> None:
        self.book = book
        self._listed = np.zeros(FEED_CODES, np.int64)  # hash of the name that has a code to itself
        for name in sorted(book.feeds):
            code = self.code(name)
            self._listed[code] = text_hash(name)
        self.lateness_ms = np.full(FEED_CODES, -1, np.int64)
        self.leg = np.zeros(FEED_CODES, np.uint8)
        for name, settings in book.feeds.items():
            code = self.code(name)
            self.leg[code] = LEGS.index(settings.leg)
            if settings.lateness_ms is not None:
                self.lateness_ms[code] = settings.lateness_ms
        self._hashes: dict[bytes | None, int] = {None: 0}  # of headers
        self._known = np.zeros(FEED_CODES, np.bool_)
        self._known[NO_FEED] = True
        self._names: dict[int, str] = {}

    def under(self, book: FeedBook) -> Feeds:
        """The same feeds, as far as they were seen, under other settings. A name that has ceased to have a code to
        itself, or has one now, may have another code."""
        new = Feeds(book)
        for name in list(self._names.values()):  # copied at once: another thread may be learning the next one
            code = new.code(name)
            new._known[code] = True
            new._names[code] = name
        return new

    def codes(
        self, topic: str, named: Sequence[bytes | None] | None, naming: Sequence[np.ndarray], n: int
    ) -> np.ndarray:
        """int32[n]: the feed of each record of a topic. named: each one's header, if any has one. naming: int64[n]
        each, hashes of the fields that name the feed of the others, 0 where absent, the first that is present."""
        out = np.empty(n, np.int32)
        none = np.empty(0, np.int64)
        header = none if named is None else self._header_hashes(named, n)
        feed_codes(header, *(*naming, none, none)[:2], self._listed, out)
        if topic in self.book.feeds:  # as if each record that names none named it
            out[out == NO_FEED] = self.code(topic)
        return out

    def code(self, name: str) -> int:
        """The code of a feed of this name."""
        out = np.empty(1, np.int32)
        none = np.empty(0, np.int64)
        feed_codes(np.array([text_hash(name)]), none, none, self._listed, out)
        return int(out[0])

    def name(self, code: int, topic: str) -> str:
        """The name to show of a feed of a topic's records."""
        return topic if code == NO_FEED else self._names.get(code, OTHERS)

    def learn(
        self,
        codes: np.ndarray,
        named: Sequence[bytes | None] | None,
        values: Sequence[bytes | None],
        naming: Sequence[str],
    ) -> None:
        """Notes the names of feeds that are new. naming: the fields that may name one."""
        fresh = np.flatnonzero(~self._known[codes])
        while len(fresh) and len(self._names) < NAMES_KEPT_MAX:
            i = int(fresh[0])
            code = int(codes[i])
            self._known[code] = True
            name = name_of(None if named is None else named[i], values[i], naming)
            if name is not None:
                self._names[code] = name
            fresh = fresh[~self._known[codes[fresh]]]

    def _header_hashes(self, named: Sequence[bytes | None], n: int) -> np.ndarray:
        """int64[n]: the hash of the feed in each header, 0 for none."""
        if not isinstance(named, Packed):
            return np.fromiter(map(self._header_hash, named), np.int64, n)
        out, slow = np.empty(n, np.int64), np.empty(n, np.bool_)
        ascii_hashes(named.buffer.ctypes.data, named.at, named.length, ID_MAX, out, slow)
        for i in np.flatnonzero(slow).tolist():
            out[i] = self._header_hash(named[i])
        return out

    def _header_hash(self, header: bytes | None) -> int:
        found = self._hashes.get(header)
        if found is None:
            if len(self._hashes) >= HEADERS_CACHED_MAX:
                self._hashes = {None: 0}
            name = header_text(header)
            found = self._hashes[header] = 0 if name is None else text_hash(name)
        return found


def present(codes: np.ndarray) -> tuple[list[int], list[int]]:
    """(each feed among the codes, how many there are of each)."""
    if len(codes) and (codes == codes[0]).all():
        return [int(codes[0])], [len(codes)]
    found, counts = np.unique(codes, return_counts=True)
    return found.tolist(), counts.tolist()


def header_text(header: bytes | None) -> str | None:
    """The name in a header, None where it can be none: empty, too long, not UTF-8."""
    try:
        name = (header or b"").decode()
    except UnicodeDecodeError:
        return None
    return name if 0 < len(name) <= ID_MAX else None


def name_of(header: bytes | None, value: bytes | None, naming: Sequence[str]) -> str | None:
    """The name of the feed that a record names, None if it names none, or cannot be read and has no header."""
    if (name := header_text(header)) is not None or not naming:
        return name
    try:
        return named_in(dict(read_pairs(value)), naming)
    except ObjectError:
        return None


def named_in(found: Mapping[str, Any], naming: Sequence[str]) -> str | None:
    """The feed that a record's fields name, the first that can be a name."""
    return next((text for field in naming if _is_name(text := found.get(field))), None)


def _is_name(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= ID_MAX and not any("\ud800" <= c <= "\udfff" for c in text)
