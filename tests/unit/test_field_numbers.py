"""Numbers as feeds write them, from failures that users of comparable systems have reported: no guess blocks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from schemas.codes import NUMBER_TYPES
from schemas.numbers import normalise
from streams.cli import command

AT_MS = 1_795_395_600_000
RULES = """
counters:
  rate: {on: cdr.setup, per: caller, count: events, window: 1m}
  sent: {on: message-relay, per: sender, count: events, window: 10m}
rules:
  - {name: rate-25, summary: calls in bulk, when: rate >= 25, mode: enforce,
     then: {block: [calls], directions: [outgoing], for: 7d}}
  - {name: sent-25, summary: messages in bulk, when: sent >= 25, mode: enforce, spoofable: accepted,
     then: {block: [messages], directions: [outgoing], for: 7d}}
"""


def blocked(folder: Path, topic: str, records: list[dict[str, Any]], *options: str) -> list[str]:
    """The numbers that are blocked."""
    (folder / "rules.yaml").write_text(RULES)
    (folder / "in.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    arguments = ["replay", "--rules", str(folder / "rules.yaml"), "--topic", topic, *options, str(folder / "in.jsonl")]
    got = CliRunner().invoke(command, arguments)
    assert got.exit_code == 0, got.output
    return [json.loads(line)["number"] for line in got.stdout.splitlines()]


def messages(sender: str) -> list[dict[str, Any]]:
    """Thirty in five minutes."""
    return [
        {"message_id": f"m{i}", "at": AT_MS + 10_000 * i, "sender": sender, "recipient": f"010-9990-00{i:02d}",
         "origin": "international", "verified": "none"}
        for i in range(30)
    ]  # fmt: skip


def calls(*callers: str) -> list[dict[str, Any]]:
    """Thirty in half a minute, each from the next of the callers."""
    return [
        {"call_id": f"c{i}", "event": "setup", "at": AT_MS + 1_000 * i, "caller": callers[i % len(callers)],
         "callee": f"010-9990-00{i:02d}", "verified": "full"}
        for i in range(30)
    ]  # fmt: skip


def test_digits_that_lost_their_plus_are_a_number_only_where_the_feed_says_so(tmp_path: Path) -> None:
    foreign = messages("8613912345678")
    assert blocked(tmp_path, "message-relay", foreign) == []
    for numbers, expected in (("any", []), ("national", []), ("e164", ["+8613912345678"])):
        feeds = tmp_path / "feeds.yaml"
        feeds.write_text(f"feeds:\n  message-relay: {{numbers: {numbers}}}\n")
        assert blocked(tmp_path, "message-relay", foreign, "--feeds", str(feeds)) == expected


@pytest.mark.parametrize("sender", ["821012345678.0", "1012345678.0", "8.21012345678E11"])
def test_a_number_that_went_through_a_float_blocks_nobody(sender: str, tmp_path: Path) -> None:
    assert blocked(tmp_path, "message-relay", messages(sender)) == []


def test_an_institution_protected_in_national_form_is_left_alone(tmp_path: Path) -> None:
    protected = tmp_path / "protected.yaml"
    protected.write_text('numbers: ["02-2123-4567"]\n')
    office = calls("02-2123-4567", "+82 2 2123 4567")
    assert blocked(tmp_path, "cdr", office) == ["+82221234567"]
    for region in ("KR", "kr"):
        assert blocked(tmp_path, "cdr", office, "--home-region", region, "--protected", str(protected)) == []


def test_one_number_in_the_forms_of_addresses_is_one_number(tmp_path: Path) -> None:
    forms = ("tel:+82-10-1111-0001", "sip:+821011110001@ims.example;user=phone", "%2B821011110001", "010-1111-0001")
    assert blocked(tmp_path, "cdr", calls(*forms)) == ["+821011110001"]


@pytest.mark.parametrize(("text", "number", "kind"), [
    ("82-010-1234-5678", "+821012345678", "mobile"),
    ("009 82 10 1234 5678", "+821012345678", "mobile"),
    ("082-10-1234-5678", "+821012345678", "mobile"),
    ("1012345678", "+821012345678", "mobile"),
    ("０１０－１２３４－５６７８", "+821012345678", "mobile"),
    ("010ㅡ1234ㅡ5678", "+821012345678", "mobile"),
    ("010\u200b1234\u20605678", "+821012345678", "mobile"),
    ("1522-0000", "+8215220000", "representative"),
    ("0507-1234-5678", "+8250712345678", "safe"),
    ("112", None, "other"),
    ("KB국민은행", None, "other"),
    ("anonymous", None, "other"),
])  # fmt: skip
def test_spellings_of_korean_numbers(text: str, number: str | None, kind: str) -> None:
    found = normalise(text)
    assert (found.text if found.key > 0 else None, NUMBER_TYPES[found.type]) == (number, kind)
