"""Reads a batch's numbers: compiled kernels read most, and each spelling that they do not know is normalised once."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
from phonenumbers import country_code_for_region

from schemas import numbers, records
from streams.kernels import identity

CACHED_SPELLINGS_MAX = 1 << 20
SPELLING_MAX_BYTES = 16  # of one in the kernels' cache


class NumberReader:
    """Numbers as seen from a region, written in one format (schemas.numbers.NUMBER_FORMATS)."""

    def __init__(self, region: str, number_format: str = numbers.ANY) -> None:
        self.region, self.number_format = region, number_format
        self._country = country_code_for_region(region)
        self._classes = fast_classes(region if number_format in (numbers.ANY, numbers.E164) else "")
        self._spellings = np.zeros((1 << 12, 4), np.uint64)
        self._spellings_used = 0

    def one(self, text: str) -> numbers.Number:
        """The number that a text spells. One that is too long to be any is told from others, and never blocked."""
        if len(text) > records.NUMBER_MAX:
            text = f"long-{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"
        return numbers.normalise(text, self.region, self.number_format)

    def read(
        self,
        base: int,
        buffer: bytes | memoryview,
        spans: np.ndarray,
        kinds: np.ndarray,
        at: int,
        status: np.ndarray,
        key: np.ndarray,
        kind: np.ndarray,
        access: np.ndarray,
    ) -> None:
        """Fills key (int64[n]), kind and access (uint8[n]) of field `at` of the records whose status is OK."""
        missed = np.empty(len(status), np.int64)
        count = identity.numbers(
            base, spans, kinds, at, records.NUMBER_MAX, self._country, self._classes, self._spellings,
            key, kind, access, status, missed,
        )  # fmt: skip
        fresh: dict[bytes, numbers.Number] = {}
        for i in missed[:count].tolist():
            start, length = spans[i, at].tolist()
            text = bytes(buffer[start : start + length])
            number = fresh.get(text)
            if number is None:
                number = fresh[text] = self.one(text.decode())
                if length <= SPELLING_MAX_BYTES:
                    self._remember(text, number)
            key[i], kind[i], access[i] = number.key, number.type, number.access

    def _remember(self, text: bytes, number: numbers.Number) -> None:
        if self._spellings_used * 2 >= len(self._spellings):
            old = self._spellings
            # Past the bound the cache starts afresh: spellings are unbounded in number, an attacker's above all.
            self._spellings_used = 0
            if len(old) < CACHED_SPELLINGS_MAX:
                self._spellings = np.zeros((2 * len(old), 4), np.uint64)
                for first, second, key, packed in old[old[:, 0] != 0]:
                    identity.remember(first, second, np.int64(np.uint64(key).astype(np.int64)), packed, self._spellings)
                    self._spellings_used += 1
            else:
                self._spellings = np.zeros_like(old)
        first, second = np.frombuffer(text.ljust(16, b"\0"), np.uint64)
        identity.remember(
            first, second, np.int64(number.key), np.uint64(number.type + 256 * number.access), self._spellings
        )
        self._spellings_used += 1


def fast_classes(region: str) -> np.ndarray:
    """uint8[1000, 16] for `identity.numbers`; only Korea's numbering plan is written down."""
    classes = np.full((1000, 16), identity.NOT_FAST, np.uint8)
    if region == "KR":
        for prefix, shortest, longest, number_type in numbers.e164_rules():
            tail = prefix[2:]
            low = int(tail.ljust(3, "0"))
            classes[low : low + 10 ** (3 - len(tail)), shortest : longest + 1] = number_type
    return classes
