"""The registry at work: what rules read of it, and what becomes of a firing of an allow-listed number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.load import check_texts, load_text
from rules.model import RuleSet
from rules.registry import ALWAYS_MS, Entry, Registry, key_of_name
from schemas.numbers import normalise
from schemas.registry import ALLOWED, ENTRY_KINDS
from schemas.topics import BLOCK_EVENTS, CDR, REVIEW_QUEUE, SHADOW_EVENTS
from streams.captures.replay import Replay
from streams.cli import command
from streams.engine.engine import Engine
from streams.ingest.epoch import OutRecord
from tests.reference.reference import Line
from tests.reference.small_traffic import HOUR, MONDAY_0859_MS, NUMBERS, kcat_line, traffic
from tests.unit.test_reference import assert_same, referred, replayed

RULES = """
counters:
  rate: {on: cdr.setup, per: caller, count: events, window: 1m}
  sent: {on: message-relay, per: sender, count: events, window: 10m}
rules:
  - name: unknown
    summary: calls of numbers that nobody registered
    when: rate >= 1 and registered == "false"
    then: {block: [calls], directions: [outgoing], for: 1h}
    mode: enforce
  - name: known
    summary: calls of registered senders
    when: rate >= 1 and registered == "true" and institution != "true"
    then: {block: [calls], directions: [outgoing], for: 1h}
    mode: review
  - name: anybody
    summary: calls
    when: rate >= 1
    then: {block: [calls], directions: [outgoing], for: 2h}
    mode: enforce
  - name: strange-account
    summary: messages of an account that nobody registered
    when: sent >= 1 and account_registered == "false"
    then: {block: [messages], directions: [outgoing], for: 1h}
    mode: enforce
  - name: known-account
    summary: messages of an account that is registered
    when: sent >= 1 and account_registered == "true" and spoofed == "false"
    then: {block: [messages], directions: [outgoing], for: 1h}
    mode: review
  - name: trial
    summary: calls or messages
    when: rate + sent >= 1 and institution in ("true", "false")
    then: {block: [calls], directions: [outgoing], for: 1h}
    mode: shadow
  - name: sends
    summary: messages that nobody need vouch for
    when: sent >= 2 and not (institution == "true")
    then: {block: [messages], directions: [outgoing], for: 1h}
    mode: enforce
    spoofable: accepted
"""

T_MS = MONDAY_0859_MS


def line(n: int, at_ms: int, number: int) -> bytes:
    """The n-th record of a day: a call's set-up, vouched for."""
    call = {
        "call_id": f"c{n}", "event": "setup", "at": at_ms, "caller": f"+8210{number:08}", "callee": "+821099999999",
        "verified": "full", "origin": "domestic",
    }  # fmt: skip
    return kcat_line(Line(CDR, 0, n, at_ms, orjson.dumps(call)))


def entry(kind: str, number: str, since_ms: int = ALWAYS_MS, until_ms: int = T_MS + 1000 * HOUR) -> Entry:
    if kind == "account":
        number = "a1" if number[-1] in "0123" else "a2"
        return Entry(ENTRY_KINDS[kind], 0, key_of_name(number), since_ms, until_ms, "an owner", "a reason", number)
    digits, key = (len(number) - 2, int(number[1:-1])) if number.endswith("*") else (0, normalise(number).key)
    return Entry(ENTRY_KINDS[kind], digits, key, since_ms, until_ms, "an owner", "a reason")


def rules_with(*entries: Entry) -> RuleSet:
    return replace(load_text(RULES), registry=Registry.of(entries))


def holds(lines: list[bytes], rules: RuleSet) -> list[tuple[str, str, Any]]:
    """(topic, rule, diverted) of every hold that was opened."""
    out: list[OutRecord] = []
    Replay(Engine(rules), out.append).run(lines, "day")
    read = [
        (r.topic, orjson.loads(r.value or b"")) for r in out if r.topic in (BLOCK_EVENTS, REVIEW_QUEUE, SHADOW_EVENTS)
    ]
    return [(topic, h["rule"], h.get("diverted")) for topic, state in read for h in state["holds"]]


ENFORCED = [(BLOCK_EVENTS, "unknown", None), (BLOCK_EVENTS, "anybody", None)]
TRIAL = [(SHADOW_EVENTS, "trial", None)]


def test_a_rule_reads_whether_the_number_is_registered_as_of_the_events_own_time() -> None:
    call = line(0, T_MS, 1)
    assert holds([call], rules_with()) == ENFORCED + TRIAL
    sender = entry("bulk_sender", "+821000000001")
    known = [(REVIEW_QUEUE, "known", None), (BLOCK_EVENTS, "anybody", None), *TRIAL]
    assert sorted(holds([call], rules_with(sender))) == sorted(known)
    for over in (replace(sender, until_ms=T_MS), replace(sender, since_ms=T_MS + 1)):
        assert holds([call], rules_with(over)) == ENFORCED + TRIAL
    both = rules_with(sender, entry("institution", "+8210000*"))
    assert holds([call], both) == [(BLOCK_EVENTS, "anybody", None), *TRIAL]
    assert holds([line(0, T_MS, 2)], rules_with(sender)) == ENFORCED + TRIAL, "another number"


