"""The file of feeds: what it says, and every mistake in it at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from rules.diagnostics import RuleErrors
from rules.feeds_file import KEYS, check_feeds, load_feeds
from schemas.feed_settings import NO_BOOK, SPEAKS_FOR_ITSELF, UNKNOWN, FeedBook, FeedSettings
from schemas.topics import CDR, MESSAGE_RELAY

WHOLE = """
feeds:
  switch-1:
    vouches: full
    clock: {offset: -90s, zone: Asia/Seoul}
    lateness: 90m
    numbers: smpp
    home_region: us
    silent_after: 2h
    leg: originating
    envelope: connect
    topics: [cdr]
  "KT 상호접속":
  message-relay: {clock: {offset: 1h}}
"""


def read(tmp_path: Path, text: str) -> tuple[FeedBook | None, list[str]]:
    path = tmp_path / "feeds.yaml"
    path.write_text(text)
    book, diagnostics = check_feeds(path)
    return book, [f"{d.line}:{d.column}: {d.message}" for d in diagnostics]


def test_a_file_says_what_is_known_of_each_feed(tmp_path: Path) -> None:
    book, mistakes = read(tmp_path, WHOLE)
    assert mistakes == []
    assert book is not None
    assert book.of("switch-1", CDR) == FeedSettings(
        vouches="full", offset_ms=-90_000, zone="Asia/Seoul", lateness_ms=5_400_000, number_format="smpp", region="US",
        silent_after_ms=7_200_000, leg="originating", envelope="connect", topics=("cdr",),
    )  # fmt: skip
    assert book.of("switch-1", MESSAGE_RELAY) == book.of("KT 상호접속", CDR) == book.of("nobody", CDR) == UNKNOWN
    assert book.of("message-relay", MESSAGE_RELAY).offset_ms == 3_600_000
    assert UNKNOWN.vouches == "none"


def test_without_a_file_records_speak_for_themselves() -> None:
    assert NO_BOOK.of("anybody", CDR) == SPEAKS_FOR_ITSELF
    assert SPEAKS_FOR_ITSELF.vouches == "full"


def test_the_version_hangs_on_what_the_file_says_and_not_on_how(tmp_path: Path) -> None:
    first, _ = read(tmp_path, "feeds: {a: {vouches: full}, b: {}}")
    again, _ = read(tmp_path, "# the same\nfeeds:\n  b:\n  a:\n    vouches: 'full'\n")
    other, _ = read(tmp_path, "feeds: {a: {vouches: partial}, b: {}}")
    versions = [book.version for book in (first, again, other) if book is not None]
    assert versions[0] == versions[1] != versions[2]


WRONG = {
    "": ["0:0: is empty"],
    "feed: {}": ["1:1: unknown key `feed` in a file of feeds"],
    "feeds: [a]": ["1:8: feeds must be a mapping of `key: value`, not a list"],
    "feeds: {a: {vouch: full}}": ["1:13: unknown key `vouch` in feed `a`"],
    "feeds: {a: {vouches: true}}": ["1:22: `true` is not a valid vouches"],
    "feeds: {a: {clock: {offset: 90}}}": ["1:29: offset: `90` has no unit; write `90s`, `90m`, `90h` or `90d`"],
    "feeds: {a: {clock: {offset: -30d}}}": ["1:29: offset is `30d`; it must be from 0s to 7d"],
    "feeds: {a: {clock: {zone: Asia/Soul}}}": ["1:27: unknown time zone `Asia/Soul`"],
    "feeds: {a: {lateness: 0s}}": ["1:23: lateness is `0s`; it must be from 1s to 7d"],
    "feeds: {a: {numbers: e.164}}": ["1:22: `e.164` is not a valid numbers"],
    "feeds: {a: {home_region: UK}}": ["1:26: home_region: no country has the code 'UK': did you mean GB?"],
    "feeds: {a: {leg: origin, envelope: avro}}": [
        "1:18: `origin` is not a valid leg", "1:36: `avro` is not a valid envelope",
    ],
    "feeds: {a: {topics: [calls]}}": ["1:22: `calls` is not a valid topics"],
    "feeds: {a: {}, a: {}}": ["1:16: `a` is given twice"],
    "feeds: {'': {}}": ["1:9: the name of a feed has 1 to 256 characters"],
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_every_mistake_is_told_at_its_place(tmp_path: Path, text: str) -> None:
    book, mistakes = read(tmp_path, text)
    assert book is None
    assert mistakes == WRONG[text]


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuleErrors, match="cannot be read: No such file"):
        load_feeds(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"feeds: {\xff: {}}")
    with pytest.raises(RuleErrors, match="is not UTF-8"):
        load_feeds(tmp_path / "latin.yaml")


def test_the_reference_of_feeds_describes_every_key() -> None:
    text = (Path(__file__).parents[2] / "docs" / "feeds.md").read_text("utf-8")
    assert [key for key, (_, meaning) in KEYS.items() if f"| `{key}` | {meaning} |" not in text] == []
