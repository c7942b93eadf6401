"""From fetched values to columns: one `Decoder` per input topic, pure, the same columns whichever way a record took.

Most records take the fast way: the batch is laid out in one buffer, compiled kernels find and convert its fields, each
record inside its own bounds. What a kernel does not understand completely goes one by one to the exact decoder in
`schemas.decoding`, which alone decides what is wrong with a record: a flawed field is absent, and without its time,
number, id or kind of event the record becomes a dead letter, whole.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import numpy as np

from rules.lexicon import Lexicon
from schemas import codes, decoding, records, topics
from schemas.feeds import EVENTS, FEEDS
from streams.ingest.epoch import OutRecord, RawBatch
from streams.ingest.feed_codes import HEADER, Feeds, name_of, present, text_hash
from streams.ingest.feed_effects import FeedEffects
from streams.ingest.fields import RELAY
from streams.ingest.names import Names
from streams.ingest.number_reader import NumberReader
from streams.ingest.packed import Packed
from streams.ingest.text_columns import TextColumns
from streams.kernels import fields as field_kernels
from streams.kernels.scan import SLOW, name_words, scan
from streams.kernels.words import PADDING

UNVERIFIED = codes.VERIFIED.index("none")

# A dead letter longer than this is kept as headers, its sha256 and its beginning (design, section 3).
DEAD_LETTER_WHOLE_BYTES = 900_000
DEAD_LETTER_KEPT_BYTES = 64 * 1024
DEAD_LETTER_REST_BYTES = 12 * 1024  # of the key and all headers; what does not fit is left out, and CUT says so
CUT = "grayline.cut"

# (feed, RECORDS, ""), (feed, DEAD, reason) or (feed, FLAWED, field of a record that counts).
Told = tuple[str, str, str]
RECORDS, DEAD, FLAWED = "records", "dead", "flawed"
NAMES_MAX = 100_000  # of relays that a decoder remembers
TEXTS_READ_EXACTLY = "texts_read_exactly"  # in `Decoded.counts`: texts that the kernel left to the exact reader
ORDER = "order"  # the column with the whole record and its offset, of topics whose records are orders


@dataclass(slots=True)
class Decoded:
    """One topic's share of an epoch as columns, one row per event (a `complete` record has three or four)."""

    topic: str
    columns: dict[str, np.ndarray]
    last_line: int  # index in the epoch of the last record, dead or alive; -1 without records
    dead_letters: list[OutRecord] = field(default_factory=list)
    dead_lines: list[int] = field(default_factory=list)  # each dead letter's index in the epoch
    counts: Counter[str] = field(default_factory=Counter)  # dead letters by reason; "records" counts all
    by_feed: Counter[Told] = field(default_factory=Counter)
    relays: dict[int, str] = field(default_factory=dict)  # names by their hashes in the column, where rules ask
    rekeyed: list[OutRecord] = field(default_factory=list)  # strays (streams.ingest.strays), which have no columns here
    # Events that are counted for others than their number, in columns by subject (streams.ingest.derived).
    derived: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)  # the texts of whom they are counted for (streams.ingest.names)

    def __len__(self) -> int:
        return len(self.columns["line"])


