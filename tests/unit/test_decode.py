"""The fast decoder against the exact one: the same columns and the same dead letters for any bytes."""

from __future__ import annotations

import hashlib
import json
import random
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import codes
from schemas.decoding import RecordError, decode
from schemas.feeds import EVENTS, FEEDS
from schemas.numbers import Number, normalise
from schemas.records import NUMBER_MAX
from schemas.topics import CDR, CONTROL, MESSAGE_RELAY, REPORTS, TRAPS
from streams.ingest.decode import DEAD_LETTER_KEPT_BYTES, DEAD_LETTER_WHOLE_BYTES, Decoded, Decoder
from streams.ingest.epoch import RawBatch
from streams.ingest.feed_codes import NAMES_KEPT_MAX, NO_FEED, OTHERS, Feeds, feeds_of, name_of, text_hash

AT_MS = 1_794_798_000_000
MESSAGE = {"message_id": "m1", "at": AT_MS, "sender": "010-1111-0001", "recipient": "+821099900001"}
CALL = {"call_id": "c1", "event": "setup", "at": AT_MS, "caller": "+827011110001", "callee": "114"}
COMPLETE = CALL | {"event": "complete", "setup_at": AT_MS - 9000, "answer_at": AT_MS - 5000, "release_at": AT_MS}
REPORT = {"report_id": "r1", "at": AT_MS, "number": "010-1111-0001", "reporter": "+821099900001"}
TRAP = {"at": AT_MS, "sender": "+827011110001", "trap": "02-999-0001", "depth": "full"}
ORDER = {
    "id": "o1", "at": AT_MS, "number": "+821011110001", "action": "release", "operator": "kim", "reason": "확인함",
}  # fmt: skip
EVERYTHING = {topic: frozenset(feed.optional) - set(feed.complete) for topic, feed in FEEDS.items()}
NOTHING = {topic: frozenset[str]() for topic in FEEDS}
VALID = {
    MESSAGE_RELAY: [
        MESSAGE,
        MESSAGE | {"origin": "domestic", "verified": "full", "channel": "kakao", "relay": "r1", "text": "엄마 😀"},
        MESSAGE
        | {"at": "2026-11-16T12:00:00.5+09:00", "sender": "anonymous", "content_hash": 'a"\\\n', "reseller": "é"},
    ],
    CDR: [CALL, COMPLETE, CALL | {"event": "release", "cause": "16", "carrier": "KT", "origin": "international"}],
    REPORTS: [
        REPORT,
        REPORT | {"kind": "call", "recording_url": "https://a.invalid/1", "relay": "r1"},
        REPORT
        | {"kind": "message", "text": "택배 😀", "message_id": "m1", "reseller": "s1", "at": "2026-11-16T12:00:00Z"},
    ],
    TRAPS: [TRAP, TRAP | {"depth": "record", "text": "hello", "source_ip": "192.0.2.1"}, TRAP | {"at": AT_MS + 1}],
    CONTROL: [
        ORDER,
        ORDER | {"action": "allow", "rule": "pmg-voice", "until": "2026-11-17T12:00:00+09:00"},
        ORDER | {"until": AT_MS + 1, "at": "2026-11-16T12:00:00.5Z"},
    ],
}
# (number, peer) and id of each topic's records.
NAMES = {
    MESSAGE_RELAY: ("sender", "recipient", "message_id"), CDR: ("caller", "callee", "call_id"),
    REPORTS: ("number", "reporter", "report_id"), TRAPS: ("sender", "trap", None), CONTROL: ("number", None, "id"),
}  # fmt: skip
ONE_EVENT = {MESSAGE_RELAY: "message", REPORTS: "report", TRAPS: "trap", CONTROL: "control"}
KIND = {name: code for code, name in enumerate(EVENTS)}
CHOICES = {
    "channel": codes.CHANNELS, "origin": codes.ORIGINS, "verified": codes.VERIFIED, "kind": codes.REPORT_KINDS,
    "depth": codes.DEPTHS, "action": codes.CONTROL_ACTIONS,
}  # fmt: skip


@lru_cache
def decoder(topic: str, everything: bool = True) -> Decoder:
    return Decoder(topic, (EVERYTHING if everything else NOTHING)[topic])


