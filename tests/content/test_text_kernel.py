"""The kernel that reads texts says what the exact reader says, or leaves a text to it."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.lexicon_file import load_lexicon
from schemas.features import FEATURES
from schemas.topics import MESSAGE_RELAY
from streams.content.compiled_text import characters
from streams.content.folding import fold_one, symbols_of
from streams.content.text_reader import TextReader
from streams.ingest.decode import TEXTS_READ_EXACTLY, Decoder
from streams.ingest.epoch import RawBatch
from streams.ingest.text_columns import values_of
from streams.kernels import text_numbers as entry
from streams.traffic import texts

AT_MS = 1_794_790_800_000
SENDER = 8228301234
ENDS = {"at": AT_MS, "sender": f"+{SENDER}", "recipient": "+821055550000"}
WORDS = (
    "엄마 아빠 폰 액정 고장 카톡 추가 번호 답장 쿠폰 센터 고객센터 승인 해외 톡줘 mom moment"
    " phone broken my 텔레그램 아이디 fam1234 id 라인"
    " won krw one zero oil so seven"
    " 공일공 일이삼사 오육칠팔 하나 다섯 ① ０１０ ㅋㅋ ㅠㅠ ㅇㅇ ㅋr톡 ㅇㅓㅁ마 엄.마 한글 x 이 가 천 백 é Б 漢 二"
)
NUMBERS = (
    "010-1234-5678 02-830-1234 (02)830-1234 1588-1234 080-123-4567 0505-123-4567 01012345678 8210-1234-5678"
    " 110-025-123456 1500-1800 20261130 959,000원 95만9천원 3만원 1,23원 12,345.678원"
    " 0원 구십오만원 만원 원 ₩959,000 1 0 82 15"
)
MARKS = "http://bit.ly/a bit.ly 1.2.3.4/a ... … ㈜ “ ： ❤️ 😀 👨‍👩‍👧 \u200b - . , / ( ) : + | ~ · ! ㅣ ○"
SPACED = (
    "엄 마",
    "수고 장난",
    "070 7893 1234",
    "+44 7911 123456",
    "006-1-212-555-1234",
    "5천 원",
    "2 원장",
    "1234 won",
    " ",
    "  ",
    "\n",
)
PIECES = (*WORDS.split(" "), *NUMBERS.split(" "), *MARKS.split(" "), *SPACED)


@lru_cache(maxsize=1)
def decoder() -> Decoder:
    return Decoder(MESSAGE_RELAY, frozenset({"text"}), features=frozenset(FEATURES))


@lru_cache(maxsize=1)
def reader() -> TextReader:
    return TextReader(load_lexicon())


def by_kernel(texts_: list[str]) -> tuple[list[dict[str, int]], int]:
    """(features of each text, how many of them were left to the exact reader)"""
    values: list[bytes | None] = [
        orjson.dumps(ENDS | {"message_id": f"m{i}", "text": text}) for i, text in enumerate(texts_)
    ]
    order = np.arange(len(values))
    raw = RawBatch(MESSAGE_RELAY, order, np.zeros(len(values), np.int32), order, AT_MS + order, values)
    found = decoder().decode(raw)
    rows = [{name: int(found.columns[name][i]) for name in FEATURES} for i in range(len(values))]
    return rows, found.counts[TEXTS_READ_EXACTLY]


def exactly(text: str) -> dict[str, int]:
    return values_of(reader().read(text), SENDER)


def agree(texts_: list[str]) -> None:
    for text, row in zip(texts_, by_kernel(texts_)[0], strict=True):
        assert row == exactly(text), repr(text)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=9).map("".join), min_size=1, max_size=20))
def test_texts_that_are_put_together_of_words_numbers_and_marks_are_read_alike(drawn: list[str]) -> None:
    agree(drawn)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=60), min_size=1, max_size=20))
def test_any_characters_are_read_alike(drawn: list[str]) -> None:
    agree(drawn)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text("0123456789-. ,()/원만천lo일이공+:", min_size=6, max_size=30), min_size=1, max_size=30))
def test_digits_in_any_order_are_read_alike(drawn: list[str]) -> None:
    agree(drawn)


def test_every_character_of_the_plane_is_read_alike_beside_others() -> None:
    for begin in range(0x20, 0x10000, 4096):
        codes = [code for code in range(begin, begin + 4096) if not 0xD800 <= code < 0xE000]
        agree([f"엄{chr(code)}마 0{chr(code)}10-1234-567{chr(code)}8 9{chr(code)}00원" for code in codes])


def test_all_emoji_are_gaps() -> None:
    from streams.kernels.texts import EMOJI_FIRST, EMOJI_LAST

    for code in range(EMOJI_FIRST, EMOJI_LAST + 1):
        folded = fold_one(chr(code))
        assert len(folded) == 1, unicodedata.name(chr(code), "")
        assert symbols_of(folded) == ()


def test_ordinary_texts_are_left_to_the_exact_reader_seldom() -> None:
    rng = np.random.default_rng(7)
    repeated = texts.amounts(rng)
    drawn = [text for _ in range(300) for text in (
        texts.chat(rng), texts.trusted_relative(rng, 821012345678), texts.fake_payment(rng, repeated, 8228301234, True),
        texts.bank_notice(rng, "한빛은행"), texts.reminder(rng, "한빛의원"), texts.notice(rng), texts.attendance(rng),
        texts.club(rng), texts.delivery(rng, False),
    )]  # fmt: skip
    agree(drawn)
    assert by_kernel(drawn)[1] < 0.02 * len(drawn)


@pytest.mark.parametrize("length", [1023, 1024, 1025, 1999, 2000, 2001, 5000])
def test_of_a_text_that_is_longer_than_any_message_the_beginning_is_read(length: int) -> None:
    agree(["가" * length + "엄마 폰 고장 답장 010-1234-5678", "가" * (length - 2) + "엄마"])


def test_the_table_says_of_each_syllable_its_letters() -> None:
    table = characters()
    for code in range(0xAC00, 0xD7A4):
        packed = int(table[code])
        symbols = symbols_of(chr(code))
        assert packed >> entry.COUNT_AT & 7 == len(symbols)
        assert tuple(packed >> entry.SYMBOL_BITS * k & 127 for k in range(len(symbols))) == symbols
