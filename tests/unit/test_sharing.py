"""What a carrier shares, hears and makes of it; and the file that says how sure and trusting it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rules.diagnostics import RuleErrors
from rules.registry_file import check_registry
from rules.sharing_file import Confidence, Sharing, load_sharing
from schemas.records import SharedNumber
from streams.cli.blocks import csv_row
from streams.operators.block_file import BlockFile
from streams.operators.sharing import COLUMNS, confident, heard, registry_rows, to_write

NOW, DAY = 1_795_312_800_000, 86_400_000
NUMBER = "+821011110001"
SHARING = Sharing("us", {"sure": Confidence(0.9, "phishing"), "unsure": Confidence(0.5, "bulk")}, {"b": 0.5, "c": 1.0})


def entry(origin: str = "b", days: float = 7, **more: Any) -> SharedNumber:
    told = {"event_id": "e", "number": NUMBER, "origin": origin, "confidence": 0.8, "category": "x", "since": NOW}
    return SharedNumber(**(told | {"until": NOW + round(days * DAY)} | more))


def state(*holds: dict[str, Any]) -> dict[str, Any]:
    return {"number": NUMBER, "holds": [{"block_id": "b1", "from": NOW - 1, "until": NOW + DAY} | h for h in holds]}


def test_only_blocks_that_we_are_confident_of_are_shared_with_the_longest_end() -> None:
    assert confident([state({"rule": "unsure"}), state({"rule": "nobody's"})], SHARING, NOW) == {}
    found = confident([state({"rule": "sure"}, {"rule": "unsure", "until": NOW + 9 * DAY})], SHARING, NOW)
    assert (found[NUMBER].confidence, found[NUMBER].until) == (0.9, NOW + DAY)
    assert confident([state({"rule": "sure", "until": NOW})], SHARING, NOW) == {}


def test_a_block_that_others_had_a_part_in_is_never_passed_on() -> None:
    assert confident([state({"rule": "sure", "from_others": True})], SHARING, NOW) == {}


def test_what_is_no_longer_blocked_is_withdrawn_once_and_forgotten_when_it_is_over() -> None:
    mine = {(NUMBER, "us"): entry("us"), (NUMBER, "b"): entry("b")}
    ((what, record),) = to_write(mine, {}, "us", NOW)
    assert (what, record.key) == ("withdrawn", f"{NUMBER}/us".encode())
    assert list(to_write({(NUMBER, "us"): entry("us", withdrawn=True)}, {}, "us", NOW)) == []
    ((what, record),) = to_write({(NUMBER, "us"): entry("us", days=0)}, {}, "us", NOW)
    assert (what, record.value) == ("forgotten", None)
    assert list(to_write(mine, {NUMBER: entry("us")}, "us", NOW)) == []
    ((what, _),) = to_write(mine, {NUMBER: entry("us", days=8)}, "us", NOW)
    assert what == "published"


def test_our_own_word_that_of_strangers_and_what_is_withdrawn_or_over_is_not_heard() -> None:
    shared = {
        (NUMBER, "us"): entry("us"), (NUMBER, "x"): entry("x"), (NUMBER, "b"): entry("b", withdrawn=True),
        (NUMBER, "c"): entry("c", days=0),
    }  # fmt: skip
    assert heard(shared, SHARING, NOW) == {}
    assert heard({(NUMBER, "b"): entry("b")}, SHARING, NOW) == {NUMBER: [entry("b")]}


def test_words_add_up_as_independent_ones_and_each_until_its_own_end(tmp_path: Path) -> None:
    rows = list(registry_rows(NUMBER, [entry("b", days=7), entry("c", days=2, confidence=0.5)], SHARING))
    assert [(row[5], row[6]) for row in rows] == [
        (str(NOW + 2 * DAY), "0.7000"),  # 1 - (1 - 0.8 * 0.5) * (1 - 0.5)
        (str(NOW + 7 * DAY), "0.4000"),
    ]  # fmt: skip
    file = tmp_path / "heard.csv"
    file.write_text("\n".join(",".join(row) for row in [COLUMNS, *rows]))
    registry, mistakes = check_registry([file])
    assert not mistakes
    assert registry is not None
    assert len(registry) == 2


@pytest.mark.parametrize("end", ["\n", "\r", "\u2028", "\x85", "\x1c", "\0"])
def test_a_category_with_the_end_of_a_line_adds_no_entry_and_spoils_no_file(tmp_path: Path, end: str) -> None:
    forged = f"x{end}allowed,+821011110002,b,r,,{NOW + DAY},{end}" + "\u2028" * 200
    rows = registry_rows(NUMBER, [entry("b", category=forged)], SHARING)
    file = tmp_path / "heard.csv"
    BlockFile(file).write(map(csv_row, [COLUMNS, *rows]))
    registry, mistakes = check_registry([file])
    assert not mistakes
    assert registry is not None
    assert [(registry.entry(i).number, registry.entry(i).kind.name) for i in range(len(registry))] == [
        (NUMBER, "shared")
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("share: []\n", "a file of sharing has no `origin`"),
        ("origin: a/b\n", "`origin` has at most 256 printable characters, none of them a /"),
        ("origin: us\ntrust: {us: 1}\n", "`us` is our own name: our word that comes back is not heard"),
        ("origin: us\ntrust: {b: 0}\n", "trust in `b` must be above 0, to 1"),
        ("origin: us\nshare: [{rule: r, confidence: 2, category: c}]\n", "`confidence` must be above 0, to 1"),
        ("origin: us\nshare: [{rule: r, confidence: 1}]\n", "an item of `share` has no `category`"),
        ("origin: us\nat_least: many\n", "`at_least` must be a number, not `many`"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_place(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "sharing.yaml"
    file.write_text(text)
    with pytest.raises(RuleErrors) as found:
        load_sharing(file)
    assert found.value.diagnostics[0].message == why


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("shared,010-5550-0101,b,r,{0},", "an entry of kind `shared` needs a `score` above 0, to 1"),
        ("shared,010-5550-0101,b,r,{0},0", "an entry of kind `shared` needs a `score` above 0, to 1"),
        ("shared,010-5550-0101,b,r,{0},1.5", "an entry of kind `shared` needs a `score` above 0, to 1"),
        ("allowed,010-5550-0101,b,r,{0},0.5", "an entry of kind `allowed` has no `score`"),
    ],
)
def test_a_score_belongs_to_what_others_share(tmp_path: Path, line: str, why: str) -> None:
    file = tmp_path / "r.csv"
    file.write_text("kind,number,owner,reason,until,score\n" + line.format(NOW) + "\n")
    _, (mistake,) = check_registry([file])
    assert mistake.message == why