def raw(topic: str, values: list[bytes | None], feeds: list[bytes | None] | None = None) -> RawBatch:
    n = len(values)
    return RawBatch(
        topic, np.arange(n) * 3 + 5, np.arange(n, dtype=np.int32) % 4, np.arange(n) + 100,
        np.arange(n) + AT_MS, values, [b"k%d" % i for i in range(n)], feeds,
    )  # fmt: skip


def expected(topic: str, values: list[bytes | None], wanted: frozenset[str]) -> tuple[list[dict[str, int]], list[Any]]:
    """(rows, dead letters as (place, code, message)) by the exact decoder alone."""
    rows: list[dict[str, int]] = []
    dead = []
    for i, value in enumerate(values):
        try:
            record: dict[str, Any] = decode(topic, value, wanted | {"origin", "verified", "carrier", "relay"})
        except RecordError as error:
            dead.append((i, error.code, str(error)))
            continue
        rows += [row | {"line": 3 * i + 5, "partition": i % 4, "timestamp": i + AT_MS} for row in _rows(topic, record)]
    return rows, dead


def _rows(topic: str, record: dict[str, Any]) -> list[dict[str, int]]:
    of, to, id_name = NAMES[topic]
    number = read_number(record[of])
    row = {"number": number.key, "number_type": number.type, "access": number.access, "at": record["at"]}
    peer = read_number(record[to]) if to in record else None
    row["peer"], row["peer_type"] = (0, 0) if peer is None else (peer.key, peer.type)
    feed = None if FEEDS[topic].is_order else record.get("carrier") or record.get("relay")
    row["feed"] = NO_FEED if feed is None else Feeds().code(feed)
    row["id"] = text_hash(record[id_name]) if id_name else 0
    row |= {"event": KIND[ONE_EVENT.get(topic) or record["event"]], "topic": list(NAMES).index(topic)}
    row |= {
        name: CHOICES[name].index(record.get(name, "")) for name in ("depth", "action") if name in FEEDS[topic].fields
    }
    for name in EVERYTHING[topic]:
        value = record.get(name)
        if name == "until":
            row[name] = value or 0
        else:
            row[name] = CHOICES[name].index(value or "") if name in CHOICES else text_hash(value) if value else 0
    if topic != CDR:
        return [row]
    if record["event"] != "complete":
        return [row | {"duration": -1}]
    answer = record.get("answer_at")
    spoken = -1 if answer is None else record["release_at"] - answer
    out = [row | {"event": codes.SETUP, "at": record["setup_at"], "duration": -1}]
    out += [] if answer is None else [row | {"event": codes.ANSWER, "at": answer, "duration": -1}]
    return [*out, row | {"event": codes.RELEASE, "duration": spoken}, row | {"duration": spoken}]


def read_number(text: str) -> Number:
    if len(text) <= NUMBER_MAX:
        return normalise(text)
    return normalise(f"long-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}")


def assert_agree(topic: str, values: list[bytes | None], everything: bool = True) -> Decoded:
    wanted = (EVERYTHING if everything else NOTHING)[topic]
    got = decoder(topic, everything).decode(raw(topic, values))
    rows, dead = expected(topic, values, wanted)
    whole = got.columns.pop("order", None)
    if whole is not None:  # of orders, the records as the exact decoder reads them
        died = {i for i, _, _ in dead}
        kept = [decode(topic, value, wanted) for i, value in enumerate(values) if i not in died]
        assert [{**record, "offset": 0} for record in whole] == [{**record, "offset": 0} for record in kept]
    for name, column in got.columns.items():
        told = [row[name] for row in rows]
        if name == "id" and NAMES[topic][2] is None:  # one for what is one hit, and never none
            assert 0 not in column
            told = [(row["number"], row["peer"], row["at"]) for row in rows]
            assert len(set(column.tolist())) == len(set(told)) == len(set(zip(column.tolist(), told, strict=True)))
        else:
            assert column.tolist() == told, name
    said = [(dict(r.headers), r.value, r.key) for r in got.dead_letters]
    assert [(h["__connect.errors.exception.class.name"], h["__connect.errors.exception.message"]) for h, _, _ in said] \
        == [(code.encode(), message.encode()) for _, code, message in dead]  # fmt: skip
    assert [(v, k) for _, v, k in said] == [(values[i], b"k%d" % i) for i, _, _ in dead]
    assert got.dead_lines == [3 * i + 5 for i, _, _ in dead]
    assert got.counts["records"] == len(values)
    assert sum(got.counts.values()) == len(values) + len(dead)
    return got


