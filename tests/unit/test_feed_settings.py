"""What settings of feeds do to records: vouching, clocks, numbers, envelopes; and what flaws cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from rules.load import load_text
from schemas.codes import VERIFIED
from schemas.decoding import RecordError, read
from schemas.envelopes import ENVELOPES
from schemas.feed_settings import NO_BOOK, FeedBook, FeedSettings
from schemas.feeds import FEEDS
from schemas.numbers import normalise
from schemas.topics import CDR, CONTROL, MESSAGE_RELAY, REPORTS, TRAPS
from streams.cli import command
from streams.engine.engine import Engine
from streams.ingest.decode import DEAD, FLAWED, RECORDS, Decoded, Decoder
from streams.ingest.feed_codes import Feeds
from tests.unit.test_decode import CALL, COMPLETE, EVERYTHING, VALID, raw

FIELD = Path(__file__).parent / "field"


def decoded(
    feeds: dict[str, FeedSettings] | None,
    records: list[Any],
    headers: list[bytes | None] | None = None,
    topic: str = CDR,
) -> Decoded:
    """Each record is decoded fast, and once more exactly, with a fraction in it that kernels leave alone: both give the
    same columns."""
    book = NO_BOOK if feeds is None else FeedBook(feeds, "1")
    wanted = EVERYTHING[topic]
    values = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in records]
    slow = [r if isinstance(r, bytes) else json.dumps(r | {"odd": 0.5}).encode() for r in records]
    fast, exact = (
        Decoder(topic, wanted, feeds=Feeds(book)).decode(raw(topic, [*each], headers)) for each in (values, slow)
    )
    for name, column in fast.columns.items():
        assert column.tolist() == exact.columns[name].tolist(), name
    assert fast.by_feed == exact.by_feed
    return fast


def levels(got: Decoded) -> list[str]:
    return [VERIFIED[code] for code in got.columns["verified"].tolist()]


def test_with_a_file_a_feed_vouches_for_what_it_says_and_others_for_nothing() -> None:
    calls = [CALL | {"carrier": name, "verified": "full"} for name in ("KT", "SKT", "LGU")] + [
        CALL | {"verified": "full"}
    ]
    calls.append(CALL | {"carrier": "KT"})
    book = {"KT": FeedSettings("full"), "SKT": FeedSettings("partial")}
    assert levels(decoded(book, calls)) == ["full", "partial", "none", "none", "none"]
    assert levels(decoded(None, calls)) == ["full", "full", "full", "full", "none"]
    assert levels(decoded(book | {CDR: FeedSettings("full")}, calls))[3] == "full"
    elsewhere = {"KT": FeedSettings("full", topics=(MESSAGE_RELAY,))}
    assert levels(decoded(elsewhere, calls))[0] == "none"


def test_a_flaw_in_who_vouches_leaves_nobody_who_does() -> None:
    calls = [CALL | {"verified": "full", "origin": odd} for odd in ("DOMESTIC", "", 1, "domestic")]
    got = decoded(None, calls)
    assert levels(got) == ["none", "none", "none", "full"]
    assert got.by_feed[CDR, FLAWED, "origin"] == 3


def test_a_clocks_offset_is_added_to_every_time_of_a_record() -> None:
    book = {"KT": FeedSettings(offset_ms=-90_000)}
    times = decoded(book, [COMPLETE | {"carrier": "KT"}, COMPLETE]).columns["at"].tolist()
    assert [time + 90_000 for time in times[:4]] == times[4:]


def test_times_without_a_zone_are_read_in_their_feeds() -> None:
    book = {"KT": FeedSettings(zone="Asia/Seoul"), "DE": FeedSettings(zone="Europe/Berlin")}
    local = {"at": "2026-11-16T12:00:00.5"}
    got = decoded(book, [
        CALL | local | {"carrier": "KT"}, CALL | {"at": "2026-11-16 12:00:00", "carrier": "DE"}, CALL | local,
        CALL | {"at": "2026-11-16T03:00:00Z", "carrier": "KT"},
        CALL | {"at": "2026-10-25T02:30:00", "carrier": "DE"}, CALL | {"at": "2026-03-29T02:30:00", "carrier": "DE"},
    ])  # fmt: skip
    base = 1_794_798_000_000  # 2026-11-16T03:00:00Z
    assert got.columns["at"].tolist() == [base + 500, base + 8 * 3_600_000, base]
    assert [dict(letter.headers)["__connect.errors.exception.message"].decode() for letter in got.dead_letters] == [
        "at: has no zone: end it in Z or an offset, like 2026-11-22T09:00:00+09:00",
        "at: comes twice in its zone, as clocks are set back: end it in Z or an offset",
        "at: does not exist in its zone, as clocks are set forward: end it in Z or an offset",
    ]


def test_each_feed_writes_numbers_its_way() -> None:
    book = {
        "gate": FeedSettings(number_format="smpp"), "us": FeedSettings(region="US"),
        "intl": FeedSettings(number_format="e164"),
    }  # fmt: skip
    texts = ["8613912345678", "010-1111-0001", "+821011110001", "1:8613912345678", "2:01011110001", "202-555-0123"]
    calls = [CALL | {"caller": text, "callee": text, "carrier": name} for name in (*book, "other") for text in texts]
    got = decoded(book, calls)
    ways = [("KR", "smpp"), ("US", "any"), ("KR", "e164"), ("KR", "any")]
    expected = [normalise(text, *way).key for way in ways for text in texts]
    assert got.columns["number"].tolist() == got.columns["peer"].tolist() == expected
    assert len({tuple(expected[i : i + 6]) for i in range(0, 24, 6)}) == 4


WRAPPED = {
    "connect": lambda value: json.dumps({"schema": {"type": "struct"}, "payload": json.loads(value)}).encode(),
    "debezium": lambda value: json.dumps({"before": None, "after": json.loads(value), "op": "c"}).encode(),
    "cloudevents": lambda value: json.dumps({"specversion": "1.0", "id": "1", "data": json.loads(value)}).encode(),
    "schema_registry": lambda value: b"\0\0\0\0\x07" + value,
}
CALLED = json.dumps(CALL | {"carrier": "KT"}).encode()


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_an_envelope_is_opened_where_the_feed_says_so_and_else_named(envelope: str) -> None:
    value = WRAPPED[envelope](CALLED)
    settings = FeedSettings(envelope=envelope)
    for book, headers in (({CDR: settings}, None), ({"switch-1": settings}, [b"switch-1", b"switch-1"])):
        got = decoded(book, [value, CALLED], headers)  # what is not wrapped is read as it is
        assert len(got) == 2
    for book, headers in ((None, None), ({CDR: settings}, [b"other"]), ({"KT": settings}, None)):
        (letter,) = decoded(book, [value], headers).dead_letters
        told = dict(letter.headers)
        assert told["__connect.errors.exception.class.name"] == b"enveloped"
        assert (
            f"say `envelope: {envelope}` for this feed in feeds.yaml"
            in told["__connect.errors.exception.message"].decode()
        )
        assert letter.value == value, "a dead letter is verbatim, envelope included"


def test_what_is_no_record_inside_an_envelope_is_told_as_ever() -> None:
    values = [WRAPPED["connect"](b'{"call_id": "c"}'), b'{"payload": null}', b'{"payload": 7}', b"{broken", b"\0"]
    got = decoded({CDR: FeedSettings(envelope="connect")}, values)
    assert [dict(letter.headers)["__connect.errors.exception.class.name"] for letter in got.dead_letters] == [
        b"missing_field", b"empty", b"not_json", b"not_json", b"not_json",
    ]  # fmt: skip
    both = json.dumps({"payload": {"before": None, "after": json.loads(CALLED)}}).encode()
    assert len(decoded({CDR: FeedSettings(envelope="debezium")}, [both])) == 1


def test_a_dead_letter_names_the_feed_that_its_record_names() -> None:
    records = [CALL | {"at": 1, "carrier": "KT"}, CALL | {"at": 1}, b"{broken", b"{broken"]
    got = decoded(None, records, [None, None, b"switch-1", None])
    assert [dict(letter.headers).get("feed") for letter in got.dead_letters] == [b"KT", None, b"switch-1", None]
    assert {told: count for told, count in got.by_feed.items() if told[1] == DEAD} == {
        ("KT", DEAD, "bad_time"): 1, (CDR, DEAD, "bad_time"): 1, ("switch-1", DEAD, "not_json"): 1,
        (CDR, DEAD, "not_json"): 1,
    }  # fmt: skip
    assert got.by_feed["KT", RECORDS, ""] == 1


# ------------------------------------------------------------------------------------------------------------ flaws

FLAWS: list[Any] = ["", "x\ud83d", 7, True, [], {}, "y" * 70_000, "0001-01-01T00:00:00Z", 0]


@pytest.mark.parametrize("topic", [MESSAGE_RELAY, CDR, REPORTS, TRAPS])
def test_every_field_that_is_not_essential_is_flawed_in_turn_and_the_record_counts(topic: str) -> None:
    row = FEEDS[topic]
    whole: dict[str, Any] = {}
    for record in VALID[topic]:
        whole |= record
    if topic == CDR:
        whole |= COMPLETE
    for name in set(row.fields) - row.essential:
        records = [whole | {name: odd} for odd in FLAWS]
        got = decoded(None, records, [b"f"] * len(records), topic)
        assert len(set(got.columns["line"].tolist())) == len(records), name
        flawed = [json.dumps(record).encode() for record in records]
        expected = sum(bool(read(topic, value, EVERYTHING[topic])[1]) for value in flawed)
        assert got.by_feed["f", FLAWED, name] == expected >= 5, name
        column = "peer" if name == row.peer else name
        if column in got.columns and name != "verified" and name not in row.identities:
            assert not got.columns[column][np.isin(got.columns["line"], [5, 11, 14, 17, 20])].any(), name


def test_an_order_with_any_flaw_is_a_dead_letter() -> None:
    order = VALID[CONTROL][1]
    for name in FEEDS[CONTROL].fields:
        with pytest.raises(RecordError):
            read(CONTROL, json.dumps(order | {name: ""}).encode(), EVERYTHING[CONTROL])


BULK = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 10m}
  contents: {on: message-relay, per: sender, distinct: content, window: 10m}
rules:
  - name: sent-25
    summary: 25 messages within ten minutes
    when: sent >= 25 and contents < 1
    then: {block: [messages], directions: [outgoing], for: 7d}
    mode: enforce
    spoofable: accepted
"""


