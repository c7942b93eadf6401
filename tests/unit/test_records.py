from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import codes
from schemas.decoding import ABSENT, DEAD, KEPT, RecordError, check_all, decode, read
from schemas.feeds import FEEDS
from schemas.records import ID_MAX, NUMBER_MAX, TEXT_MAX, URL_MAX
from schemas.topics import CDR, CONTROL, MESSAGE_RELAY, REPORTS, TRAPS

AT_MS = 1_794_798_000_000
MESSAGE = {"message_id": "m1", "at": AT_MS, "sender": "010-1111-0001", "recipient": "+821099900001"}
CALL = {"call_id": "c1", "event": "setup", "at": AT_MS, "caller": "+827011110001", "callee": "114"}
COMPLETE = CALL | {
    "event": "complete",
    "at": AT_MS + 9000,
    "setup_at": AT_MS,
    "answer_at": AT_MS + 4000,
    "release_at": AT_MS + 9000,
}
REPORT = {"report_id": "r1", "at": AT_MS, "number": "010-1111-0001", "reporter": "+821099900001"}
TRAP = {"at": AT_MS, "sender": "+827011110001", "trap": "02-999-0001", "depth": "full"}
ORDER = {
    "id": "o1", "at": AT_MS, "number": "+821011110001", "action": "release", "operator": "kim", "reason": "wrong",
}  # fmt: skip
RECORD: dict[str, dict[str, Any]] = {
    MESSAGE_RELAY: MESSAGE, CDR: CALL, REPORTS: REPORT, TRAPS: TRAP, CONTROL: ORDER,
}  # fmt: skip
NOTHING: frozenset[str] = frozenset()
EVERYTHING = {topic: frozenset(feed.optional) for topic, feed in FEEDS.items()}


def encoded(record: object) -> bytes:
    return json.dumps(record).encode()


def failure(topic: str, value: bytes | None, fields: frozenset[str] = NOTHING) -> RecordError:
    with pytest.raises(RecordError) as caught:
        decode(topic, value, fields)
    return caught.value


def flaw(topic: str, value: bytes | None, fields: frozenset[str] = NOTHING) -> RecordError:
    """The one flaw of a record, which is a dead letter by it or not."""
    try:
        _, (found,) = read(topic, value, fields)
    except RecordError as error:
        found = error
    return found


def without(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}


def test_required_fields_come_back_with_their_times_as_milliseconds() -> None:
    value = encoded(MESSAGE | {"at": "2026-11-16T12:00:00+09:00", "relay": "r1", "colour": [1, {"x": None}]})
    assert decode(MESSAGE_RELAY, value, NOTHING) == MESSAGE
    assert decode(MESSAGE_RELAY, value, frozenset({"relay", "reseller"})) == MESSAGE | {"relay": "r1"}


def test_optional_fields_are_checked_only_when_they_are_asked_for() -> None:
    value = encoded(MESSAGE | {"channel": "fax", "relay": 7})
    assert read(MESSAGE_RELAY, value, NOTHING) == (MESSAGE, [])
    assert flaw(MESSAGE_RELAY, value, frozenset({"channel"})).field == "channel"
    assert flaw(MESSAGE_RELAY, value, frozenset({"relay"})).field == "relay"


def test_an_absent_or_null_verified_means_none_and_other_nulls_are_absent() -> None:
    wanted = frozenset({"verified", "origin"})
    for record in (MESSAGE, MESSAGE | {"verified": None, "origin": None}):
        assert decode(MESSAGE_RELAY, encoded(record), wanted) == MESSAGE | {"verified": "none"}
    assert decode(MESSAGE_RELAY, encoded(MESSAGE | {"verified": "full"}), wanted)["verified"] == "full"


@pytest.mark.parametrize("topic", FEEDS)
def test_every_required_field_is_missed_when_absent_or_null(topic: str) -> None:
    record = RECORD[topic]
    assert decode(topic, encoded(record), EVERYTHING[topic]).items() >= record.items()
    for name in FEEDS[topic].required:
        for broken in (without(record, name), record | {name: None}):
            error = flaw(topic, encoded(broken))
            assert (error.code, error.field) == ("missing_field", name)
            assert (error.effect == DEAD) == (name in FEEDS[topic].essential)