# ------------------------------------------------------------------------------------------------------- strategies

SPACE = st.sampled_from(["", "", "", " ", "\n", "\t \r\n"])
TEXTS = st.one_of(
    st.sampled_from(
        [
            "r1",
            "sms",
            "full",
            "international",
            "call",
            "limited",
            "block",
            "",
            "가",
            "😀",
            "a" * 256,
            "a" * 257,
            "\u0000",
            '"}{',
            "\\",
        ]
    ),
    st.text(max_size=20),
)
NUMBERS = st.one_of(
    st.sampled_from([
        "+821011110001", "010-1111-0001", "009 82 10 1111 0001", "821011110001", "02-555-0001", "1588-9999", "112",
        "+12025550123", "０１０１１１１０００１", "ACME", " anonymous ", "sip:a@b",
        "+82 (0)10 1111 0001", "0" * 128, "1" * 129,
    ]),
    st.from_regex(r"\A[+]?[0-9]{1,16}\Z"),
    st.text(max_size=12),
)  # fmt: skip
TIMES = st.sampled_from([
    AT_MS, str(AT_MS), "2026-11-16T12:00:00Z", "2026-11-16t12:00:00.123456+09:00", "2026-11-16T12:00:00", -1, 0,
    AT_MS // 1000, 10**18, 10**30, 946_684_800_000, 946_684_799_999, 253_402_300_799_999, 253_402_300_800_000, True,
    "2026-02-29T00:00:00Z", "2026-11-16T23:59:60Z", "2000-01-01T00:00:00+00:01", "2026-11-16T12:00:00.-5Z", None, "",
    1.794798e12, [AT_MS], "2026-11-16T12:00:00+24:00", "9999-12-31T23:59:59.999Z", "2026-11-16T12:00:00-00:00",
])  # fmt: skip
ODD = st.sampled_from([None, True, 1, -0.5, [], {}, {"at": 1}, [["x"]], {"a": {"sender": "1"}}, 10**25])
FORMS = ["01", "1.", "-", "+1", "1e3", "1E400", "NaN", "Infinity", "0x1", "tru", "nul", "'a'", '"\\x"', '"\\u12"',
         '"\\ud83d\\ude00"', '"\\ud83d"', '"a\tb"', '"', "[1,]", "{,}", "[[", "]", '{"a":1', "1 2", "", "//",
         "-0"]  # fmt: skip


def spelled(draw: st.DrawFn, text: str) -> str:
    """A JSON string, some of its characters escaped though they need not be."""
    if draw(st.sampled_from([True, True, False])):
        return json.dumps(text, ensure_ascii=draw(st.booleans()))
    return '"' + "".join(json.dumps(c)[1:-1] if ord(c) > 0xFFFF else f"\\u{ord(c):04x}" for c in text) + '"'


@st.composite
def objects(draw: st.DrawFn, topic: str) -> bytes:
    """A record as a feed might spell it, seldom quite right."""
    base: dict[str, Any] = dict(draw(st.sampled_from(VALID[topic])))
    for name in draw(st.lists(st.sampled_from([*base, *FEEDS[topic].optional, "unknown", "a.t", "At"]), max_size=4)):
        right = TIMES if name in ("at", "until") or name.endswith("_at") else NUMBERS if name in (*base,) else TEXTS
        base[name] = draw(st.one_of(right, right, TEXTS, ODD))
    for name in draw(st.lists(st.sampled_from(list(base)), max_size=1)):
        del base[name]
    pairs = list(base.items())
    pairs += draw(st.sampled_from([[], [], [], [pairs[0]] if pairs else []]))
    pairs = draw(st.permutations(pairs))
    parts = []
    for name, value in pairs:
        form = spelled(draw, value) if isinstance(value, str) else json.dumps(value)
        if draw(st.integers(0, 30)) == 0:
            form = draw(st.sampled_from(FORMS))
        parts.append(f"{draw(SPACE)}{spelled(draw, name)}{draw(SPACE)}:{draw(SPACE)}{form}{draw(SPACE)}")
    text = draw(SPACE) + "{" + ",".join(parts) + "}" + draw(SPACE)
    return text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("topic", FEEDS)
@given(data=st.data(), everything=st.booleans())
@settings(max_examples=40, deadline=None)
def test_any_spelling_of_records_gives_what_the_exact_decoder_gives(
    topic: str, data: st.DataObject, everything: bool
) -> None:
    values = data.draw(st.lists(st.one_of(objects(topic), objects(topic), st.binary(max_size=30)), max_size=8))
    assert_agree(topic, values, everything)