def test_half_an_emoji_takes_no_message_out_of_the_counts(tmp_path: Path) -> None:
    (tmp_path / "bulk.yaml").write_text(BULK)
    arguments = ["--rules", str(tmp_path / "bulk.yaml"), "--summary", str(FIELD / "half-an-emoji.jsonl")]
    got = CliRunner().invoke(command, ["replay", *arguments])
    assert '"accepted": 30' in got.output
    (opened,) = [json.loads(line) for line in got.stdout.splitlines() if "opened" in line]
    assert (opened["number"], opened["hold"]["from"]) == ("+8613912345678", 1795395840000)


def test_an_answer_that_never_was_costs_the_answer_and_its_remedy_is_told() -> None:
    lines = (FIELD / "unanswered.jsonl").read_bytes().splitlines()
    for line in lines:
        record, (flaw,) = read(CDR, line, EVERYTHING[CDR])
        assert "answer_at" not in record
        assert "Multiply" not in str(flaw)
        assert flaw.field in ("answer_at", "callee")
    shown = CliRunner().invoke(command, ["records", "check", str(FIELD / "unanswered.jsonl")])
    assert shown.exit_code == 1
    assert "7 records, 0 bad, 7 that count without their flawed fields" in shown.output
    assert "says never: leave it out of what never happened" in shown.output
    assert "is an empty string: give its value\n" in shown.output


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("envelope", "lies in `payload`, as Kafka Connect wraps it"), ("debezium", "lies in `after`, as Debezium"),
        ("cloudevents", "lies in `data`, as CloudEvents"), ("double", "is JSON inside a JSON string"),
        ("page", "is a page of records"),
    ],
)  # fmt: skip
def test_the_check_of_a_sample_names_its_envelope(name: str, told: str) -> None:
    for arguments in ([], ["--topic", CDR]):
        got = CliRunner().invoke(command, ["records", "check", *arguments, str(FIELD / f"{name}.jsonl")])
        assert told in got.output
        assert got.exit_code in (1, 2)


