"""Pseudonyms: replaces all that is personal in a record, consistently under a key. The traffic stays the same, with
other people's numbers.

With the key one can compute the pseudonym of a number, and so test a guess. Without it one learns only which records
belong together. That is pseudonymisation, not anonymity: the pattern of calls can still give somebody away.

- A number keeps its country code, its series (010, 070, 02, 0502, 1588 ...), its length, its type and its spelling;
  the digits behind are permuted. Different numbers stay different, and every spelling of one number stays one number.
- A short code (112, 1366) is a service, and stays. Any other identity becomes `id-` and a hash.
- Ids become hashes; a text becomes a hash or goes, and so does where a recording lies; times, choices, `carrier`,
  `cause` and `rule` stay.
- Unknown fields go, and headers other than `feed`. A wrong value goes as well, for it may hold anything: the field
  becomes null. Of a record that cannot be read at all, only the reason is kept.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import orjson

from schemas import decoding
from schemas.feeds import FEEDS
from schemas.numbers import Number, e164_rules, normalise
from schemas.objects import ObjectError, read_pairs
from streams.captures.writing import Record
from streams.ingest.feed_codes import HEADER

KEY_VARIABLE = "GRAYLINE_PSEUDONYM_KEY"
KEY_BYTES_MIN = 16
NUMBERS_CACHED_MAX = 1 << 20
ROUNDS = 10
SERVICE_DIGITS_MAX = 6
WALK_MAX = 10_000  # steps, of which all but one or two of a kind lead to such a number at once
# Fields that say nothing of a person, or that distinguish rules and feeds.
KEPT_IDS = frozenset({"carrier", "cause", "rule"})
WITHHELD = frozenset({"anonymous", "unknown", "private", "restricted", "unavailable", "withheld"})
HOME_SERIES_DIGITS = 3  # of the national number, at a home whose plan is not written down
# The subscriber's own digits start behind these many of the national number, elsewhere behind the plan's prefix.
_SERIES_DIGITS = {"15": 4, "16": 4, "18": 4, "50": 3, "30": 3}


class KeyProblem(Exception):
    """There is no usable key. The message never shows it."""


def read_key(file: Path | None) -> bytes:
    """The key from a file, or else from the environment. Raises KeyProblem."""
    if file is not None:
        try:
            key, source = file.read_bytes().strip(), str(file)
        except OSError as error:
            raise KeyProblem(f"{file}: cannot read the key: {error.strerror}") from error
    else:
        key, source = os.environ.get(KEY_VARIABLE, "").encode().strip(), KEY_VARIABLE
    if not key:
        raise KeyProblem(f"{source}: no key there; make one with `openssl rand -hex 32`")
    if len(key) < KEY_BYTES_MIN:
        raise KeyProblem(f"{source}: a key has at least {KEY_BYTES_MIN} bytes; make one with `openssl rand -hex 32`")
    return key


class Pseudonyms:
    """Replaces numbers, ids and texts. texts: "hash" or "drop". `changed` counts fields and records that could not be
    kept: field_dropped, record_withheld."""

    def __init__(self, key: bytes, *, region: str = "KR", texts: str = "hash") -> None:
        self.changed: Counter[str] = Counter()
        self._key = blake2b(key, digest_size=32, person=b"grayline-pseud-1").digest()
        self._region, self._texts = region, texts
        self.number = lru_cache(NUMBERS_CACHED_MAX)(self._number)

    def record(self, record: Record) -> Record:
        """The record of an input topic with its pseudonyms; topic, partition and offset stay."""
        named = tuple(header for header in record.headers if header[0] == HEADER)
        value = self.value(record.topic, record.value)
        return record._replace(key=self.key(record.key), value=value, headers=named)

    def key(self, key: bytes | None) -> bytes | None:
        if not key:
            return key
        try:
            return self.number(key.decode()).encode()
        except UnicodeDecodeError:
            return self._token(b"key", key).encode()

    def value(self, topic: str, value: bytes | None) -> bytes | None:
        """The record's value, its known fields in the order in which they stood."""
        if value is None:
            return None
        try:
            pairs = read_pairs(value)
        except ObjectError as error:
            self.changed["record_withheld"] += 1
            # Still no JSON object, so that a replay of the capture finds it wrong for the same reason.
            return b"" if error.code == "empty" else f"withheld: {error.code}".encode()
        wrong = {error.field for error in decoding.check_all(topic, value)}
        out: dict[str, object] = {}
        for name, item in pairs:
            kind = FEEDS[topic].fields.get(name)
            if kind is None or item is None:
                continue
            if name in wrong:
                self.changed["field_dropped"] += name not in out
                out[name] = None
            elif kind.kind in ("time", "choice") or name in KEPT_IDS:
                out[name] = item
            elif kind.kind == "number":
                out[name] = self.number(item)
            elif kind.kind == "id":
                out[name] = self._token(b"id", item.encode())
            elif self._texts == "hash":
                out[name] = self._token(b"text", item.encode())
        return orjson.dumps(out)

    def _number(self, text: str) -> str:
        """The pseudonym of `text`, a number or identity in any spelling."""
        number = normalise(text, self._region)
        if number.key <= 0:
            return self._identity(text)
        digits = self._permuted(number)
        spelled = _spelled(text, str(number.key), digits)
        for candidate in (spelled, "+" + digits):
            again = normalise(candidate, self._region)
            if (again.key, again.type, again.access) == (int(digits), number.type, number.access):
                return candidate
        return "+" + digits  # a spelling with an access code that cannot be kept

    def _identity(self, text: str) -> str:
        folded = unicodedata.normalize("NFKC", text).strip().casefold()
        if folded in WITHHELD:
            return text
        compact = re.sub(r"[\s().+*#-]", "", folded)
        if compact.isdigit() and len(compact) <= SERVICE_DIGITS_MAX:
            return text
        return self._token(b"identity", folded.encode("utf-8", "surrogatepass"))

    def _permuted(self, number: Number) -> str:
        """Other digits behind the same country code and series: a permutation of all numbers of that kind, walked on
        while it leads to what is no such number (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002)."""
        digits = str(number.key)
        head = _series(digits, self._region)
        tail = digits[len(head) :]
        for _ in range(WALK_MAX):
            tail = self._encipher(head, tail)
            again = normalise("+" + head + tail, self._region)
            if (again.key, again.type) == (int(head + tail), number.type):
                return head + tail
        return head + tail

    def _encipher(self, head: str, tail: str) -> str:
        """A Feistel network over decimal digits, built like FF1 of NIST SP 800-38G, with keyed BLAKE2b for its rounds.
        head: the digits that stay; each head has a permutation of its own."""
        u = len(tail) // 2
        a, b = tail[:u], tail[u:]
        for turn in range(ROUNDS):
            m = u if turn % 2 == 0 else len(tail) - u
            block = b"%b/%d/%d/%b" % (head.encode(), len(tail), turn, b.encode())
            c = (int(a or "0") + int.from_bytes(self._hash(b"number", block, 16))) % 10**m
            a, b = b, str(c).zfill(m) if m else ""
        return a + b

    def _token(self, what: bytes, text: bytes) -> str:
        return "id-" + self._hash(what, text, 12).hex()

    def _hash(self, what: bytes, text: bytes, size: int) -> bytes:
        return blake2b(text, digest_size=size, key=self._key, person=what).digest()


def _series(digits: str, region: str) -> str:
    """The leading digits that stay, country code included."""
    if region == "KR" and digits.startswith("82"):  # no other country code starts so
        for prefix, shortest, longest, _ in e164_rules():
            if digits.startswith(prefix) and shortest <= len(digits) <= longest:
                national = prefix[2:]
                return digits[: 2 + _SERIES_DIGITS.get(national, len(national))]
        return digits[:4]
    import phonenumbers

    country = str(phonenumbers.parse("+" + digits, region).country_code)
    home = region != "KR" and country == str(phonenumbers.country_code_for_region(region))
    return digits[: len(country) + (HOME_SERIES_DIGITS if home else 0)]


def _spelled(text: str, old: str, new: str) -> str:
    """`text` with its last digits replaced where `new` differs from `old`, separators and all before them kept."""
    count = next((i for i, (x, y) in enumerate(zip(old, new, strict=True)) if x != y), len(old))
    left = list(new[count:])
    out = []
    for c in reversed(text):
        if left and unicodedata.normalize("NFKC", c).isdecimal():
            out.append(left.pop())
        else:
            out.append(c)
    return "".join(reversed(out))
