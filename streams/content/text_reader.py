"""The exact reading of texts: all that a text says, by plain code. Kernels read most texts faster and say the same."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from rules.lexicon import AMOUNT, LINK, MESSENGER, NUMBER, Lexicon
from schemas import codes
from streams.content.amounts import Amount, amounts_in
from streams.content.folding import fold
from streams.content.implied_numbers import Implied, numbers_in
from streams.content.likeness import fingerprint
from streams.content.links import NONE, Link, Links
from streams.content.vocabulary import BRAND, WORD, Found, Vocabulary

CHARACTERS_MAX = 2_000
TOLL_FREE = codes.NUMBER_TYPES.index("toll_free")
MESSENGERS = ("kakao", "line-app")  # words that name one
ASKS = ("add", "talk")  # words that ask to be added there
NO_ASK, ADD, ID = 1, 2, 3  # codes.MESSENGER_ASKS
# An id stands behind the word for it or behind the messenger's name: 카톡 아이디 fam1234, kakao ID: fam_1234.
_ID = re.compile(
    r"(?:아이디|(?<![a-z])id(?![a-z])|카톡|카카오톡|톡|kakaotalk|텔레그램|telegram|라인)"
    r"\s*(?:아이디|id|ㅇㄷ)?\s*(?:은|는|이|로|:|-|=|@|\()?\s*@?(?P<id>[a-z](?=[a-z0-9._-]*[0-9._-])[a-z0-9._-]{3,19}|[a-z]{4,20})(?![a-z0-9])"
)
_NO_ID = frozenset({"kakao", "kakaotalk", "telegram", "line", "talk", "http", "https", "open.kakao.com"})


@dataclass(frozen=True)
class Content:
    """All that a text says."""

    vocabulary: Vocabulary
    folded: str
    found: tuple[Found, ...]
    amounts: tuple[Amount, ...]
    numbers: tuple[Implied, ...]
    messenger_id: str
    links: tuple[Link, ...]

    @cached_property
    def word_indices(self) -> frozenset[int]:
        return frozenset(found.index for found in self.found if found.kind == WORD)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The names of its words, sorted."""
        return tuple(self.vocabulary.names[index] for index in sorted(self.word_indices))

    @property
    def brands(self) -> tuple[str, ...]:
        return tuple(sorted({self.vocabulary.brands[found.index] for found in self.found if found.kind == BRAND}))

    @property
    def pattern(self) -> int:
        return self.vocabulary.pattern(tuple(self.word_indices))

    @property
    def amount(self) -> int:
        """The greatest amount in won; 0 for none."""
        return max((amount.won for amount in self.amounts), default=0)

    @property
    def messenger(self) -> int:
        """A code of MESSENGER_ASKS."""
        if self.messenger_id:
            return ID
        words = set(self.words)
        return ADD if words & set(MESSENGERS) and words & set(ASKS) else NO_ASK

    @property
    def url_risk(self) -> int:
        """A code of URL_RISKS: the worst."""
        return max((link.risk for link in self.links), default=NONE)

    @property
    def fingerprint(self) -> int:
        return fingerprint(self.folded)

    def implied(self, sender: int) -> Implied | None:
        """The number to call: the first that is neither the sender's own nor toll free, which is how one opts out of
        advertisements; else the first."""
        others = [each for each in self.numbers if each.number.key != sender]
        return next(
            (each for each in others if each.number.type != TOLL_FREE), next(iter((*others, *self.numbers)), None)
        )

    def imposture(self, sender: int) -> int:
        """A code of IMPOSTURES. sender: the key of who wrote it."""
        implied = self.implied(sender)
        shown = {
            NUMBER: implied is not None and implied.number.key != sender,
            AMOUNT: self.amount > 0,
            MESSENGER: self.messenger > NO_ASK,
            LINK: bool(self.links),
        }
        words = set(self.words)
        for combination in self.vocabulary.lexicon.combinations:
            if all(words & each for each in combination.words) and all(shown[has] for has in combination.has):
                return codes.IMPOSTURES.index(combination.imposture)
        return codes.IMPOSTURES.index("none")


class TextReader:
    """Reads texts by a lexicon, numbers as seen from a region."""

    def __init__(self, lexicon: Lexicon, region: str = "KR") -> None:
        self.vocabulary = Vocabulary(lexicon)
        self.region = region
        self._links = Links(lexicon)

    def read(self, text: str, links: bool = True) -> Content:
        """links: False leaves them unread. Of a text that is longer than any message only the beginning is read."""
        text = text[:CHARACTERS_MAX]
        folded = fold(text)
        amounts = amounts_in(folded)
        numbers = numbers_in(folded, self.region, [(amount.start, amount.end) for amount in amounts])
        asked = next((m["id"] for m in _ID.finditer(folded) if m["id"] not in _NO_ID), "")
        return Content(
            self.vocabulary, folded, tuple(self.vocabulary.find(folded)), tuple(amounts), tuple(numbers), asked,
            tuple(self._links.find(text)) if links else (),
        )  # fmt: skip
