"""Trials hand out every change of a hold, in every lane, whatever the epochs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from rules.load import load_text
from streams.craft.trial import HoldChange, Trial

START_MS = 1_795_000_000_000
RULE = """
  - name: {name}
    summary: a test's own
    when: rate >= {least}
    then: {{block: [calls], directions: [outgoing], for: 1h}}
    mode: {mode}
"""


def rules(**modes: str) -> str:
    counters = "counters:\n  rate: {on: cdr.setup, per: caller, count: events, window: 1h}\nrules:"
    return counters + "".join(
        RULE.format(name=name, least=2 + place, mode=mode) for place, (name, mode) in enumerate(modes.items())
    )


def calls(*at_min: float) -> Iterator[bytes]:
    for i, at in enumerate(at_min):
        at_ms = START_MS + round(at * 60_000)
        value = {"call_id": f"c{i}", "event": "setup", "at": at_ms, "caller": "010-1111-0001",
                 "callee": f"010-2222-{i:04d}", "verified": "full", "origin": "domestic"}  # fmt: skip
        line = {"topic": "cdr", "partition": 0, "offset": i, "ts": at_ms, "payload": orjson.dumps(value).decode()}
        yield orjson.dumps(line)


def changes(text: str, lines: list[bytes], batch_lines: int = 10_000) -> list[tuple[str, str, str, float, float]]:
    found: list[HoldChange] = []
    Trial(load_text(text), found.append, batch_lines=batch_lines).run(lines, "calls")
    assert {change.number for change in found} == {"+821011110001"}
    return [
        (c.mode, c.rule, c.change, (c.from_ms - START_MS) / 60_000, (c.until_ms - START_MS) / 60_000) for c in found
    ]


@pytest.mark.parametrize("mode", ["enforce", "review", "shadow"])
def test_openings_extensions_and_ends_are_told_in_every_lane(mode: str) -> None:
    told = changes(rules(one=mode), [*calls(0, 1, 59, 63, 64, 120, 180, 181)])
    assert told == [
        (mode, "one", "opened", 1, 61),
        (mode, "one", "opened", 63, 123),  # the one before had ended, and no clock had said so yet
        (mode, "one", "unreviewed" if mode == "review" else "expired", 63, 123),
        (mode, "one", "opened", 181, 241),
    ]


@pytest.mark.parametrize("batch_lines", [1, 2, 10_000])
def test_two_rules_of_one_lane_that_one_record_fires_are_both_told(batch_lines: int) -> None:
    text = rules(one="review", two="review").replace("rate >= 3", "rate >= 2")
    assert changes(text, [*calls(0, 1)], batch_lines) == [
        ("review", "one", "opened", 1, 61),
        ("review", "two", "opened", 1, 61),
    ]


def test_captures_are_tried_like_lines(tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    file.write_bytes(b"\n".join(calls(0, 1)) + b"\n")
    found: list[HoldChange] = []
    trial = Trial(load_text(rules(one="enforce")), found.append)
    trial.run_files([file])
    assert ([change.change for change in found], trial.summary.events("accepted")) == (["opened"], 2)