@pytest.mark.parametrize("topic", FEEDS)
def test_flipped_inserted_and_lost_bytes_give_what_the_exact_decoder_gives(topic: str) -> None:
    random_bytes = random.Random(7)
    values: list[bytes | None] = []
    for _ in range(3000):
        value = bytearray(
            json.dumps(random_bytes.choice(VALID[topic]), ensure_ascii=random_bytes.random() < 0.5), "utf-8"
        )
        for _ in range(random_bytes.choice((1, 1, 2, 3))):
            at = random_bytes.randrange(len(value))
            byte = random_bytes.choice((random_bytes.randrange(256), ord(random_bytes.choice('"\\{}[],: 0e-tu'))))
            value[at : at + random_bytes.choice((0, 1, 1, 1, 2))] = bytes([byte])
        values.append(bytes(value))
    assert 200 < len(assert_agree(topic, values).dead_letters) < 2999


@pytest.mark.parametrize("topic", FEEDS)
def test_a_record_cut_off_at_any_byte_is_a_dead_letter_and_its_neighbours_stay(topic: str) -> None:
    for record in VALID[topic]:
        whole = json.dumps(record, ensure_ascii=False).encode()
        got = assert_agree(topic, [part for i in range(len(whole)) for part in (whole[:i], whole)])
        assert len(got.dead_letters) == len(whole)


def test_records_that_would_parse_once_joined_stay_apart() -> None:
    whole = json.dumps(MESSAGE).encode()
    at = whole.index(b', "sender"')
    pair: list[bytes | None] = [whole[:at], whole[at + 1 :], whole[:at] + b",", whole[at + 1 :], whole]
    forged: list[bytes | None] = [whole[:-1] + b"},{", whole[1:], whole[:-1], b"}", whole + b"," + whole, whole]
    assert len(assert_agree(MESSAGE_RELAY, pair + forged).columns["at"]) == 2


@pytest.mark.parametrize("cut", ['"at": ', '"sender": "', '"message_id": "m1'])
def test_a_record_that_ends_inside_a_value_does_not_read_on_in_its_neighbour(cut: str) -> None:
    whole = json.dumps(MESSAGE)
    head = whole[: whole.index(cut) + len(cut)].encode()
    rest = whole.encode()[len(head) :]
    assert len(assert_agree(MESSAGE_RELAY, [head, rest, head, whole.encode()])) == 1


def test_hits_of_a_trap_are_one_where_number_trap_and_time_are_one_however_they_are_spelled() -> None:
    again = [
        TRAP,
        TRAP | {"sender": "070-1111-0001", "trap": "029990001", "text": "other", "depth": "record"},
        {"depth": "full", "trap": "+8229990001", "at": "2026-11-16T12:00:00+09:00", "sender": "+82 70 1111 0001"},
    ]
    others = [TRAP | {"at": AT_MS + 1}, TRAP | {"trap": "029990002"}, TRAP | {"sender": "+827011110002"}]
    ids = decoder(TRAPS).decode(raw(TRAPS, [json.dumps(hit).encode() for hit in again + others])).columns["id"]
    assert len(set(ids[:3].tolist())) == 1
    assert len(set(ids.tolist())) == 4


def test_values_that_are_no_text_or_no_object_are_dead_letters() -> None:
    whole = json.dumps(MESSAGE).encode()
    broken: list[bytes | None] = [
        None, b"", b" ", b"null", b"[]", b"{}",
        b"\xef\xbb\xbf" + whole, whole + b"\0", b"\0" + whole, whole[:20] + b"\0",
        whole.replace(b"m1", b"\xff"), whole.replace(b"m1", b"\xed\xa0\x80"), whole.replace(b"m1", b"\xc0\xaf"),
        whole.replace(b"m1", b"m\n1"), b'{"a":' * 70 + b"1" + b"}" * 70, b"[" * 100_000,
        whole.decode().encode("utf-16"),
    ]  # fmt: skip
    got = assert_agree(MESSAGE_RELAY, [part for value in broken for part in (value, whole)])
    assert len(got.dead_letters) == len(broken)