def test_an_allow_listed_number_is_enforced_by_no_rule_and_shows_in_review_with_the_reason() -> None:
    call, rules = line(0, T_MS, 1), rules_with(entry("allowed", "+821000000001"))
    diverted = [(REVIEW_QUEUE, rule, "allow_listed") for rule in ("unknown", "anybody")]
    assert holds([call], rules) == diverted + TRIAL
    out: list[OutRecord] = []
    engine = Engine(rules)
    outcome = []
    step = engine.step
    engine.step = lambda *given: outcome.append(step(*given)) or outcome[-1]  # type: ignore[method-assign,func-returns-value]
    Replay(engine, out.append).run([call], "day")
    (hold,) = [orjson.loads(r.value or b"")["hold"] for r in out if r.topic == REVIEW_QUEUE]
    assert rules.registry is not None
    assert hold["registry_version"] == rules.registry.version
    assert hold["listed"] == {"kind": "allowed", "owner": "an owner", "reason": "a reason", "until": T_MS + 1000 * HOUR}
    assert dict(outcome[0].diverted) == {"allow_listed": 2}


def test_an_allow_list_entry_that_is_over_or_not_yet_in_force_changes_nothing() -> None:
    hours = [line(n, T_MS + n * 3 * HOUR, 1) for n in range(3)]
    during = rules_with(entry("allowed", "+8210000000*", T_MS + 2 * HOUR, T_MS + 4 * HOUR))
    found = holds(hours, during)
    assert [h for h in found if h[1] == "anybody"] == [
        (BLOCK_EVENTS, "anybody", None), (REVIEW_QUEUE, "anybody", "allow_listed"), (BLOCK_EVENTS, "anybody", None),
    ]  # fmt: skip


def test_a_block_that_is_in_force_when_a_number_is_allowed_ends_at_its_end_and_is_not_extended() -> None:
    lines = [line(n, T_MS + n * HOUR + n, 1) for n in range(2)]
    out: list[OutRecord] = []
    engine = Engine(rules_with(entry("allowed", "+821000000001", since_ms=T_MS + 1)))
    Replay(engine, out.append).run(lines, "day")
    records = [(r.topic, orjson.loads(r.value or b"")) for r in out if r.topic in (BLOCK_EVENTS, REVIEW_QUEUE)]
    assert [(topic, state["change"]) for topic, state in records] == [
        (BLOCK_EVENTS, "opened"),
        (REVIEW_QUEUE, "opened"),
    ]


def test_the_registry_is_read_by_when_alone_and_its_names_are_taken() -> None:
    text = RULES.replace("window: 1m}", 'window: 1m, where: registered == "true"}')
    (found,) = check_texts([("r.yaml", text)])[1]
    assert found.message == "where: unknown name `registered`"
    found = check_texts([("r.yaml", RULES.replace("  sent:", "  institution:"))])[1][0]
    assert found.message == "a counter cannot be named `institution`: a record field has that name"
    (found,) = check_texts([("r.yaml", RULES.replace('and registered == "false"', 'and registered == "no"'))])[1]
    assert (found.message, found.choices) == ('when: `"no"` is not a value of this field', ("true", "false"))


ENTRIES = st.lists(
    st.builds(
        lambda kind, number, start, length: entry(
            kind, number, MONDAY_0859_MS + start * HOUR, MONDAY_0859_MS + (start + length) * HOUR
        ),
        st.sampled_from(sorted(ENTRY_KINDS)),
        st.sampled_from([*NUMBERS, "+8210*", "+82101111*", "+1202*"]),
        st.integers(-60, 20), st.integers(1, 60),
    ),
    max_size=6,
    unique_by=lambda e: (e.kind.name, e.key, e.digits),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(lines=traffic(), batch_lines=st.integers(1, 50), entries=ENTRIES)
def test_any_traffic_under_any_registry_gives_what_the_reference_gives(
    lines: list[Line], batch_lines: int, entries: list[Entry]
) -> None:
    rules = rules_with(*[e for i, e in enumerate(entries) if not _covers(entries[:i], e)])
    assert_same(replayed(rules, lines, batch_lines), referred(rules, lines))


def _covers(others: list[Entry], e: Entry) -> bool:
    """An allow-list entry beside another for the same number: both are right, and either may be shown."""
    return e.kind is ALLOWED and any(other.kind is ALLOWED for other in others)


def test_a_replay_takes_registry_files_and_a_mistake_in_one_ends_it_with_its_place(tmp_path: Path) -> None:
    day, rules, file = (tmp_path / name for name in ("day.jsonl", "rules.yaml", "registry.csv"))
    day.write_bytes(b"\n".join(line(n, T_MS + n, n) for n in (1, 2)) + b"\n")
    rules.write_text(RULES)
    file.write_text(f"kind,number,owner,reason,until\nallowed,+821000000001,o,r,{T_MS + HOUR}\n")
    words = ["--rules", str(rules), "--registry", str(file), "--topics", "block-events,review-queue", str(day)]
    got = CliRunner().invoke(command, ["replay", *words])
    assert got.exit_code == 0, got.output
    topics = {(told["topic"], told["key"][-1]) for told in map(orjson.loads, got.stdout.splitlines())}
    assert topics == {(REVIEW_QUEUE, "1"), (BLOCK_EVENTS, "2")}
    file.write_text("kind,number,owner,reason,until\nallow,+821000000001,o,r,1\n")
    got = CliRunner().invoke(command, ["replay", *words])
    assert got.exit_code == 1
    assert f"{file}:2:1: error: `allow` is no kind of entry" in got.stderr