class Decoder:
    """Decodes one topic. `wanted`: the optional fields that loaded rules read; others are not looked at, except those
    that say who vouches for the number and who delivered the record. feeds: shared by the decoders of an engine.
    features: of its texts, those that loaded rules read; lexicon: by which, the one that ships unless given.
    tells_relays: names the relays of records, which `wanted` has then. names: learns the texts that it asks for."""

    def __init__(
        self,
        topic: str,
        wanted: frozenset[str],
        region: str = "KR",
        feeds: Feeds | None = None,
        features: frozenset[str] = frozenset(),
        lexicon: Lexicon | None = None,
        tells_relays: bool = False,
        names: Names | None = None,
    ) -> None:
        self.topic = topic
        self.feed = feed = FEEDS[topic]
        self.feeds = feeds or Feeds()
        self.region = region
        self._scratch = frozenset(feed.naming) - wanted  # decoded, and columns of nobody's
        self.wanted = frozenset(wanted) | set(feed.vouching) | set(feed.naming)
        unknown = self.wanted - set(feed.optional)
        if unknown:
            raise ValueError(f"{topic} has no optional field {', '.join(sorted(unknown))}")
        self.names = (*feed.required, *sorted(self.wanted | set(feed.complete)))
        self._events = tuple(event if event in feed.events else "" for event in EVENTS)
        self.field_index = {name: i for i, name in enumerate(self.names)}
        self._name_words = name_words(self.names)
        self._spans = np.empty((0, len(self.names), 2), np.int64)
        self._following = np.zeros(len(self.names), np.int64)
        choices = dict(feed.choices) | ({"event": self._events} if "event" in feed.fields else {})
        self._choice_words = {name: name_words(values) for name, values in choices.items() if name in self.names}
        for event in np.flatnonzero([not name for name in self._events]) if "event" in choices else ():
            self._choice_words["event"][event] = 0  # that name belongs to another topic
        self.texts = TextColumns(features, region, lexicon)
        self._effects = FeedEffects(self.feeds, topic, region)
        self.tells_relays, self._names = tells_relays, dict[int, str]()
        self._learnt = names or Names({})

    def decode(self, raw: RawBatch) -> Decoded:
        n = len(raw.values)
        columns = self._columns(n)
        values = self._effects.opened(raw.values, raw.feeds)
        buffer, status, fast_flawed = self._fast(values, raw.feeds, columns)
        flawed: list[tuple[int, str]] = []
        died: list[tuple[str | None, str]] = []
        dead: list[OutRecord] = []
        counts: Counter[str] = Counter(records=n)
        keep = np.ones(n, bool)
        for i in np.flatnonzero(status == SLOW).tolist():
            try:
                flawed += [(i, name) for name in self._fill(columns, i, values[i], raw.feeds[i] if raw.feeds else None)]
            except decoding.RecordError as error:
                keep[i] = False
                counts[error.code] += 1
                named = name_of(raw.feeds[i] if raw.feeds else None, values[i], self.feed.naming)
                died.append((named, error.code))
                dead.append(dead_letter(raw, i, error, named))
        del buffer
        if exact := self.texts.taken():
            counts[TEXTS_READ_EXACTLY] = exact
        feed = columns["feed"] = self._feed(raw.feeds, values, columns)
        self._effects.apply(feed, columns)
        self._learnt.learn(self.topic, columns, partial(self._text, raw, values))
        by_feed = self._by_feed(feed, flawed, died, fast_flawed)
        columns["line"], columns["partition"], columns["timestamp"] = raw.order, raw.partition, raw.timestamp
        dead_lines = raw.order[~keep].tolist()
        if dead:
            columns = {name: column[keep] for name, column in columns.items()}
        if self.feed.id is None:
            columns["id"] = _identity(columns)
        if self.feed.is_order:
            columns[ORDER] = self._orders(raw, values, np.flatnonzero(keep))
        relays = self._relays(raw, values, np.flatnonzero(keep), columns[RELAY]) if self.tells_relays else {}
        if self.feed.complete:
            columns = _expand(columns)
        last = int(raw.order[-1]) if n else -1
        return Decoded(self.topic, columns, last, dead, dead_lines, counts, by_feed, relays)

    def _relays(
        self, raw: RawBatch, values: Sequence[bytes | None], kept: np.ndarray, hashes: np.ndarray
    ) -> dict[int, str]:
        """The names of the relays of these records by their hashes, int64[k]. Each name is read once: they are few."""
        found, first = np.unique(hashes, return_index=True)
        if len(self._names) > NAMES_MAX:
            self._names.clear()
        for code, k in zip(found.tolist(), first.tolist(), strict=True):
            if code and code not in self._names:
                name = self._text(raw, values, RELAY, int(kept[k]))
                self._names[code] = name if name and name.isprintable() else ""  # half a character has no bytes
        return {code: self._names[code] for code in found.tolist() if self._names.get(code)}

    def _orders(self, raw: RawBatch, values: Sequence[bytes | None], kept: np.ndarray) -> np.ndarray:
        """object[k]: the records that are kept, whole: other columns have hashes of their texts. Few come."""
        found = np.empty(len(kept), object)
        for k, i in enumerate(kept.tolist()):
            zone_of = self._effects.zone_of(raw.feeds[i] if raw.feeds else None)
            found[k] = decoding.read(self.topic, values[i], self.wanted, zone_of)[0] | {"offset": int(raw.offset[i])}
        return found

    def _text(self, raw: RawBatch, values: Sequence[bytes | None], name: str, i: int) -> str | None:
        """A field of the i-th record that is a text; None of one that cannot be read."""
        zone_of = self._effects.zone_of(raw.feeds[i] if raw.feeds else None)
        try:
            return str(decoding.read(self.topic, values[i], frozenset({name}), zone_of)[0][name])
        except (decoding.RecordError, KeyError):
            return None

    def kinds(self) -> dict[str, np.dtype]:
        """The columns of this topic that stand for fields of the record, and their types."""
        hidden = self._scratch | set(self.feed.complete)
        return {name: c.dtype for name, c in self._columns(0).items() if name not in hidden} | {
            "feed": np.dtype(np.int32)
        }

    def _feed(
        self, named: Sequence[bytes | None] | None, values: Sequence[bytes | None], columns: dict[str, np.ndarray]
    ) -> np.ndarray:
        """int32[n]: each record's feed. Takes out of `columns` what nobody else reads."""
        found = self._codes(named, columns, len(values))
        self.feeds.learn(found, named, values, self.feed.naming)
        for name in self._scratch:
            del columns[name]
        return found

    def _by_feed(
        self,
        feed: np.ndarray,
        flawed: list[tuple[int, str]],
        died: list[tuple[str | None, str]],
        fast_flawed: np.ndarray,
    ) -> Counter[Told]:
        """feed: of each record. flawed: (index, field) of those that count. died: (the feed that it named, reason).
        fast_flawed: uint32[n], flawed fields of further records as bits."""
        shown = self.feeds.name
        told: Counter[Told] = Counter()
        for code, count in zip(*present(feed), strict=True):
            told[shown(code, self.topic), RECORDS, ""] += count
        told.update((shown(int(feed[i]), self.topic), FLAWED, name) for i, name in flawed)
        for field_name in self.names if fast_flawed.any() else ():
            which = (fast_flawed >> np.uint32(self.field_index[field_name])) & np.uint32(1) == 1
            for code, count in zip(*present(feed[which]), strict=True):
                told[shown(code, self.topic), FLAWED, field_name] += count
        for name, reason in died:
            told[self.topic if name is None else shown(self.feeds.code(name), self.topic), DEAD, reason] += 1
        return told

    def _codes(self, named: Sequence[bytes | None] | None, columns: dict[str, np.ndarray], n: int) -> np.ndarray:
        return self.feeds.codes(self.topic, named, [columns[name] for name in self.feed.naming], n)

    def _columns(self, n: int) -> dict[str, np.ndarray]:
        """Zeroed columns; zero is "absent" in each."""
        out = {name: np.zeros(n, np.int64) for name in (*self.feed.times, "id", "number", "peer")}
        for name in ("number_type", "peer_type", "access"):
            out[name] = np.zeros(n, np.uint8)
        for name in (*self.wanted, *self.feed.required):
            if name in self._choice_words:
                out[name] = np.zeros(n, np.uint8)
            elif name in self.wanted:
                out[name] = np.zeros(n, np.int64)
        out["event"] = np.full(n, self._only_event(), np.uint8)
        out["topic"] = np.full(n, self.feed.code, np.uint8)
        out |= self.texts.zeros(n)
        if "verified" in out:
            out["verified"][:] = UNVERIFIED
        return out

    def _only_event(self) -> int:
        """The code of the topic's kind of event; 0 where the record says which."""
        return 0 if "event" in self._choice_words else EVENTS.index(self.feed.events[0])

    def _fast(
        self, values: Sequence[bytes | None], named: Sequence[bytes | None] | None, columns: dict[str, np.ndarray]
    ) -> tuple[bytes | memoryview, np.ndarray, np.ndarray]:
        """(the values laid out, uint8[n] OK or SLOW, uint32[n] the flawed fields of those that are OK, as bits)."""
        n = len(values)
        # A tombstone is laid out as an empty value: the exact decoder gets the original.
        buffer: bytes | memoryview
        if isinstance(values, Packed):
            buffer, ends = values.laid_out()
        else:
            whole = cast("list[bytes]", values if None not in values else [value or b"" for value in values])
            buffer = b"".join((*whole, bytes(PADDING)))
            ends = np.cumsum(np.fromiter(map(len, whole), np.int64, n))
        if len(self._spans) < n:  # kept between batches: fresh pages for it each time cost more than filling it
            self._spans = np.empty((n, len(self.names), 2), np.int64)
        spans = self._spans[:n]
        kinds = np.zeros((n, len(self.names)), np.uint8)
        status, flawed = np.zeros(n, np.uint8), np.zeros(n, np.uint32)
        base = np.frombuffer(buffer, np.uint8).ctypes.data
        scan(base, ends, self._name_words, self._following, spans, kinds, status)
        skip = status.copy()
        for name in self.names:
            at, required = self.field_index[name], name in self.feed.required
            if self.feed.fields[name].kind == "time":
                field_kernels.times(base, spans, kinds, at, required, columns[name], status)
            elif name in self._choice_words:
                words = self._choice_words[name]
                field_kernels.choices(base, spans, kinds, at, required, words, columns[name], status)
            elif name == self.feed.id:
                field_kernels.hashes(base, spans, kinds, at, True, False, records.ID_MAX, columns["id"], status, flawed)
            elif name not in (self.feed.number, self.feed.peer):
                longest = self.feed.fields[name].max_length
                column = columns[name] if name in columns else np.empty(n, np.int64)  # checked, and read by nobody
                lenient = name not in self.feed.essential
                field_kernels.hashes(base, spans, kinds, at, required, lenient, longest, column, status, flawed)

        def read(reader: NumberReader, status: np.ndarray) -> None:
            for name, target in ((self.feed.number, "number"), (self.feed.peer, "peer")):
                if name is not None:
                    key, kind = columns[target], columns[f"{target}_type"]
                    access = columns["access"] if target == "number" else np.empty(n, np.uint8)
                    reader.read(base, buffer, spans, kinds, self.field_index[name], status, key, kind, access)

        if self._effects.one_way:
            read(self._effects.readers[0], status)
        else:  # who delivered is known by now
            self._effects.read_numbers(self._codes(named, columns, n), status, read)
        if self.feed.complete:
            status[_inconsistent(columns)] = SLOW
        np.maximum(status, skip, out=status)
        if self.feed.text in self.field_index:
            self.texts.read(base, buffer, spans, kinds, self.field_index[self.feed.text], status, columns)
        flawed[status == SLOW] = 0  # the exact decoder says
        return buffer, status, flawed

    def _fill(self, columns: dict[str, np.ndarray], i: int, value: bytes | None, header: bytes | None) -> list[str]:
        """Decodes one record exactly and writes it over whatever the kernels left in row i; returns the names of its
        flawed fields. Raises RecordError."""
        feed = self.feed
        record, flaws = decoding.read(self.topic, value, self.wanted, self._effects.zone_of(header))
        reader = self._effects.reader(self._effects.settings(header, record))
        fixed = {"verified": UNVERIFIED, "topic": feed.code, "event": self._only_event()}
        for name, column in columns.items():
            column[i] = fixed.get(name, 0)
        for name, item in record.items():
            if feed.fields[name].kind == "time":
                if name in columns:
                    columns[name][i] = item
            elif name == "event":
                columns[name][i] = EVENTS.index(str(item))
            elif name in feed.choices:
                columns[name][i] = feed.choices[name].index(str(item))
            elif name in (feed.number, feed.peer):
                number = reader.one(str(item))
                target = "number" if name == feed.number else "peer"
                columns[target][i], columns[f"{target}_type"][i] = number.key, number.type
                if target == "number":
                    columns["access"][i] = number.access
            elif (name := "id" if name == feed.id else name) in columns:
                columns[name][i] = text_hash(str(item))
        if feed.text is not None:
            self.texts.read_one(record.get(feed.text), i, columns)
        return [str(flaw.field) for flaw in flaws]