@pytest.mark.parametrize(
    ("change", "code", "effect"),
    [
        ({"message_id": ""}, "bad_value", DEAD),
        ({"message_id": 5}, "wrong_type", DEAD),
        ({"message_id": "x" * (ID_MAX + 1)}, "too_long", KEPT),
        ({"sender": "1" * (NUMBER_MAX + 1)}, "too_long", KEPT),
        ({"sender": 821011110001}, "wrong_type", DEAD),
        ({"sender": "\ud800"}, "bad_value", KEPT),
        ({"recipient": ["+821099900001"]}, "wrong_type", ABSENT),
        ({"at": "2026-11-16T12:00:00"}, "bad_time", DEAD),
        ({"at": AT_MS // 1000}, "bad_time", DEAD),
        ({"at": 10**30}, "bad_time", DEAD),
        ({"at": True}, "wrong_type", DEAD),
        ({"at": float(AT_MS)}, "wrong_type", DEAD),
        ({"at": {}}, "wrong_type", DEAD),
        ({"text": "x" * (TEXT_MAX + 1)}, "too_long", ABSENT),
        ({"text": ""}, "bad_value", ABSENT),
        ({"channel": "SMS"}, "bad_value", ABSENT),
        ({"channel": ""}, "bad_value", ABSENT),
        ({"verified": True}, "wrong_type", ABSENT),
    ],
)
def test_a_field_that_is_wrong_is_named_with_its_code_and_never_quoted(
    change: dict[str, Any], code: str, effect: str
) -> None:
    ((name, item),) = change.items()
    error = flaw(MESSAGE_RELAY, encoded(MESSAGE | change), EVERYTHING[MESSAGE_RELAY])
    assert (error.field, error.code, error.effect) == (name, code, effect)
    assert str(error).startswith(f"{name}: ")
    if isinstance(item, str) and len(item) > 4:
        assert item not in str(error)


def test_strings_of_exactly_the_stated_length_are_accepted() -> None:
    record = MESSAGE | {"message_id": "가" * ID_MAX, "sender": "1" * NUMBER_MAX, "text": "😀" * TEXT_MAX}
    assert decode(MESSAGE_RELAY, encoded(record), frozenset({"text"})) == record


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b" ", "not_json"),
        (b"null", "not_json"),
        (b"[]", "not_json"),
        (b'"text"', "not_json"),
        (b"17", "not_json"),
        (b"NaN", "not_json"),
        (b"\xef\xbb\xbf" + encoded(MESSAGE), "not_json"),
        (json.dumps(MESSAGE).encode("utf-16"), "not_json"),
        (encoded(MESSAGE) + b"{}", "not_json"),
        (encoded(MESSAGE) + b"\x00", "not_json"),
        (encoded(MESSAGE)[:-1], "not_json"),
        (encoded(MESSAGE)[:-1] + b",}", "not_json"),
        (encoded(MESSAGE)[:-1] + b',"x":NaN}', "not_json"),
        (encoded(MESSAGE)[:-1] + b',"x":-Infinity}', "not_json"),
        (encoded(MESSAGE)[:-1] + b',"x":01}', "not_json"),
        (encoded(MESSAGE)[:-1] + b',"x":"\xff"}', "not_json"),
        (encoded(MESSAGE)[:-1] + b',"x":"\xed\xa0\x80"}', "not_json"),
        (encoded(MESSAGE)[:-1] + b',"x":"\n"}', "not_json"),
        (encoded(MESSAGE)[:-1] + b',"x":' + b"[" * 64 + b"]" * 64 + b"}", "not_json"),
        (b"[" * 1_000_000, "not_json"),
        (b'{"a":' * 200_000, "not_json"),
        (b'"' * 100_001, "not_json"),
        (b'"\\' * 100_000 + b"[" * 100, "not_json"),
    ],
    ids=lambda v: str(v)[:32],
)
def test_what_is_no_single_json_object_is_refused(value: bytes | None, code: str) -> None:
    error = failure(MESSAGE_RELAY, value)
    assert (error.code, error.field) == (code, None)
    assert [e.code for e in check_all(MESSAGE_RELAY, value)] == [code]


def test_brackets_inside_strings_and_moderate_nesting_are_no_reason_to_refuse() -> None:
    record = MESSAGE | {"text": '[{"\\' * 100, "extra": json.loads("[" * 63 + "]" * 63)}
    assert decode(MESSAGE_RELAY, encoded(record), frozenset({"text"})) == MESSAGE | {"text": '[{"\\' * 100}


def test_an_integer_may_have_any_number_of_digits_where_nobody_reads_it() -> None:
    digits = "9" * 10_000
    value = encoded(MESSAGE)[:-1] + b',"other":' + digits.encode() + b"}"
    assert decode(MESSAGE_RELAY, value, NOTHING)["message_id"] == "m1"
    late = encoded(MESSAGE).replace(str(AT_MS).encode(), digits.encode())
    assert failure(MESSAGE_RELAY, late).code == "bad_time"


