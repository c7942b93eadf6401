"""The features of a text that rules can read: the table that topics with a text share.

Each is a column of events in which 0 is absent: nobody wrote a text, or it has none of that kind."""

from __future__ import annotations

from collections.abc import Mapping

from schemas import codes

# Fields with few values, by their code. "none" is a text without, so that a rule can ask for it.
FEATURE_CHOICES: Mapping[str, tuple[str, ...]] = {
    "imposture": codes.IMPOSTURES,
    "implied_type": ("", "none", *codes.NUMBER_TYPES[1:]),
    "messenger": codes.MESSENGER_ASKS,
    "url_risk": codes.URL_RISKS,
}
AMOUNT = "amount"  # the greatest, in won
FEATURE_NUMBERS = (AMOUNT,)
# Hashes, of which rules count the distinct ones: the set of words, and the number to call.
FEATURE_HASHES = ("pattern", "implied")
FEATURES = (*FEATURE_CHOICES, *FEATURE_NUMBERS, *FEATURE_HASHES)
