"""JSON from outside that is nested without end, or holds numbers without end: one error in words, wherever it is
read, and never a recursion error."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from schemas.decoding import RecordError
from schemas.decoding import decode as decode_record
from schemas.feeds import FEEDS
from schemas.json_reading import DEPTH_MAX, JsonReader, Unreadable, is_too_deep
from schemas.objects import ObjectError, read_pairs
from schemas.topics import CDR, MESSAGE_RELAY
from streams.captures.lines import LineReader
from streams.captures.pseudonyms import Pseudonyms
from streams.cli import command
from streams.counting import chunk
from streams.holds import breaker, ledger_rows
from streams.holds.pause import pause_of
from streams.ingest.decode import Decoder
from streams.ingest.epoch import RawBatch
from streams.operators.blocks import BadValue, BlockTable
from streams.state import manifest
from streams.state.folder import IDENTITY, Folder, StateDamaged
from streams.traffic.labels import read_labels

AT_MS = 1_794_798_000_000
MESSAGE = {"message_id": "m", "at": AT_MS, "sender": "+821011110001", "recipient": "+821099990001"}
CALL = {"call_id": "c", "event": "setup", "at": AT_MS, "caller": "+821011110001", "callee": "+821099990001"}
DEPTHS = (DEPTH_MAX, 500, 990, 1_100, 100_000)  # inside an object: each is beyond the bound


def lists(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def objects(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def plus(fields: dict[str, Any], name: str, value: bytes) -> bytes:
    return json.dumps(fields).encode()[:-1] + b',"%b":%b}' % (name.encode(), value)


def kcat(n: int, payload: bytes, **more: bytes) -> bytes:
    said = b'{"topic":"cdr","partition":0,"offset":%d,"ts":%d,"payload":%b' % (n, AT_MS, payload)
    return said + b"".join(b',"%b":%b' % (name.encode(), value) for name, value in more.items()) + b"}\n"


# ------------------------------------------------------------------------------------------------------ the bound


@given(st.recursive(st.text('[]{}\\"a', max_size=4), lambda inner: st.lists(inner, max_size=3), max_leaves=40))
def test_depth_is_that_of_the_value_whatever_its_strings_hold(value: Any) -> None:
    def depth(item: Any) -> int:
        return 1 + max(map(depth, item), default=0) if isinstance(item, list) else 0

    around = DEPTH_MAX - depth(value)
    text = json.dumps(value).encode()
    assert not is_too_deep(b"[" * around + text + b"]" * around)
    assert is_too_deep(b"[" * (around + 1) + text + b"]" * (around + 1))


def test_what_stands_side_by_side_is_not_deep() -> None:
    assert not is_too_deep(b"[" + b"[],{}," * 100_000 + b"1]")
    assert JsonReader(list[Any]).read(b"[" + b"[]," * 1000 + b"1]")[-1] == 1


@given(st.binary(max_size=60) | st.text('{}[]",:1\\ae-', max_size=80).map(str.encode))
def test_a_reader_reads_or_says_why_not(value: bytes) -> None:
    with suppress(Unreadable):
        JsonReader(dict[str, int]).read(value)


# -------------------------------------------------------------------------------------------------------- records


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("made", [lists, objects])
@pytest.mark.parametrize(("topic", "record"), [(MESSAGE_RELAY, MESSAGE), (CDR, CALL)])
def test_kernels_and_exact_decoder_agree_on_deep_records(
    topic: str, record: dict[str, Any], made: Callable[[int], bytes], depth: int
) -> None:
    known, required = FEEDS[topic].optional[0], next(iter(record))
    values: list[bytes | None] = [
        json.dumps(record).encode(),
        plus(record, "unknown", made(depth)),
        plus(record, known, made(depth)),
        plus({name: of for name, of in record.items() if name != required}, required, made(depth)),
        plus(record, "unknown", made(DEPTH_MAX - 1)),
        made(depth + 1),
        made(depth)[:depth],
    ]
    n = len(values)
    raw = RawBatch(topic, np.arange(n), np.zeros(n, np.int32), np.arange(n), np.full(n, AT_MS), values, None)
    decoded = Decoder(topic, frozenset({known})).decode(raw)
    assert decoded.columns["line"].tolist() == [0, 4], "each of the others is one dead letter"
    assert decoded.dead_lines == [1, 2, 3, 5, 6]
    for place, dead in zip(decoded.dead_lines, decoded.dead_letters, strict=True):
        with pytest.raises(RecordError) as refused:
            decode_record(topic, values[place], frozenset({known}))
        told = dict(dead.headers)
        assert told["__connect.errors.exception.class.name"] == b"not_json"
        assert told["__connect.errors.exception.message"].decode() == str(refused.value)
        assert f"nested more than {DEPTH_MAX} deep" in str(refused.value) or place == 6
        assert dead.value == values[place]


@pytest.mark.parametrize("depth", DEPTHS)
def test_pseudonyms_withhold_a_deep_record(depth: int) -> None:
    for name in ("unknown", "carrier"):
        assert Pseudonyms(b"k" * 32).value(CDR, plus(CALL, name, lists(depth))) == b"withheld: not_json"


# -------------------------------------------------------------------------------------------------------- captures


def replayed(tmp_path: Path, lines: bytes) -> tuple[Result, list[dict[str, Any]]]:
    file, dead = tmp_path / "day.jsonl", tmp_path / "dead.jsonl"
    file.write_bytes(lines)
    result = CliRunner().invoke(command, ["replay", str(file), "--dead-letters", str(dead), "--summary"])
    return result, [json.loads(line) for line in dead.read_bytes().splitlines()]


@pytest.mark.parametrize("depth", DEPTHS)
def test_replay_makes_one_dead_letter_of_each_deep_line(tmp_path: Path, depth: int) -> None:
    right = json.dumps(json.dumps(CALL)).encode()
    deep = lists(depth)
    result, dead = replayed(
        tmp_path,
        kcat(0, right)
        + kcat(1, json.dumps(plus(CALL, "unknown", deep).decode()).encode())  # in the record
        + kcat(2, plus(CALL, "unknown", deep))  # the same with the payload as an object
        + kcat(3, right, headers=deep)
        + kcat(4, right, unknown=objects(depth))
        + lists(depth + 1) + b"\n"
        + kcat(5, right, key=deep)
        + kcat(6, right),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    told = json.loads(result.stderr)
    assert (told["lines"], told["bad_lines"], told["feeds"][CDR]["records"]) == (8, 5, 3)
    assert [letter["headers"]["__connect.errors.exception.class.name"] for letter in dead] == [
        "not_json", *["bad_line"] * 5,
    ]  # fmt: skip
    for letter in dead:
        assert f"nested more than {DEPTH_MAX} deep" in letter["headers"]["__connect.errors.exception.message"]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("form", ["values", "kcat", "array", "objects"])
def test_records_check_names_each_deep_record_once_and_reads_on(tmp_path: Path, form: str, depth: int) -> None:
    right = json.dumps(CALL | {"odd": '"}]\\'}).encode()
    values = [right, plus(CALL, "unknown", lists(depth)), plus(CALL, "cause", objects(depth)), right]
    sample = tmp_path / "sample.json"
    sample.write_bytes({
        "values": b"\n".join(values),
        "kcat": b"".join(kcat(n, json.dumps(value.decode()).encode()) for n, value in enumerate(values)),
        "array": b"[" + b",\n".join(values) + b"]",
        "objects": b"\n".join(value.replace(b"{", b"{\n", 1) for value in values),
    }[form])  # fmt: skip
    result = CliRunner().invoke(command, ["records", "check", "--json", str(sample)])
    assert result.exit_code == 1, result.output
    told = json.loads(result.stdout)
    assert (told["records"], told["bad_records"], told["codes"]) == (4, 2, {"not_json": 2})
    assert all(f"nested more than {DEPTH_MAX} deep" in problem["reason"] for problem in told["problems"])


def test_records_check_says_so_when_a_deep_record_is_never_closed(tmp_path: Path) -> None:
    sample = tmp_path / "sample.json"
    sample.write_bytes(b"[" + json.dumps(CALL).encode() + b"," + b'{"a":' * 5_000)
    result = CliRunner().invoke(command, ["records", "check", "--json", str(sample)])
    assert (result.exit_code, result.exception.__class__) == (2, SystemExit)
    assert "missing behind this record" in result.stderr or "no end" in result.stderr


def test_a_capture_line_of_numbers_without_end_is_refused_in_words() -> None:
    rows = LineReader().read_list([kcat(0, b"null", partition=b"9" * 5_000), kcat(1, b"null", unknown=b"9" * 5_000)])
    assert [place for place, _, _ in rows.unread] == [0]


# ---------------------------------------------------------------------------- what Grayline itself reads from Kafka

EVENT = {"event_id": "e", "number": "+821011110001", "state": "active", "change": "opened", "until": AT_MS}
PAUSE = {"id": "x", "paused": True, "at": AT_MS}
CONTENT = {"rules_version": "v", "directions": [], "actions": [], "reason": "r", "evidence": []}
HOLD = {"rule": "r", "mode": "enforce", "from": 1, "until": 2, "active": True}
FEED = {"topic": CDR, "partition": 0}
MANIFEST = {
    "format": manifest.FORMAT, "snapshot": "s", "partition": 0, "partitions": 1, "chunks": [], "base_bytes": 0,
    "rules_version": "v",
}  # fmt: skip


def block_event(value: bytes) -> None:
    BlockTable().apply(b"+821011110001", plus(EVENT, "holds", value))


def unknown_of_a_block_event(value: bytes) -> None:
    BlockTable().apply(b"+821011110001", plus(EVENT, "unknown", value))


def pause(value: bytes) -> None:
    pause_of(plus({"id": "x", "paused": True}, "at", value))


def unknown_of_a_pause(value: bytes) -> None:
    pause_of(plus(PAUSE, "unknown", value))


def ledger_row(value: bytes) -> None:
    hold = plus(HOLD, "content", plus(CONTENT, "more", value))
    ledger_rows.decode(821011110001, b'{"format":%d,"holds":[%b]}' % (ledger_rows.FORMAT, hold))


def breaker_row(value: bytes) -> None:
    breaker.Breaker(10).load(0, b'{"format":%d,"feeds":[%b]}' % (breaker.FORMAT, plus(FEED, "minute", value)))


def manifest_time(value: bytes) -> None:
    manifest.decode(plus(MANIFEST | {"offsets": {}}, "taken_ms", value))


def manifest_offsets(value: bytes) -> None:
    manifest.decode(plus(MANIFEST | {"taken_ms": 1}, "offsets", b'{"cdr":%b}' % value))


def image(value: bytes) -> None:
    rest = b'"arrays":[["a","int64",[%b]]]}\n' % value
    chunk.decode(b'{"format":%d,"crc":"%08x",' % (chunk.FORMAT, zlib.crc32(rest)) + rest)


READ_FROM_KAFKA: dict[Callable[[bytes], None], type[Exception]] = {
    block_event: BadValue,
    unknown_of_a_block_event: BadValue,
    pause: ValueError,
    unknown_of_a_pause: ValueError,
    ledger_row: ledger_rows.LedgerRowError,
    breaker_row: breaker.BreakerRowError,
    manifest_time: manifest.ManifestError,
    manifest_offsets: manifest.ManifestError,
    image: chunk.ImageError,
}


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("read", READ_FROM_KAFKA, ids=lambda read: read.__name__)
def test_what_is_nested_too_deep_on_a_topic_of_ours_is_refused_in_words(
    read: Callable[[bytes], None], depth: int
) -> None:
    for deep in (lists(depth), objects(depth)):
        with pytest.raises(READ_FROM_KAFKA[read], match=f"nested more than {DEPTH_MAX} deep"):
            read(deep)


@pytest.mark.parametrize("digits", [20, 300, 5_000])
@pytest.mark.parametrize("read", READ_FROM_KAFKA.keys() - {unknown_of_a_block_event, unknown_of_a_pause})
def test_an_integer_beyond_64_bits_on_a_topic_of_ours_is_refused_in_words(
    read: Callable[[bytes], None], digits: int
) -> None:
    for sign in (b"", b"-"):
        with pytest.raises(READ_FROM_KAFKA[read]):
            read(sign + b"9" * digits)


def test_a_deep_identity_of_a_state_folder_is_damage(tmp_path: Path) -> None:
    (tmp_path / IDENTITY).write_bytes(plus({"cluster": "c", "group": "g"}, "unknown", lists(1_100)))
    with pytest.raises(StateDamaged, match=f"nested more than {DEPTH_MAX} deep"):
        Folder.read(tmp_path)


def test_a_deep_label_is_refused_with_its_line(tmp_path: Path) -> None:
    label = {"number": "+821011110001", "kind": "k", "innocent": True, "first_at": 1, "events": 1}
    file = tmp_path / "labels.jsonl"
    file.write_bytes(json.dumps(label).encode() + b"\n" + plus(label, "unknown", lists(1_100)) + b"\n")
    with pytest.raises(ValueError, match=f":2: not a label .* nested more than {DEPTH_MAX} deep"):
        read_labels(file)


# -------------------------------------------------------------------------------------------------------- rule files


@pytest.mark.parametrize("text", [
    "rules: " + "[" * 500_000,
    "rules: " + "[" * 1_100 + "]" * 1_100,
    "rules: " + "{a: " * 1_100 + "1" + "}" * 1_100,
    "rules:\n" + "".join("  " * n + "- \n" for n in range(1, 600)),
    "rules: " + "- " * 1_100 + "1",
    "? " * 1_100 + "1",
    "counters:\n  c: {on: cdr, per: caller, count: events, window: " + "9" * 5_000 + "m}\nrules: []\n",
    "rules:\n  - {name: a, summary: s, when: " + "not " * 400 + "a, mode: enforce}\n",
    "rules:\n  - {name: a, summary: s, when: 'a > " + "9" * 1_900 + "', mode: enforce}\n",
    "hours: {h: {location: UTC, times: [{start_time: '" + "9" * 5_000 + ":00', end_time: '18:00'}], years: ['"
    + "9" * 5_000 + "'], days_of_month: ['" + "9" * 5_000 + "']}}\nrules: []\n",
    "numbers: ['+" + "9" * 5_000 + "']\nprefixes: ['+" + "9" * 5_000 + "']\n",
], ids=lambda text: text[:24])  # fmt: skip
def test_deep_or_endless_rule_files_and_lists_of_protected_numbers_are_refused_in_words(
    tmp_path: Path, text: str
) -> None:
    file, empty = tmp_path / "rules.yaml", tmp_path / "empty.jsonl"
    file.write_text(text)
    empty.touch()
    for arguments in (["rules", "check", str(file)], ["replay", "--protected", str(file), str(empty)]):
        result = CliRunner().invoke(command, arguments)
        assert (result.exit_code, type(result.exception)) == (1, SystemExit), result.exception
        assert "rules.yaml" in result.output


def test_reading_pairs_passes_over_no_depth() -> None:
    with pytest.raises(ObjectError, match=f"nested more than {DEPTH_MAX} deep"):
        read_pairs(plus(CALL, "unknown", lists(DEPTH_MAX)))
    assert dict(read_pairs(plus(CALL, "unknown", lists(DEPTH_MAX - 1))))["call_id"] == "c"