def dead_letter(raw: RawBatch, i: int, error: decoding.RecordError, feed: str | None = None) -> OutRecord:
    """The record verbatim, with what was wrong and where it came from in headers named as Kafka Connect names them.
    feed: the one that it names."""
    value = raw.values[i]
    partition = raw.partition if raw.origin is None else raw.origin
    headers = [
        ("__connect.errors.topic", raw.topic.encode()),
        ("__connect.errors.partition", b"%d" % partition[i]),
        ("__connect.errors.offset", b"%d" % raw.offset[i]),
        ("__connect.errors.exception.class.name", error.code.encode()),
        ("__connect.errors.exception.message", str(error).encode()),
    ]
    if feed is not None:
        headers.append((HEADER, feed.encode()))
    if value is not None and len(value) > DEAD_LETTER_WHOLE_BYTES:
        headers.append(("grayline.value.bytes", b"%d" % len(value)))
        headers.append(("grayline.value.sha256", hashlib.sha256(value).hexdigest().encode()))
        value = value[:DEAD_LETTER_KEPT_BYTES]
    key, own = raw.keys[i] if raw.keys else None, _own_headers(raw, i, feed)
    left = DEAD_LETTER_REST_BYTES - sum(len(name) + len(text) for name, text in headers)
    if len(key or b"") + sum(len(name.encode()) + len(text) for name, text in own) > left:
        key, own = None, [(CUT, b"key and headers")]
    return OutRecord(topics.DEAD_LETTERS, key, value, headers + own)