def test_a_field_given_twice_is_refused_if_it_is_looked_at_however_its_name_is_written() -> None:
    for extra in (b',"sender":"114"}', b',"\\u0073ender":"114"}', b',"sender":null}', b',"sender":"010-1111-0001"}'):
        error = failure(MESSAGE_RELAY, encoded(MESSAGE)[:-1] + extra)
        assert (error.code, error.field) == ("duplicate_field", "sender")
    twice = encoded(MESSAGE | {"relay": "a"})[:-1] + b',"relay":"b","x":1,"x":2,"y":{"sender":"1","sender":"2"}}'
    assert decode(MESSAGE_RELAY, twice, NOTHING) == MESSAGE
    assert flaw(MESSAGE_RELAY, twice, frozenset({"relay"})).code == "duplicate_field"
    assert [(e.code, e.field) for e in check_all(MESSAGE_RELAY, twice)] == [("duplicate_field", "relay")]


def test_a_complete_call_has_its_times_whether_asked_for_or_not() -> None:
    assert decode(CDR, encoded(COMPLETE), NOTHING) == COMPLETE
    unanswered = without(COMPLETE, "answer_at")
    assert decode(CDR, encoded(unanswered), NOTHING) == unanswered
    assert decode(CDR, encoded(unanswered | {"answer_at": None}), NOTHING) == unanswered
    at_once = COMPLETE | {"at": AT_MS, "answer_at": AT_MS, "release_at": AT_MS}
    assert decode(CDR, encoded(at_once), NOTHING) == at_once


@pytest.mark.parametrize("event", ["setup", "answer", "release"])
def test_other_events_of_a_call_do_without_the_times_of_a_complete_one(event: str) -> None:
    record = CALL | {"event": event}
    assert decode(CDR, encoded(record), NOTHING) == record
    assert decode(CDR, encoded(record | {"setup_at": "nonsense"}), NOTHING) == record


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"setup_at": None}, "missing_field", "setup_at"),
        ({"release_at": None}, "missing_field", "release_at"),
        ({"setup_at": AT_MS + 9001}, "bad_value", "setup_at"),
        ({"answer_at": AT_MS - 1}, "bad_value", "answer_at"),
        ({"answer_at": AT_MS + 9001}, "bad_value", "answer_at"),
        ({"at": AT_MS}, "bad_value", "at"),
        ({"at": AT_MS + 9001}, "bad_value", "at"),
        ({"answer_at": "2026-11-16T03:00:00"}, "bad_time", "answer_at"),
        ({"event": "ringing"}, "bad_value", "event"),
        ({"event": ["complete"]}, "wrong_type", "event"),
        ({"event": "message"}, "bad_value", "event"),
    ],
)
def test_a_call_whose_times_do_not_fit_is_refused_or_counts_as_unanswered(
    change: dict[str, Any], code: str, field: str
) -> None:
    error = flaw(CDR, encoded(COMPLETE | change))
    assert (error.code, error.field, error.effect) == (code, field, ABSENT if field == "answer_at" else DEAD)
    if field == "answer_at":
        assert decode(CDR, encoded(COMPLETE | change), NOTHING) == without(COMPLETE, "answer_at")


@pytest.mark.parametrize(
    ("topic", "change", "code", "field"),
    [
        (REPORTS, {"kind": "fax"}, "bad_value", "kind"),
        (REPORTS, {"recording_url": "u" * (URL_MAX + 1)}, "too_long", "recording_url"),
        (REPORTS, {"reporter": 112}, "wrong_type", "reporter"),
        (TRAPS, {"depth": "deep"}, "bad_value", "depth"),
        (TRAPS, {"source_ip": ["192.0.2.1"]}, "wrong_type", "source_ip"),
        (CONTROL, {"action": "destroy"}, "bad_value", "action"),
        (CONTROL, {"until": "2026-11-16T12:00:00"}, "bad_time", "until"),
        (CONTROL, {"reason": ""}, "bad_value", "reason"),
    ],
)
def test_what_is_wrong_in_a_report_a_trap_or_an_order_is_named(
    topic: str, change: dict[str, Any], code: str, field: str
) -> None:
    error = flaw(topic, encoded(RECORD[topic] | change), EVERYTHING[topic])
    assert (error.field, error.code, error.effect) == (field, code, DEAD if topic == CONTROL else ABSENT)