def test_megabyte_values_decode_or_die_without_harm_to_their_neighbours() -> None:
    whole = json.dumps(MESSAGE).encode()
    unknown = json.dumps(MESSAGE | {"unknown": "x" * 1_500_000}).encode()
    late = json.dumps({"unknown": ["y" * 100] * 10_000} | MESSAGE).encode()
    got = assert_agree(MESSAGE_RELAY, [whole, unknown, late, whole])
    assert len(got) == 4


def test_a_dead_letter_is_the_record_verbatim_and_says_where_it_came_from() -> None:
    got = decoder(CDR).decode(raw(CDR, [b"{}", b'{"call_id": 7}\xff', None]))
    assert [letter.value for letter in got.dead_letters] == [b"{}", b'{"call_id": 7}\xff', None]
    assert got.dead_letters[0].topic == "dead-letters"
    assert got.dead_letters[1].key == b"k1"
    assert got.dead_letters[0].headers == [
        ("__connect.errors.topic", b"cdr"),
        ("__connect.errors.partition", b"0"),
        ("__connect.errors.offset", b"100"),
        ("__connect.errors.exception.class.name", b"missing_field"),
        ("__connect.errors.exception.message", b"call_id: is absent: every cdr record has it"),
    ]


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_dead_letter_too_large_for_the_topic_keeps_its_beginning_size_and_hash(beyond: int) -> None:
    value = b"[" + b"1" * (DEAD_LETTER_WHOLE_BYTES - 1 + beyond)
    (letter,) = decoder(CDR).decode(raw(CDR, [value])).dead_letters
    assert letter.value == (value[:DEAD_LETTER_KEPT_BYTES] if beyond else value)
    told = dict(letter.headers)
    assert told.get("grayline.value.bytes") == (b"%d" % len(value) if beyond else None)
    assert told.get("grayline.value.sha256") == (hashlib.sha256(value).hexdigest().encode() if beyond else None)


def test_an_empty_batch_decodes_to_nothing() -> None:
    got = decoder(CDR).decode(raw(CDR, []))
    assert len(got) == 0
    assert got.last_line == -1


def test_a_field_that_the_topic_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="no optional field colour"):
        Decoder(CDR, frozenset({"colour"}))


def test_many_spellings_keep_their_numbers_when_the_cache_of_spellings_grows() -> None:
    values: list[bytes | None] = [
        json.dumps(MESSAGE | {"sender": f"010-{i // 10000:04}-{i % 10000:04}", "recipient": f"web{i}"}).encode()
        for i in range(2500)
    ]
    assert_agree(MESSAGE_RELAY, values)
    assert_agree(MESSAGE_RELAY, values[::-7])


DIGITS = st.text("0123456789", min_size=1, max_size=15)
SPELT = st.tuples(st.sampled_from(["", "+", "0", "00", "+82", "82", "8210", "tel:", "%2B82", "00700"]), DIGITS).map(
    "".join
)


@settings(max_examples=25, deadline=None)
@given(st.lists(SPELT | st.from_regex(r"\+82[0-9]{6,13}", fullmatch=True), min_size=1, max_size=40))
def test_digits_of_any_kind_give_the_same_number_at_once_from_the_cache_and_from_the_exact_reading(
    texts: list[str],
) -> None:
    values: list[bytes | None] = [
        json.dumps({"call_id": "c", "event": "setup", "at": AT_MS, "caller": text, "callee": text}).encode()
        for text in texts
    ]
    for _ in range(2):  # the second time, short ones come from the cache
        columns = decoder(CDR).decode(raw(CDR, values)).columns
        for number, kind, access in (("number", "number_type", "access"), ("peer", "peer_type", None)):
            for text, key, of, code in zip(texts, columns[number], columns[kind], columns["access"], strict=True):
                exact = normalise(text)
                assert (key, of) == (exact.key, exact.type)
                assert access is None or code == exact.access


# ------------------------------------------------------------------------------------------------------------ feeds


def feeds_named(topic: str, records: list[dict[str, Any]], headers: list[bytes | None] | None = None) -> list[str]:
    of = decoder(topic, False)
    decoded = of.decode(raw(topic, [json.dumps(record).encode() for record in records], headers))
    return [of.feeds.name(code, topic) for code in decoded.columns["feed"].tolist()]