def test_the_check_of_a_sample_takes_the_settings_of_feeds(tmp_path: Path) -> None:
    (tmp_path / "feeds.yaml").write_text("feeds: {cdr: {envelope: connect, clock: {zone: Asia/Seoul}}}")
    wrapped = WRAPPED["connect"](json.dumps(CALL | {"at": "2026-11-16 12:00:00"}).encode())
    (tmp_path / "sample.jsonl").write_bytes(wrapped)
    check = ["records", "check", "--topic", CDR, str(tmp_path / "sample.jsonl")]
    assert CliRunner().invoke(command, check).exit_code == 1
    assert CliRunner().invoke(command, [*check, "--feeds", str(tmp_path / "feeds.yaml")]).exit_code == 0


def test_replay_takes_the_settings_of_feeds(tmp_path: Path) -> None:
    (tmp_path / "feeds.yaml").write_text("feeds: {KT: {vouchez: full}}")
    lines = tmp_path / "calls.jsonl"
    lines.write_text("")
    got = CliRunner().invoke(command, ["replay", "--feeds", str(tmp_path / "feeds.yaml"), str(lines)])
    assert got.exit_code == 1
    assert "unknown key `vouchez`" in got.output


def test_the_check_of_a_sample_tells_feeds_apart(tmp_path: Path) -> None:
    calls = [
        CALL | {"carrier": "KT"},
        CALL | {"carrier": "KT", "origin": "x"},
        CALL | {"carrier": "SKT", "at": 1},
        CALL,
    ]
    sample = tmp_path / "sample.jsonl"
    sample.write_text("".join(json.dumps(call) + "\n" for call in calls))
    got = CliRunner().invoke(command, ["records", "check", str(sample)])
    assert "  feed KT: 2 records, 0 bad, 1 flawed\n" in got.output
    assert "  feed SKT: 1 records, 1 bad, 0 flawed\n" in got.output
    assert "  feed cdr: 1 records, 0 bad, 0 flawed\n" in got.output
    told = json.loads(CliRunner().invoke(command, ["records", "check", "--json", str(sample)]).stdout)
    assert told["topics"][CDR]["feeds"]["KT"] == {"records": 2, "bad": 0, "flawed": 1}