def test_check_all_finds_everything_that_is_wrong_at_once() -> None:
    record = without(COMPLETE, "caller") | {"callee": "", "origin": "mars", "answer_at": AT_MS - 1, "at": AT_MS}
    found = [(e.code, e.field) for e in check_all(CDR, encoded(record))]
    assert found == [
        ("missing_field", "caller"),
        ("bad_value", "callee"),
        ("bad_value", "origin"),
        ("bad_value", "at"),
        ("bad_value", "answer_at"),
    ]
    assert check_all(CDR, encoded(COMPLETE)) == []


def test_the_choices_of_a_field_are_those_that_have_codes() -> None:
    assert FEEDS[MESSAGE_RELAY].fields["channel"].choices == codes.CHANNELS[1:]
    assert FEEDS[CDR].fields["event"].choices == FEEDS[CDR].events
    assert FEEDS[REPORTS].fields["kind"].choices == codes.REPORT_KINDS[1:] == ("message", "call")
    assert FEEDS[TRAPS].fields["depth"].choices == codes.DEPTHS[1:] == ("record", "limited", "full")
    assert FEEDS[CONTROL].fields["action"].choices == codes.CONTROL_ACTIONS[1:]
    for topic in (MESSAGE_RELAY, CDR):
        assert FEEDS[topic].fields["origin"].choices == codes.ORIGINS[1:]
        assert FEEDS[topic].fields["verified"].choices == codes.VERIFIED[1:]


def test_the_fields_of_the_input_topics_are_those_of_the_record_reference() -> None:
    assert {topic: feed.required for topic, feed in FEEDS.items()} == {
        MESSAGE_RELAY: ("message_id", "at", "sender", "recipient"),
        CDR: ("call_id", "event", "at", "caller", "callee"),
        REPORTS: ("report_id", "at", "number", "reporter"),
        TRAPS: ("at", "sender", "trap", "depth"),
        CONTROL: ("id", "at", "number", "action", "operator", "reason"),
    }
    assert {
        MESSAGE_RELAY: (
            *("relay", "reseller", "account", "carrier", "channel", "origin", "verified", "text", "content_hash"),
        ),
        CDR: ("relay", "carrier", "origin", "verified", "cause", "setup_at", "answer_at", "release_at"),
        REPORTS: ("reporter_known", "kind", "text", "message_id", "relay", "reseller", "recording_url"),
        TRAPS: ("text", "source_ip", "recording_url"),
        CONTROL: ("rule", "until", "since", "owner", "account", "relay"),
    } == {topic: feed.optional for topic, feed in FEEDS.items()}
    assert {name: kind.kind for name, kind in FEEDS[CDR].fields.items()} == {
        **{"call_id": "id", "event": "choice", "at": "time", "caller": "number", "callee": "number", "relay": "id"},
        **{"carrier": "id", "origin": "choice", "verified": "choice", "cause": "id"},
        **{"setup_at": "time", "answer_at": "time", "release_at": "time"},
    }


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
values = (
    scalars
    | st.lists(scalars, max_size=2)
    | st.sampled_from(["setup", "complete", "call", "full", "block", AT_MS, AT_MS + 9000])
)
names = st.sampled_from(sorted({*(name for feed in FEEDS.values() for name in feed.fields), "x"}))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A record with some fields exchanged, then perhaps some bytes."""
    record = draw(st.sampled_from([*RECORD.values(), COMPLETE])) | draw(st.dictionaries(names, values, max_size=3))
    value = bytearray(encoded(record))
    for _ in range(draw(st.integers(0, 3))):
        value[draw(st.integers(0, len(value) - 1))] = draw(st.integers(0, 255))
    return bytes(value)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(list(FEEDS)), st.binary(max_size=60) | damaged())
def test_any_bytes_are_a_record_or_a_record_error(topic: str, value: bytes) -> None:
    errors = check_all(topic, value)
    fatal = [error for error in errors if error.effect == DEAD]
    if fatal:
        assert str(failure(topic, value, EVERYTHING[topic])) == str(fatal[0])
        return
    record, flaws = read(topic, value, EVERYTHING[topic])
    assert [str(flaw) for flaw in flaws] == [str(error) for error in errors]
    assert FEEDS[topic].essential & set(FEEDS[topic].required) <= set(record) <= set(FEEDS[topic].fields)
    for name, item in record.items():
        assert isinstance(item, int if FEEDS[topic].fields[name].kind == "time" else str)
        assert item
        if isinstance(item, str) and name not in FEEDS[topic].identities:
            item.encode()