def _own_headers(raw: RawBatch, i: int, feed: str | None) -> list[tuple[str, bytes]]:
    """The record's own headers, less those that an earlier dead letter of its had, and the feed if it is told."""
    own = (raw.with_headers[i] if raw.with_headers else None) or ()
    kept = [(name, value or b"") for name, value in own if feed is None or name != HEADER]
    return [(name, value) for name, value in kept if not name.startswith(("__connect.errors.", "grayline.value."))]


def _identity(columns: dict[str, np.ndarray]) -> np.ndarray:
    """int64[n]: an id of records that have none: the same for equal numbers, peers and times, and hardly for others."""
    id = np.zeros(len(columns["at"]), np.uint64)
    for name in ("number", "peer", "at"):
        id = (id ^ columns[name].view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        id ^= id >> np.uint64(29)
    return np.maximum(id, np.uint64(1)).view(np.int64)


def _inconsistent(columns: dict[str, np.ndarray]) -> np.ndarray:
    """`complete` records whose times do not fit: the exact decoder says what is wrong with them."""
    complete = columns["event"] == codes.COMPLETE
    setup, answer, release = columns["setup_at"], columns["answer_at"], columns["release_at"]
    fits = (setup > 0) & (setup <= release) & (columns["at"] == release)
    fits &= (answer == 0) | ((setup <= answer) & (answer <= release))
    return complete & ~fits


def _expand(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One row per event: `complete` becomes set-up, answer if any, release and complete at their own times.

    Adds `duration`, int64 ms from answer to release where the record itself tells it, else -1."""
    event, at = columns["event"], columns["at"]
    setup, answer, release = (columns.pop(name) for name in ("setup_at", "answer_at", "release_at"))
    complete = event == codes.COMPLETE
    columns["duration"] = np.full(len(event), -1, np.int64)
    if not complete.any():
        return columns
    times = np.stack([setup, answer, release, at], axis=1)
    times[~complete] = 0
    times[~complete, 3] = at[~complete]
    record, which = np.nonzero(times)
    out = {name: column[record] for name, column in columns.items()}
    out["at"] = times[record, which]
    whole = complete[record]
    out["event"] = np.where(whole, which + 1, event[record]).astype(np.uint8)
    answered = whole & (which >= 2) & (answer[record] > 0)
    out["duration"] = np.where(answered, release[record] - answer[record], -1)
    return out
