"""Near-duplicates: texts that differ in few places have fingerprints that differ in few bits (SimHash).

Digits and gaps are left out, so that amounts, codes and times change nothing."""

from __future__ import annotations

from hashlib import blake2b

from streams.content.folding import SYMBOLS, symbols_of

BITS = 64
LETTERS = 3  # of each piece of a text
NEAR_BITS_MAX = 12  # fingerprints that differ in more are of different texts
_DIGITS = frozenset(SYMBOLS[digit] for digit in "0123456789")


def fingerprint(folded: str) -> int:
    """A uint64; 0 for a text without letters."""
    letters = "".join(c for c in folded if (s := symbols_of(c)) and s[0] not in _DIGITS)
    if not letters:
        return 0
    sums = [0] * BITS
    for at in range(max(len(letters) - LETTERS + 1, 1)):
        piece = blake2b(letters[at : at + LETTERS].encode("utf-8", "surrogatepass"), digest_size=BITS // 8).digest()
        bits = int.from_bytes(piece, "little")
        for bit in range(BITS):
            sums[bit] += 1 if bits >> bit & 1 else -1
    return sum(1 << bit for bit, total in enumerate(sums) if total > 0)


def are_near(one: int, other: int) -> bool:
    """True for the fingerprints of texts that say nearly the same."""
    return bool(one and other) and (one ^ other).bit_count() <= NEAR_BITS_MAX
