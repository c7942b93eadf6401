"""The features of texts as columns of a topic's events, those that loaded rules read."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from rules.lexicon import Lexicon
from rules.lexicon_file import load_lexicon
from schemas.features import AMOUNT, FEATURE_CHOICES, FEATURES
from streams.content.text_reader import Content, TextReader
from streams.kernels.scan import OK, STRING

_NO_NUMBER = 1  # in the choices of implied_type


class TextColumns:
    """Reads the texts of batches. features: from schemas.features; without any it does nothing."""

    def __init__(self, features: Collection[str], region: str, lexicon: Lexicon | None = None) -> None:
        self._features = tuple(name for name in FEATURES if name in features)
        self._reader = TextReader(lexicon or load_lexicon(), region) if features else None

    def zeros(self, n: int) -> dict[str, np.ndarray]:
        return {name: np.zeros(n, np.uint8 if name in FEATURE_CHOICES else np.int64) for name in self._features}

    def read(
        self,
        buffer: bytes | memoryview,
        spans: np.ndarray,
        kinds: np.ndarray,
        longest: int,
        status: np.ndarray,
        columns: Mapping[str, np.ndarray],
    ) -> None:
        """Fills the columns of the records whose status is OK. spans: int64[n, 2] and kinds: uint8[n], of the text."""
        if self._reader is None:
            return
        rows = (status == OK) & (kinds == STRING) & (spans[:, 1] > 0) & (spans[:, 1] <= longest)
        for i in np.flatnonzero(rows).tolist():
            start, length = spans[i].tolist()
            self.read_one(bytes(buffer[start : start + length]).decode(), i, columns)

    def read_one(self, text: object, i: int, columns: Mapping[str, np.ndarray]) -> None:
        """Fills row i by the exact reading of its text, if it has one; `columns` has its number already."""
        if self._reader is None or not isinstance(text, str):
            return
        content = self._reader.read(text, links="url_risk" in self._features or "imposture" in self._features)
        values = _values(content, int(columns["number"][i]))
        for name in self._features:
            columns[name][i] = values[name]


def _values(content: Content, sender: int) -> dict[str, int]:
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
