"""The features of texts as columns of a topic's events, those that loaded rules read."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from rules.lexicon import Lexicon
from rules.lexicon_file import load_lexicon
from schemas.features import AMOUNT, FEATURE_CHOICES, FEATURES
from streams.content.compiled_text import CompiledText
from streams.content.text_reader import Content, TextReader
from streams.ingest.number_reader import fast_classes
from streams.kernels import text_numbers
from streams.kernels import texts as kernel

KNOWN_MAX = 2_000
_NO_NUMBER = 1  # in the choices of implied_type
_OF_NUMBERS = ("implied_type", "implied", AMOUNT)
_PLACES = {
    "imposture": kernel.IMPOSTURE, "implied_type": kernel.IMPLIED_TYPE, "messenger": kernel.MESSENGER,
    "url_risk": kernel.URL_RISK, AMOUNT: kernel.AMOUNT_WON, "pattern": kernel.PATTERN, "implied": kernel.IMPLIED,
}  # fmt: skip


class TextColumns:
    """Reads the texts of batches. features: from schemas.features; without any it does nothing.

    exact: how many texts the kernel has left to the exact reader, since `taken` was last called."""

    def __init__(self, features: Collection[str], region: str, lexicon: Lexicon | None = None) -> None:
        self._features = tuple(name for name in FEATURES if name in features)
        self.exact = 0
        self._known: dict[str, Content] = {}  # texts that were read exactly; no state, and gone with the process
        if not features:
            return
        self._reader = TextReader(lexicon or load_lexicon(), region)
        self._compiled = CompiledText(self._reader.vocabulary)
        self._classes = fast_classes(region)
        asked, imposture = set(self._features), "imposture" in self._features
        links = "url_risk" in asked or (imposture and not self._compiled.is_whole)
        self._links = links
        self._wanted = kernel.WANT_LINKS * links
        self._wanted |= kernel.WANT_NUMBERS * (imposture or not asked.isdisjoint(_OF_NUMBERS))
        self._wanted |= kernel.WANT_MESSENGER * ("messenger" in asked or (imposture and self._compiled.needs_messenger))
        self._scratch = (
            np.empty(kernel.CHARACTERS_MAX, np.uint64),
            np.empty(kernel.CHARACTERS_MAX, np.int64),
            np.empty((text_numbers.GROUPS_MAX, text_numbers.GROUP_WORDS), np.int64),
            np.empty(text_numbers.RESULTS, np.int64),
        )

    def taken(self) -> int:
        """Returns the texts that the kernel has left to the exact reader since it was last asked."""
        exact, self.exact = self.exact, 0
        return exact

    def zeros(self, n: int) -> dict[str, np.ndarray]:
        return {name: np.zeros(n, np.uint8 if name in FEATURE_CHOICES else np.int64) for name in self._features}

    def read(
        self,
        base: int,
        buffer: bytes | memoryview,
        spans: np.ndarray,
        kinds: np.ndarray,
        field: int,
        status: np.ndarray,
        columns: Mapping[str, np.ndarray],
    ) -> None:
        """Fills the columns of the records whose status is OK, from field `field`."""
        if not self._features:
            return
        n = len(status)
        found, slow = np.zeros((n, kernel.COLUMNS), np.int64), np.empty(n, np.int64)
        of = self._compiled
        missed = kernel.read_texts(
            base, spans, kinds, field, kernel.BYTES_MAX, status, columns["number"], self._wanted, of.table, of.roots,
            of.firsts, of.symbols, of.targets, of.ends, of.combinations, of.hashes, of.messengers, of.asks,
            self._classes, *self._scratch, found, slow,
        )  # fmt: skip
        for name in self._features:
            columns[name][:] = found[:, _PLACES[name]]
        for i in slow[:missed].tolist():
            start, length = spans[i, field].tolist()
            self.read_one(bytes(buffer[start : start + length]).decode(), i, columns)
        self.exact += missed

    def read_one(self, text: object, i: int, columns: Mapping[str, np.ndarray]) -> None:
        """Fills row i by the exact reading of its text, if it has one; `columns` has its number already."""
        if not self._features or not isinstance(text, str):
            return
        values = values_of(self._content(text), int(columns["number"][i]))
        for name in self._features:
            columns[name][i] = values[name]

    def _content(self, text: str) -> Content:
        """Bulk says the same again and again, and most of it has a link."""
        found = self._known.get(text)
        if found is None:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            found = self._known[text] = self._reader.read(text, self._links)
        return found


def values_of(content: Content, sender: int) -> dict[str, int]:
    implied = content.implied(sender)
    return {
        "imposture": content.imposture(sender),
        "implied_type": _NO_NUMBER if implied is None else implied.number.type + 1,
        "messenger": content.messenger,
        "url_risk": content.url_risk,
        AMOUNT: content.amount,
        "pattern": content.pattern,
        "implied": 0 if implied is None else hidden(implied.number.key),
    }


def hidden(number: int) -> int:
    """A number as counters keep it: the same for equal ones, and not the number itself."""
    mixed = (number * 0x9E3779B97F4A7C15) & ((1 << 64) - 1)
    mixed ^= mixed >> 32
    return mixed - (1 << 64) if mixed >> 63 else mixed