def test_ordinary_flaws_are_seen_without_the_exact_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A feed that sends an empty field in every record is as fast as others."""
    monkeypatch.setattr("schemas.decoding.read", lambda *_: pytest.fail("read exactly"))
    calls = [CALL | {"carrier": odd, "relay": "r7", "cause": odd} for odd in ("", 7, True, None)]
    got = Decoder(CDR, EVERYTHING[CDR]).decode(raw(CDR, [json.dumps(call).encode() for call in calls]))
    assert {told: count for told, count in got.by_feed.items() if told[1] == FLAWED} == {
        ("r7", FLAWED, "carrier"): 3, ("r7", FLAWED, "cause"): 3,
    }  # fmt: skip


def test_under_other_settings_what_was_counted_stays_and_later_records_are_read_by_them() -> None:
    rules = load_text("""
counters:
  sent: {on: cdr.setup, per: caller, count: events, window: 1h}
rules:
  - {name: three, summary: three calls, when: sent >= 3, mode: enforce,
     then: {block: [calls], directions: [outgoing], for: 1d}}
""")
    at_ms = int(str(CALL["at"]))
    calls: list[bytes | None] = [
        json.dumps(CALL | {"call_id": f"c{i}", "at": at_ms + i, "carrier": "KT", "verified": "full"}).encode()
        for i in range(4)
    ]
    engine = Engine(rules, feeds=Feeds(FeedBook({}, "old")))
    assert not engine.step([engine.decoders[CDR].decode(raw(CDR, calls[:2]))]).changes
    named = engine.feeds.code("KT")
    engine = engine.with_rules(rules, FeedBook({"KT": FeedSettings("full")}, "new"))
    assert (engine.feeds_version, engine.feeds.name(named, CDR)) == ("new", "KT")
    found = engine.step([engine.decoders[CDR].decode(raw(CDR, calls[2:]))])
    # The third has two before it that nobody vouched for: what it fires goes to people, also with the fourth.
    assert dict(found.changes) == {("three", "review", "opened"): 1}
    assert engine.with_rules(rules).feeds_version == "new"
