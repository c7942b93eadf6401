"""Hints at digits that are no number as their feed writes numbers, and would be one in another format.

Nobody guesses them into a number: a worker counts them as texts, which no rule blocks. Who knows the feed can say how
it writes numbers."""

from __future__ import annotations

import re

from schemas.numbers import E164, NATIONAL, normalise
from streams.ingest.number_reader import NumberReader

HINTS = {
    E164: "would be numbers with the `+` that they lost: say `numbers: e164` for their feed, or `--numbers e164` where "
    "they are converted",
    NATIONAL: "would be numbers as dialled at home: say `numbers: national`, or `any`, for their feed",
}
_DIGITS = re.compile(r"[0-9]{8,15}")


def better_format(text: str, reader: NumberReader) -> str | None:
    """The format, one of HINTS, in which digits are a number that are none to this reader."""
    if not _DIGITS.fullmatch(text) or reader.one(text).key > 0:
        return None
    return next((each for each in HINTS if normalise(text, reader.region, each).key > 0), None)
