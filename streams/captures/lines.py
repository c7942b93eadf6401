"""Lines as `kcat -C -J` prints them, read in batches.

Most lines take the fast way through compiled kernels. Lines that a kernel does not understand completely go one by one
to the exact reader, which alone decides whether a line can be read. Both give the same result for every line that both
read.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np

from schemas.json_reading import JsonReader, Unreadable
from streams.captures.rows import NO_RECORD, CaptureRows
from streams.ingest.feed_codes import HEADERS_CACHED_MAX, feeds_of
from streams.ingest.packed import Packed
from streams.kernels.lines import NAME_WORDS, NAMES, PARTITIONS_MAX, read_lines
from streams.kernels.scan import SLOW, name_words
from streams.kernels.words import PADDING

FAST_TOPICS_MAX = 64  # others are read exactly each time
FAST_TOPIC_BYTES_MAX = 16

# Far more than a topic can have: a slip in a file must not make tables of two thousand million entries.
Partition = Annotated[int, msgspec.Meta(ge=0, lt=PARTITIONS_MAX)]
Offset = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
Timestamp = Annotated[int, msgspec.Meta(ge=-1, lt=1 << 62)]


_HEADERS = JsonReader(list[str | None])
_NO_HEADERS = msgspec.Raw(b"[]")


class Line(msgspec.Struct, gc=False):
    """One line as kcat prints it; other fields are ignored. `ts` is -1 when there is none. Bytes that are no UTF-8 text
    are in base64 fields instead of `key` or `payload`; that is our own addition, kcat prints such bytes as they are."""

    topic: str
    partition: Partition
    offset: Offset
    payload: str | None = None
    key: str | None = None
    ts: Timestamp = -1
    key_base64: str | None = None
    payload_base64: str | None = None
    headers: msgspec.Raw = _NO_HEADERS
    headers_base64: msgspec.Raw = _NO_HEADERS


class NestedLine(msgspec.Struct):
    """A line whose payload is an object instead of a string."""

    topic: str
    partition: Partition
    offset: Offset
    payload: msgspec.Raw
    key: str | None = None
    ts: Timestamp = -1
    headers: msgspec.Raw = _NO_HEADERS


class LineReader:
    """Reads batches of lines; `topics` are known from the start and keep their indices in `CaptureRows.topics`."""

    def __init__(self, topics: Sequence[str] = ()) -> None:
        self.topics = list(topics)
        self._code = {topic: code for code, topic in enumerate(self.topics)}
        self._fast_codes = [code for code, topic in enumerate(self.topics) if _fits(topic)]
        self._words = name_words([self.topics[code] for code in self._fast_codes])
        self._following = np.arange(1, len(NAMES) + 1, dtype=np.int64) % len(NAMES)
        self._feeds: dict[bytes, bytes | None] = {b"[]": None}  # by the list of headers
        self._line = JsonReader(Line)
        self._nested = JsonReader(NestedLine)

    def read_list(self, lines: Sequence[bytes]) -> CaptureRows:
        """Reads lines that may or may not end in line feeds."""
        buffer = np.frombuffer(b"".join((*lines, bytes(PADDING))), np.uint8)
        return self.read(buffer, 0, np.cumsum(np.fromiter(map(len, lines), np.int64, len(lines))))

    def read(self, buffer: np.ndarray, begin: int, ends: np.ndarray) -> CaptureRows:
        """Reads the lines of a buffer. buffer: uint8[m] with PADDING after the last line; begin: the start of the first
        line; ends: int64[n]."""
        n = len(ends)
        out = np.empty((int(ends[-1]) - begin if n else 0) + 2 * PADDING, np.uint8)
        topic, numbers = np.empty(n, np.int64), np.empty((n, 3), np.int64)
        spans, lists, status = np.empty((n, 2, 2), np.int64), np.empty((n, 2), np.int64), np.empty(n, np.uint8)
        written = read_lines(
            buffer.ctypes.data, begin, ends, NAME_WORDS, self._following, self._words, out.ctypes.data,
            topic, numbers, spans, lists, status,
        )  # fmt: skip
        if self._fast_codes != list(range(len(self._fast_codes))):
            topic = np.array([*self._fast_codes, NO_RECORD], np.int64)[np.where(status == SLOW, -1, topic)]
        feeds = self._fast_feeds(buffer, lists, status)
        unread: list[tuple[int, bytes, Exception]] = []
        tail: list[bytes] = []
        for i in np.flatnonzero(status == SLOW).tolist():
            raw = buffer[ends[i - 1] if i else begin : ends[i]].tobytes()
            topic[i], numbers[i], spans[i] = NO_RECORD, -1, (0, -1)
            if not raw.strip():
                continue
            try:
                line = self.parse(raw)
                both = texts(line)
            except ValueError as error:
                unread.append((i, raw, error))
                continue
            topic[i], numbers[i] = self._place(line.topic), (line.partition, line.offset, line.ts)
            if (feed := feed_in(line)) is not None:
                feeds[i] = feed
            for which, text in enumerate(both):
                if text is not None:
                    spans[i, which] = written, len(text)
                    written += len(text)
                    tail.append(text)
        if tail:
            whole = b"".join(tail)
            out = np.concatenate((out[: written - len(whole)], np.frombuffer(whole, np.uint8)))
        at, length = np.ascontiguousarray(spans[:, :, 0].T), np.ascontiguousarray(spans[:, :, 1].T)
        return CaptureRows(
            self.topics, topic, numbers[:, 0].astype(np.int32), numbers[:, 1].copy(), numbers[:, 2].copy(),
            Packed(out, at[0], length[0]), Packed(out, at[1], length[1]), unread,
            [feeds.get(i) for i in range(n)] if feeds else None,
        )  # fmt: skip

    def _fast_feeds(self, buffer: np.ndarray, lists: np.ndarray, status: np.ndarray) -> dict[int, bytes | None]:
        """By line, the header `feed` of those that were read fast. Lists of headers are few and come again."""
        found: dict[int, bytes | None] = {}
        for i in np.flatnonzero((lists[:, 1] > len("[]")) & (status != SLOW)).tolist():
            at, length = lists[i].tolist()
            headers = buffer[at : at + length].tobytes()
            if headers not in self._feeds:
                if len(self._feeds) >= HEADERS_CACHED_MAX:
                    self._feeds.clear()
                self._feeds[headers] = _feed_among(headers)
            if (feed := self._feeds[headers]) is not None:
                found[i] = feed
        return found

    def parse(self, raw: bytes) -> Line:
        """Reads one line with the exact reader. Raises Unreadable."""
        try:
            return self._line.read(raw)
        except Unreadable as error:
            try:
                nested = self._nested.read(raw)
                if bytes(nested.payload)[:1] != b"{":
                    raise error
                payload = bytes(nested.payload).decode()
            except ValueError:
                raise error from None
            return Line(
                nested.topic, nested.partition, nested.offset, payload, nested.key, nested.ts, headers=nested.headers
            )

    def _place(self, topic: str) -> int:
        """Returns the topic's index, a new one if it was not seen before; from the next batch on it is read fast."""
        code = self._code.get(topic)
        if code is None:
            code = self._code[topic] = len(self.topics)
            self.topics.append(topic)
            if _fits(topic) and len(self._fast_codes) < FAST_TOPICS_MAX:
                self._fast_codes.append(code)
                self._words = np.concatenate((self._words, name_words([topic])))
        return code