def test_the_feed_is_the_header_else_the_carrier_else_the_relay_else_the_topic() -> None:
    records = [CALL, CALL | {"relay": "r7"}, CALL | {"relay": "r7", "carrier": "KT"}, CALL | {"carrier": "가" * 256}]
    assert feeds_named(CDR, records) == ["cdr", "r7", "KT", "가" * 256]
    assert feeds_named(CDR, records, [b"skt-1", None, b"skt-1", None]) == ["skt-1", "r7", "skt-1", "가" * 256]
    assert feeds_named(TRAPS, [TRAP, TRAP], [None, b"honeypot"]) == ["traps", "honeypot"]
    assert feeds_named(REPORTS, [REPORT | {"relay": "r7"}]) == ["r7"]


@pytest.mark.parametrize("odd", [b"", b"\xff", b"x" * 257])
def test_a_header_that_can_be_no_name_names_nobody(odd: bytes) -> None:
    assert feeds_named(CDR, [CALL, CALL | {"carrier": "KT"}], [odd, odd]) == ["cdr", "KT"]


@pytest.mark.parametrize("odd", ["", "x" * 257, "KT\ud83d", 7, None, ["KT"]])
def test_a_flawed_name_of_a_feed_is_absent_and_the_record_counts(odd: Any) -> None:
    assert feeds_named(CDR, [CALL | {"carrier": odd}, CALL | {"carrier": odd, "relay": "r7"}]) == ["cdr", "r7"]


@given(names=st.lists(st.text(min_size=1, max_size=20).filter(str.isprintable), min_size=1, max_size=30))
@settings(max_examples=30, deadline=None)
def test_a_feeds_code_hangs_on_its_name_alone(names: list[str]) -> None:
    first, second = Feeds(), Feeds()
    values: list[bytes | None] = [json.dumps(CALL | {"carrier": name}).encode() for name in names]
    by_field = Decoder(CDR, frozenset({"carrier"}), feeds=first).decode(raw(CDR, values)).columns["feed"].tolist()
    headers = [name.encode() for name in names]
    by_header = Decoder(CDR, frozenset(), feeds=second).decode(
        raw(CDR, [json.dumps(CALL).encode()] * len(names), headers)
    )
    assert by_field == by_header.columns["feed"].tolist() == [Feeds().code(name) for name in names]
    assert [first.name(code, CDR) for code in by_field] == [second.name(code, CDR) for code in by_field] == names
    assert NO_FEED not in by_field


def test_all_events_of_a_record_are_of_its_feed() -> None:
    assert feeds_named(CDR, [COMPLETE, COMPLETE | {"carrier": "KT"}]) == ["cdr"] * 4 + ["KT"] * 4


def test_names_beyond_the_bound_are_shown_together_and_keep_their_codes() -> None:
    feeds = Feeds()
    names = [f"feed {i}" for i in range(NAMES_KEPT_MAX + 50)]
    values: list[bytes | None] = [json.dumps(CALL | {"carrier": name}).encode() for name in names]
    codes_ = Decoder(CDR, frozenset(), feeds=feeds).decode(raw(CDR, values)).columns["feed"].tolist()
    assert codes_ == [Feeds().code(name) for name in names]
    first = list({code: name for name, code in reversed(list(zip(names, codes_, strict=True)))}.items())[::-1]
    assert len(first) > NAMES_KEPT_MAX, "few names share a code"
    shown = [feeds.name(code, CDR) for code, _ in first]
    assert shown == [name for _, name in first[:NAMES_KEPT_MAX]] + [OTHERS] * (len(first) - NAMES_KEPT_MAX)


def test_the_first_header_called_feed_names_it() -> None:
    assert feeds_of([None, [("x", b"1")], [("feed", b"a"), ("feed", b"b")]]) == [None, None, b"a"]
    assert feeds_of([None, [("x", b"1")]]) is None
    assert name_of(None, b"{broken", ("carrier",)) is None


def test_a_dead_letter_keeps_the_records_own_key_and_headers_unless_they_would_not_fit() -> None:
    batch = raw(CDR, [b"{", b"{", b"{"])
    errors = [("__connect.errors.topic", b"old"), ("grayline.value.bytes", b"9"), ("grayline.redriven", b"0:1")]
    batch.with_headers = [[("feed", b"a"), ("trace", None), *errors], None, [("big", bytes(20_000))]]
    letters = decoder(CDR).decode(batch).dead_letters
    assert [letter.key for letter in letters] == [b"k0", b"k1", None]
    own = [("feed", b"a"), ("trace", b""), ("grayline.redriven", b"0:1")]
    assert [letter.headers[5:] for letter in letters] == [own, [], [("grayline.cut", b"key and headers")]]