def texts(line: Line) -> tuple[bytes | None, bytes | None]:
    """Key and payload as bytes. Raises ValueError for a text that should be base64 and is not."""
    return _text(line.key, line.key_base64), _text(line.payload, line.payload_base64)


def feed_in(line: Line) -> bytes | None:
    """The header `feed` of a line, None without one. Headers that are no list of names and values say nothing."""
    if (encoded := _feed_among(bytes(line.headers_base64))) is None:
        return _feed_among(bytes(line.headers))
    try:
        return b64decode(encoded, validate=True)
    except ValueError:
        return None


def _feed_among(headers: bytes) -> bytes | None:
    """headers: JSON, a name and a value by turns, as kcat prints them."""
    if b"feed" not in headers and b"\\" not in headers:
        return None
    try:
        flat = _HEADERS.read(headers)
    except Unreadable:
        return None
    named = feeds_of([[(name or "", _text(value, None)) for name, value in zip(flat[::2], flat[1::2], strict=False)]])
    return named[0] if named else None


def _fits(topic: str) -> bool:
    return 0 < len(topic.encode("utf-8", "surrogatepass")) <= FAST_TOPIC_BYTES_MAX and topic.isascii()


def _text(text: str | None, base64: str | None) -> bytes | None:
    if base64 is not None:
        return b64decode(base64, validate=True)
    # A lone surrogate is kept as the bytes that it would have: the reader of the value reports what is wrong with it.
    return None if text is None else text.encode("utf-8", "surrogatepass")
