"""Captures: both ways of reading a line agree, all formats give the same records, files are whole or not there."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import resource
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow
import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from schemas.decoding import check_all
from schemas.feeds import FEEDS
from schemas.numbers import e164_rules, normalise
from schemas.topics import CDR, CONTROL, MESSAGE_RELAY, REPORTS, TRAPS
from streams.captures import files
from streams.captures.files import plain_lines, read_capture, read_stream
from streams.captures.lines import LineReader, texts
from streams.captures.parquet import SCHEMA
from streams.captures.pseudonyms import KeyProblem, Pseudonyms, read_key
from streams.captures.rows import NO_RECORD, CaptureError, CaptureRows
from streams.captures.writing import CaptureWriter, Record, WriteProblem, line
from streams.cli import command
from streams.ingest.packed import Packed
from streams.traffic.generate import Traffic, TrafficSettings

AT_MS = 1_794_798_000_000
TOPICS = (MESSAGE_RELAY, CDR)
RULES = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 10m}
  calls: {on: cdr.setup, per: caller, count: events, window: 10m}
rules:
  - {name: messages, summary: s, when: sent >= 4, then: {block: [messages], directions: [outgoing], for: 1d},
     mode: enforce}
  - {name: calls, summary: s, when: calls >= 4, then: {block: [calls], directions: [outgoing], for: 1d}, mode: review}
"""


# ------------------------------------------------------------------------------------------------ one line, two ways

Told = tuple[str, int, int, int, bytes | None, bytes | None]


def told(rows: CaptureRows) -> list[Told | None]:
    """The content of each row; None for a line that is blank or cannot be read."""
    columns = (rows.topic, rows.partition, rows.offset, rows.timestamp)
    out: list[Told | None] = []
    for topic, partition, offset, ts, key, value in zip(
        *(c.tolist() for c in columns), rows.keys, rows.values, strict=True
    ):
        out.append(None if topic == NO_RECORD else (rows.topics[topic], partition, offset, ts, key, value))
    return out


def exactly(reader: LineReader, raw: bytes) -> Told | None:
    try:
        read = reader.parse(raw)
        return read.topic, read.partition, read.offset, read.ts, *texts(read)
    except (msgspec.MsgspecError, UnicodeError, ValueError):
        return None


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 3), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=9),
    st.sampled_from(["message-relay", "cdr", "elsewhere", "a-topic-of-seventeen", "\ud800", "\0", 'a"\\\n\t/é한😀']),
    st.sampled_from([(1 << 20) - 1, 1 << 20, (1 << 62) - 1, 1 << 62, 10**18, 0.5, 1e3]),
)  # fmt: skip
VALUES = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.text(max_size=3), SCALARS, max_size=2),
    st.builds(lambda text: json.dumps({"text": text}), st.text()),
)  # fmt: skip
NAMES = st.sampled_from(
    ["topic", "partition", "offset", "ts", "key", "payload", "headers", "tstype", "key_base64", "payload_base64", "to"]
)
USUAL = st.fixed_dictionaries(
    {
        "topic": st.sampled_from([MESSAGE_RELAY, CDR, "elsewhere"]),
        "partition": st.integers(0, 9),
        "offset": st.integers(0, 99),
    },
    optional={
        "ts": st.integers(-1, 2**41),
        "key": st.none() | st.text(max_size=20),
        "payload": st.none() | VALUES,
        "headers": st.lists(st.none() | st.text(max_size=5), max_size=4),
        "broker": st.integers(-1, 3),
    },
)


@st.composite
def raw_lines(draw: Any) -> bytes:
    """A line as some tool might print it: members in any order, some twice, spaces anywhere, and now and then a byte
    changed, left out or put in."""
    members = list(draw(USUAL).items()) + draw(st.lists(st.tuples(NAMES, VALUES), max_size=2))
    if draw(st.booleans()):
        members = draw(st.permutations(members))
    ascii_only, space = draw(st.booleans()), draw(st.sampled_from(["", " ", "\t \r"]))

    def text(value: object) -> str:
        return json.dumps(value, ensure_ascii=ascii_only)

    body = f"{space},{space}".join(f"{text(name)}{space}:{space}{text(value)}" for name, value in members)
    raw = bytearray(f"{space}{{{space}{body}{space}}}{space}".encode("utf-8", "surrogatepass"))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(raw) - 1))
        raw[at : at + draw(st.integers(0, 1))] = draw(st.binary(max_size=2)).replace(b"\n", b"")
    return bytes(raw)


BASE = b'{"topic":"cdr","partition":1,"offset":2'


@settings(max_examples=300, deadline=None)
@given(st.lists(raw_lines(), min_size=1, max_size=5), st.booleans())
@example([BASE + b',"payload":"\\ud83d\\ude00"}', BASE + b',"payload":"\\ud83d"}', BASE + b',"key":"\\ude00"}'], True)
@example([BASE + b',"payload":"\xed\xa0\x80"}', BASE + b',"payload":"\xff"}', BASE + b',"key":"\xc0\x80"}'], True)
@example(
    [BASE + b',"ts":-1}', BASE + b',"ts":-2}', BASE + b',"ts":-0}', BASE + b',"ts":01}', BASE + b',"ts":1.0}'], True
)
@example(
    [BASE + b',"payload":"abc', b'"}', BASE + b',"payload":"\\', b'""}', BASE + b',"payload":"\\u00', b'41"}'], False
)
@example([BASE + b',"headers":[]}', BASE + b',"headers":["a",null]}', BASE + b',"headers":["a",]}', BASE + b"}x"], True)
@example([BASE + b',"payload_base64":"/w=="}', BASE + b',"payload_base64":"/w="}', BASE + b',"key":""}'], False)
def test_a_line_says_the_same_whichever_way_it_was_read(lines: list[bytes], feeds: bool) -> None:
    reader = LineReader(TOPICS)
    expected = [exactly(reader, raw) for raw in lines]
    given_lines = [raw + b"\n" * feeds for raw in lines]
    for _ in range(2):  # the second time its topics are known
        rows = reader.read_list(given_lines)
        assert told(rows) == expected
        blank = [not raw.strip() for raw in lines]
        bad = [i for i, line in enumerate(expected) if line is None and not blank[i]]
        assert [place for place, _, _ in rows.unread] == bad
        assert [raw for _, raw, _ in rows.unread] == [given_lines[i] for i in bad]


def test_ordinary_lines_are_read_without_the_exact_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the comparison above would compare the exact reader with itself."""
    monkeypatch.setattr(LineReader, "parse", lambda self, raw: pytest.fail(f"read exactly: {raw!r}"))
    payload = json.dumps({"text": '엄마 😀 \\ " / \n', "n": 1})
    usual = {"topic": CDR, "partition": 3, "offset": 7, "tstype": "create", "ts": AT_MS, "broker": 1}
    usual |= {"headers": ["feed", "skt-1", "x", None], "key": "+8210", "payload": payload}
    lines = [json.dumps(usual, ensure_ascii=ascii_only).encode() + b"\r\n" for ascii_only in (True, False)]
    lines.append(json.dumps(dict(reversed(usual.items())) | {"payload": None}, indent=1).replace("\n", " ").encode())
    (first, second, third) = told(LineReader(TOPICS).read_list(lines))
    assert first == second == (CDR, 3, 7, AT_MS, b"+8210", payload.encode())
    assert third == (CDR, 3, 7, AT_MS, b"+8210", None)


@settings(deadline=None)
@given(st.lists(st.none() | st.binary(max_size=30)), st.data())
def test_packed_texts_read_like_a_list(items: list[bytes | None], data: Any) -> None:
    whole = np.frombuffer(b"".join(item or b"" for item in items) + b".", np.uint8)
    length = np.array([-1 if item is None else len(item) for item in items], np.int64)
    at = np.concatenate(([0], np.cumsum(np.maximum(length, 0))))[:-1].astype(np.int64)
    packed = Packed(whole, at, length)
    assert list(packed) == [packed[i] for i in range(len(packed))] == items
    index = np.array(data.draw(st.lists(st.integers(0, len(items) - 1)) if items else st.just([])), np.int64)
    taken = packed.take(index)
    assert list(taken) == [items[i] for i in index]
    buffer, ends = taken.laid_out()
    assert bytes(buffer)[: int(ends[-1]) if len(ends) else 0] == b"".join(items[i] or b"" for i in index)
    assert np.diff(ends, prepend=0).tolist() == [len(items[i] or b"") for i in index]


# ------------------------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize("batch", [1, 2, 7, 1000])
@pytest.mark.parametrize("buffer_bytes", [16, 64, 1 << 20])
def test_lines_are_cut_at_line_feeds_wherever_reads_and_batches_end(
    batch: int, buffer_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BUFFER_BYTES", buffer_bytes)
    lines = [b"x\n", b"\n", b"y" * 50 + b"\n", b"z" * 300 + b"\r\n", b"\n", b"last"] * 4
    for text in (b"".join(lines), b"".join(lines) + b"\n", b"", b"\n", b"x"):
        got = list(read_stream(io.BytesIO(text), "x", LineReader(), batch))
        assert all(len(rows) <= batch for rows in got)
        assert sum(map(len, got)) == len(text.splitlines(keepends=True)) or b"\r" in text
        unread = [raw for rows in got for _, raw, _ in rows.unread]
        assert unread == [line for line in io.BytesIO(text) if line.strip()]


@pytest.fixture(scope="module")
def traffic() -> list[Record]:
    """An hour's messages and calls as a broker would have them, with bytes that are no text among them."""
    records = []
    for i, made in enumerate(Traffic(TrafficSettings(duration_ms=3_600_000, rate=1.0))):
        records.append(
            Record(made.topic, i % 3, i // 3, made.timestamp_ms, 1, made.key, made.value, [("n", b"%d" % i)])
        )
    odd = [b"\xff{", None, b"", b'{"a": "\xed\xa0\x80"}', "{\u2028}".encode(), b"[" * 100, b'"\\ud800"', b"\0"]
    at = records[-1].timestamp
    for i, value in enumerate(odd):
        key = (b"\xfe\xff", None, b"", b"+821011110001")[i % 4]
        records.append(Record(CDR, 0, 1_000_000 + 2 * i, at, 0, key, value, [("h", b"\xff"), ("none", None)]))
    assert len(records) > 3000
    return records


FORMS = [("jsonl", "none"), ("jsonl", "gzip"), ("jsonl", "zstd"), ("parquet", "zstd"), ("parquet", "none")]


def write(folder: Path, records: list[Record], form: str, compression: str, **more: Any) -> list[Path]:
    writer = CaptureWriter(folder, form, compression, **more)
    for i in range(0, len(records), 500):
        writer.write(records[i : i + 500])
    writer.finish()
    return [file.path for file in writer.files]


@pytest.mark.parametrize(("form", "compression"), FORMS)
def test_what_is_written_is_read_back_byte_for_byte(
    tmp_path: Path, traffic: list[Record], form: str, compression: str
) -> None:
    (path,) = write(tmp_path / "c", traffic, form, compression)
    reader = LineReader(TOPICS)
    got = [row for rows in read_capture(path, reader, 777) for row in told(rows)]
    assert got == [(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value) for r in traffic]


def test_replay_gives_the_same_bytes_whatever_the_format(tmp_path: Path, traffic: list[Record]) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    printed = []
    for form, compression in FORMS:
        (path,) = write(tmp_path / f"{form}-{compression}", traffic, form, compression)
        letters = tmp_path / "letters.jsonl"
        arguments = ["replay", "--rules", str(tmp_path / "rules.yaml"), "--topics", "block-events,review-queue",
                     "--summary", "--dead-letters", str(letters), "--batch", "501", str(path)]  # fmt: skip
        got = CliRunner().invoke(command, arguments)
        assert got.exit_code == 0, got.output
        printed.append((got.stdout_bytes, letters.read_bytes(), got.stderr))
    assert printed[0][0].count(b"\n") > 5
    assert printed[0][1].count(b"\n") >= 8
    assert all(each == printed[0] for each in printed)


def test_lines_without_headers_or_bytes_are_what_kcat_prints(traffic: list[Record]) -> None:
    made = json.loads(line(traffic[0]))
    assert list(made) == ["topic", "partition", "offset", "tstype", "ts", "headers", "key", "payload"]
    assert made["headers"] == ["n", "0"]
    assert made["payload"].encode() == traffic[0].value
    odd = json.loads(line(Record(CDR, 0, 0, -1, 0, b"\xff", b"\xfe", [("h", b"\xff")])))
    assert (odd["tstype"], odd["key_base64"], odd["payload_base64"], odd["headers_base64"]) == (
        "unknown", "/w==", "/g==", ["h", "/w=="],
    )  # fmt: skip


def test_progress_counts_the_bytes_of_the_file(tmp_path: Path, traffic: list[Record]) -> None:
    for form, compression in FORMS:
        (path,) = write(tmp_path / f"{form}-{compression}", traffic, form, compression)
        said: list[int] = []
        assert sum(len(rows) for rows in read_capture(path, LineReader(), 100, said.append)) == len(traffic)
        assert sum(said) == path.stat().st_size


@pytest.mark.parametrize(("form", "compression"), FORMS[1:])
def test_a_file_that_was_cut_off_is_a_problem_in_words(
    tmp_path: Path, traffic: list[Record], form: str, compression: str
) -> None:
    (path,) = write(tmp_path / "c", traffic, form, compression)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(CaptureError, match="cut off or damaged"):
        list(read_capture(path, LineReader(), 100))
    got = CliRunner().invoke(command, ["replay", str(path)])
    assert got.exit_code == 1
    assert "cut off or damaged" in got.stderr
    if form == "jsonl":
        with pytest.raises(CaptureError, match="cut off or damaged"), path.open("rb") as file:
            list(plain_lines(file, "x"))


def test_concatenated_compressed_files_are_read_on(tmp_path: Path, traffic: list[Record]) -> None:
    for compression in ("gzip", "zstd"):
        (path,) = write(tmp_path / compression, traffic[:700], "jsonl", compression)
        path.write_bytes(path.read_bytes() * 2)
        assert sum(len(rows) for rows in read_capture(path, LineReader(), 100)) == 1400


def table(**columns: Any) -> pyarrow.Table:
    usual: dict[str, Any] = {"topic": [CDR, CDR], "partition": [0, 1], "offset": [5, 6], "ts": [AT_MS, AT_MS]}
    usual |= {"key": [b"k", None], "payload": [b"v", None]}
    return pyarrow.table({name: column for name, column in (usual | columns).items() if column is not None})


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"payload": pyarrow.array(["v", None], pyarrow.string())},
        {"payload": pyarrow.array(["v", None], pyarrow.large_string())},
        {"payload": pyarrow.array([b"v", None], pyarrow.large_binary())},
        {"payload": pyarrow.array(["v", None]).dictionary_encode()},
        {"topic": pyarrow.array([CDR, CDR], pyarrow.string())},
        {"partition": pyarrow.array([0, 1], pyarrow.int64()), "offset": pyarrow.array([5, 6], pyarrow.uint32())},
        {"ts": pyarrow.array([AT_MS * 1000 + 999] * 2, pyarrow.timestamp("us", "UTC"))},
        {"extra": [1, 2]},
    ],
    ids=["ours", "text", "large-text", "large-binary", "dictionary", "plain-topic", "integers", "timestamps", "more"],
)
def test_parquet_of_other_tools_is_read(tmp_path: Path, columns: dict[str, Any]) -> None:
    path = tmp_path / "t.parquet"
    parquet.write_table(table(**columns), path)
    rows = [row for rows in read_capture(path, LineReader(), 10) for row in told(rows)]
    assert rows == [(CDR, 0, 5, AT_MS, b"k", b"v"), (CDR, 1, 6, AT_MS, None, None)]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"payload": None}, "payload is missing"),
        ({"partition": [0, -1]}, "row 2: partition is not from 0"),
        ({"partition": [1 << 20, 0]}, "row 1: partition is not from 0"),
        ({"offset": pyarrow.array([0, None], pyarrow.int64())}, "row 2: offset is null"),
        ({"topic": pyarrow.array([None, CDR], pyarrow.string())}, "row 1: topic is null"),
        ({"ts": [AT_MS, -2]}, "row 2: ts is not from -1"),
        ({"ts": ["noon", "noon"]}, "column ts is string: integers are right"),
        ({"offset": pyarrow.array([2**64 - 1, 0], pyarrow.uint64())}, "column offset"),
        ({"payload": [1, 2]}, "column payload is int64"),
    ],
)
def test_parquet_that_is_no_capture_is_refused_with_the_place(
    tmp_path: Path, columns: dict[str, Any], said: str
) -> None:
    path = tmp_path / "t.parquet"
    parquet.write_table(table(**columns), path)
    with pytest.raises(CaptureError, match=said):
        list(read_capture(path, LineReader(), 10))


def test_the_parquet_file_says_what_its_columns_are(tmp_path: Path, traffic: list[Record]) -> None:
    (path,) = write(tmp_path / "c", traffic, "parquet", "zstd")
    assert parquet.read_schema(path).equals(SCHEMA)
    row = parquet.read_table(path).slice(len(traffic) - 8, 1).to_pylist()[0]
    assert row["headers"] == [{"name": "h", "value": b"\xff"}, {"name": "none", "value": None}]


# ---------------------------------------------------------------------------------------------------------- writing


def test_files_and_their_folder_are_for_their_owner_alone(tmp_path: Path, traffic: list[Record]) -> None:
    (path,) = write(tmp_path / "new" / "c", traffic[:10], "jsonl", "zstd")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_folder_that_others_may_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(WriteProblem, match="chmod 700"):
        CaptureWriter(tmp_path / "open", "jsonl", "none")


@pytest.mark.parametrize(("form", "compression"), FORMS)
def test_a_file_has_its_name_only_once_it_is_whole(
    tmp_path: Path, traffic: list[Record], form: str, compression: str
) -> None:
    writer = CaptureWriter(tmp_path / "c", form, compression)
    writer.write(traffic)
    (partial,) = (tmp_path / "c").iterdir()
    assert partial.suffix == ".partial"
    writer.finish()
    (whole,) = (tmp_path / "c").iterdir()
    assert whole.name == partial.name.removesuffix(".partial")
    assert writer.files[0].size_bytes == whole.stat().st_size
    writer.write(traffic)
    writer.abandon()
    assert list((tmp_path / "c").iterdir()) == [whole]


def test_files_change_by_size_and_by_time_and_nothing_is_lost(tmp_path: Path, traffic: list[Record]) -> None:
    now = [AT_MS / 1000]
    for form, compression in FORMS:
        folder = tmp_path / f"{form}-{compression}"
        writer = CaptureWriter(folder, form, compression, rotate_bytes=200_000, rotate_s=60, clock=lambda: now[0])
        for i in range(0, len(traffic), 100):
            writer.write(traffic[i : i + 100])
            now[0] += 7
            writer.tick()
        writer.finish()
        assert len(writer.files) >= 3
        assert [file.path for file in writer.files] == sorted(folder.iterdir())
        read = [
            row for file in writer.files for rows in read_capture(file.path, LineReader(), 999) for row in told(rows)
        ]
        assert [row[2] for row in read if row] == [r.offset for r in traffic]
        assert [file.records for file in writer.files[:-1]] == [900] * (len(writer.files) - 1) or form == "jsonl"


def test_nothing_is_ever_overwritten(tmp_path: Path, traffic: list[Record]) -> None:
    writers = [CaptureWriter(tmp_path / "c", "jsonl", "none", clock=lambda: 0.0) for _ in range(2)]
    for writer in writers:
        writer.write(traffic[:3])
    rival = tmp_path / "c" / "19700101T000000Z-0001.jsonl"
    rival.write_text("mine")
    for writer in writers:
        writer.finish()
    again = CaptureWriter(tmp_path / "c", "jsonl", "none", clock=lambda: 0.0)
    again.write(traffic[:3])
    again.finish()
    assert rival.read_text() == "mine"
    assert len(list((tmp_path / "c").iterdir())) == 4


@pytest.mark.parametrize(("form", "compression"), FORMS)
def test_a_full_disk_throws_the_file_in_hand_away_and_says_so(
    tmp_path: Path, traffic: list[Record], form: str, compression: str
) -> None:
    writer = CaptureWriter(tmp_path / "c", form, compression)
    writer.write(traffic[:100])
    writer.finish()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(WriteProblem, match="the 1 files before it are whole"):
            write_and_finish(writer, random_records(40_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "c").iterdir()) == [writer.files[0].path]


def write_and_finish(writer: CaptureWriter, records: list[Record]) -> None:
    for i in range(0, len(records), 2_000):
        writer.write(records[i : i + 2_000])
    writer.finish()


def random_records(count: int) -> list[Record]:
    chance = random.Random(1)
    return [Record(CDR, 0, i, AT_MS, 1, None, chance.randbytes(90).hex().encode()) for i in range(count)]


# ------------------------------------------------------------------------------------------------------- pseudonyms


@pytest.fixture
def aliases() -> Pseudonyms:
    return Pseudonyms(b"a key of these tests")


SPELLINGS = [
    "010-1234-5678", "+82 10 1234 5678", "01012345678", "+821012345678", "009 82 10 1234 5678",
    "００１-82-10-1234-5678",
]  # fmt: skip


def test_every_spelling_of_a_number_gets_one_pseudonym_in_its_own_spelling(aliases: Pseudonyms) -> None:
    assert {normalise(spelling).key for spelling in SPELLINGS} == {821012345678}
    made = [aliases.number(spelling) for spelling in SPELLINGS]
    assert len({normalise(text).key for text in made}) == 1
    for before, after in zip(SPELLINGS, made, strict=True):
        assert normalise(after).access == normalise(before).access
        assert [c.isdecimal() for c in after] == [c.isdecimal() for c in before]
        assert "1234" not in after


def korean() -> Iterator[str]:
    chance = random.Random(7)
    for prefix, shortest, longest, _ in e164_rules():
        for length in range(shortest, longest + 1):
            tail = "".join(chance.choice("0123456789") for _ in range(length - len(prefix)))
            yield f"+{prefix}{tail}"


FOREIGN = ["+12125550101", "+442079460000", "+390612345678", "+8613812345678", "+79161234567", "+5491123456789"]


@pytest.mark.parametrize("text", [*korean(), *FOREIGN])
def test_a_pseudonym_is_a_number_of_the_same_type_series_and_length(aliases: Pseudonyms, text: str) -> None:
    before, after = normalise(text), normalise(aliases.number(text))
    assert (after.type, after.access, len(after.text)) == (before.type, before.access, len(before.text))
    assert after.text[:3] == before.text[:3] or text in FOREIGN
    assert after.text[:2] == before.text[:2]
    assert after.key > 0


def test_different_numbers_stay_different(aliases: Pseudonyms) -> None:
    series = {aliases.number(f"1588-{i:04}") for i in range(10_000)}
    assert len(series) == 10_000
    assert all(text.startswith("1588-") for text in series)
    assert len({aliases.number(f"02-555-{i:04}") for i in range(0, 10_000, 7)}) == len(range(0, 10_000, 7))


def test_another_key_gives_other_pseudonyms_and_the_same_key_the_same(aliases: Pseudonyms) -> None:
    same, other = Pseudonyms(b"a key of these tests"), Pseudonyms(b"another key of these")
    numbers = [f"010-5555-{i:04}" for i in range(50)]
    assert [same.number(n) for n in numbers] == [aliases.number(n) for n in numbers]
    assert sum(other.number(n) == aliases.number(n) for n in numbers) <= 1


def test_services_stay_and_other_identities_become_hashes(aliases: Pseudonyms) -> None:
    for kept in ("112", "1366", "02-120", "anonymous", "Restricted"):
        assert aliases.number(kept) == kept
    for text in ("sip:kim@example.com", "KB국민은행", "555-1234"):
        token = aliases.number(text)
        assert token.startswith("id-")
        assert normalise(token).key < 0
    assert aliases.number(" SIP:KIM@example.com ") == aliases.number("sip:kim@example.com")


PERSONAL = {
    "message_id": "m-김철수", "at": AT_MS, "sender": "010-1234-5678", "recipient": "+821099998888",
    "relay": "relay-kim", "reseller": "kim & co", "account": "kim", "carrier": "KT", "channel": "sms",
    "origin": "domestic", "verified": "full", "text": "전화 010-1234-5678 주세요", "content_hash": "abcdef",
    "customer_name": "김철수",
}  # fmt: skip


REPORT = {
    "report_id": "kim-1", "at": AT_MS, "number": "010-1234-5678", "reporter": "+821099998888", "kind": "call",
    "text": "김철수", "message_id": "kim-2", "relay": "relay-kim", "reseller": "kim & co", "recording_url": "https://kim",
}  # fmt: skip
TRAP = {
    "at": AT_MS, "sender": "010-1234-5678", "trap": "+821099998888", "depth": "full", "text": "김철수",
    "source_ip": "192.0.2.99", "recording_url": "https://kim",
}  # fmt: skip
ORDER = {
    "id": "kim-1", "at": AT_MS, "number": "010-1234-5678", "action": "release", "operator": "kim", "reason": "김철수",
    "rule": "pmg-voice", "until": AT_MS + 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("topic", "record", "stay"),
    [
        (REPORTS, REPORT, {"at", "kind"}),
        (TRAPS, TRAP, {"at", "depth"}),
        (CONTROL, ORDER, {"at", "action", "rule", "until"}),
    ],
)
def test_reports_traps_and_orders_under_pseudonyms_name_neither_people_nor_traps(
    aliases: Pseudonyms, topic: str, record: dict[str, Any], stay: set[str]
) -> None:
    before = Record(topic, 0, 1, AT_MS, 1, b"+821012345678", json.dumps(record).encode())
    after = aliases.record(before)
    for piece in ("12345678", "1234-5678", "9999", "kim", "김철수", "192.0.2"):
        assert piece not in repr(after)
    made = json.loads(after.value or b"")
    assert check_all(topic, after.value) == []
    assert made.keys() == record.keys()
    assert {name for name in made if made[name] == record[name]} == stay
    assert after.key == normalise(made[FEEDS[topic].number]).text.encode()


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_every_topic_is_recorded_and_replayed_like_any_other(tmp_path: Path, form: str) -> None:
    values = {REPORTS: REPORT, TRAPS: TRAP, CONTROL: ORDER}
    records = [
        Record(topic, 0, i, AT_MS + i, 1, b"+821012345678", json.dumps(value | {"at": AT_MS + i}).encode())
        for i in range(5)
        for topic, value in values.items()
    ]
    paths = write(tmp_path / "recorded", records, form, "zstd")
    (tmp_path / "rules.yaml").write_text(
        "counters:\n"
        "  people: {on: reports, per: number, distinct: reporter, window: 1h}\n"
        "  hits: {on: traps, per: sender, count: events, window: 1h}\n"
        "rules:\n"
        "  - {name: trapped, summary: s, when: hits >= 5 and people >= 1, mode: review,\n"
        "     then: {block: [calls], directions: [outgoing], for: 1d}}\n"
    )
    got = CliRunner().invoke(
        command, ["replay", "--rules", str(tmp_path / "rules.yaml"), "--summary", *map(str, paths)]
    )
    assert got.exit_code == 0, got.output
    told = json.loads(got.stderr.splitlines()[-1])
    counted = {"records": 5, "late": 0, "future": 0, "reused_ids": 0}
    assert told["feeds"][TRAPS] == counted | {"accepted": 5, "duplicate": 0}
    assert told["feeds"][REPORTS] == counted | {"accepted": 1, "duplicate": 4}
    assert told["feeds"][CONTROL] == counted | {"accepted": 1, "duplicate": 4}
    assert told["produced"] == {"block-history": 1, "review-queue": 1}  # the order was refused


@pytest.mark.parametrize("kept", ["hash", "drop"])
def test_nothing_personal_is_left_in_a_record_and_it_is_still_one(kept: str) -> None:
    aliases = Pseudonyms(b"a key of these tests", texts=kept)
    before = Record(MESSAGE_RELAY, 2, 9, AT_MS, 1, b"+821012345678", json.dumps(PERSONAL).encode(), [("name", b"kim")])
    after = aliases.record(before)
    assert after[:5] == before[:5]
    text = repr(after)
    for piece in ("12345678", "1234-5678", "9999", "kim", "김철수", "abcdef", "전화"):
        assert piece not in text
    made = json.loads(after.value or b"")
    assert check_all(MESSAGE_RELAY, after.value) == []
    assert after.key == normalise(made["sender"]).text.encode()
    assert {name: made[name] for name in ("at", "carrier", "channel", "origin", "verified")} == {
        name: PERSONAL[name] for name in ("at", "carrier", "channel", "origin", "verified")
    }
    assert ("text" in made) == (kept == "hash")
    assert set(made) == set(PERSONAL) - {"customer_name"} - ({"text"} if kept == "drop" else set())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (b"call kim 010", b"withheld: not_json"),
        (b"[1]", b"withheld: not_json"),
        (b'{"sender": 1012345678, "at": "kim at noon"}', b'{"sender":null,"at":null}'),
        (b'{"text": "a", "text": "kim"}', b'{"text":null}'),
        (b'{"channel": "kim"}', b'{"channel":null}'),
        (b'{"reseller": null}', b"{}"),
    ],
)
def test_what_is_wrong_may_hold_anything_and_goes(aliases: Pseudonyms, value: bytes | None, expected: Any) -> None:
    assert aliases.value(MESSAGE_RELAY, value) == expected


def test_a_replay_of_pseudonymised_traffic_decides_alike(tmp_path: Path, traffic: list[Record]) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    aliases = Pseudonyms(b"a key of these tests")
    plain = [record for record in traffic if record.offset < 1_000_000]
    decided = []
    for name, records in (("plain", plain), ("aliases", [aliases.record(record) for record in plain])):
        (path,) = write(tmp_path / name, records, "parquet", "zstd")
        arguments = ["replay", "--rules", str(tmp_path / "rules.yaml"), "--topics", "block-events,review-queue"]
        got = CliRunner().invoke(command, [*arguments, str(path)])
        assert got.exit_code == 0, got.output
        events = [json.loads(text)["payload"] for text in got.stdout.splitlines()]
        decided.append([json.loads(event) for event in events])
    assert [(e["hold"]["rule"], e["change"], e["until"]) for e in decided[0]] == [
        (e["hold"]["rule"], e["change"], e["until"]) for e in decided[1]
    ]
    assert [aliases.number(e["number"]) for e in decided[0]] == [e["number"] for e in decided[1]]


def test_a_key_comes_from_a_file_or_the_environment_and_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text("0123456789abcdef\n")
    assert read_key(file) == b"0123456789abcdef"
    monkeypatch.setenv("GRAYLINE_PSEUDONYM_KEY", "fedcba9876543210")
    assert read_key(None) == b"fedcba9876543210"
    monkeypatch.setenv("GRAYLINE_PSEUDONYM_KEY", "short-secret")
    for source, said in ((None, "at least 16"), (tmp_path / "none", "cannot read the key")):
        with pytest.raises(KeyProblem, match=said) as problem:
            read_key(source)
        assert "short-secret" not in str(problem.value)


def test_gzip_files_of_one_capture_are_the_same_bytes(tmp_path: Path, traffic: list[Record]) -> None:
    (one,) = write(tmp_path / "one", traffic[:50], "jsonl", "gzip")
    (two,) = write(tmp_path / "two", traffic[:50], "jsonl", "gzip")
    assert one.read_bytes() == two.read_bytes()
    assert gzip.decompress(one.read_bytes()) == b"".join(map(line, traffic[:50]))
    assert os.path.getsize(one) < 50 * 300


# ------------------------------------------------------------------------------------------------------------ feeds


FEED_HEADERS = {
    b'"headers":["feed","skt-1"]': b"skt-1",
    b'"headers":["x","feed","feed","skt-2"]': b"skt-2",
    b'"headers":["feed","a","feed","b"]': b"a",
    b'"headers":["\\u0066eed","skt-1"]': b"skt-1",
    b'"headers":["feed",null]': None,
    b'"headers":["feed"]': None,
    b'"headers":[]': None,
    b'"headers":null': None,
    b'"headers":{"feed":"skt-1"}': None,
    b'"headers":[["feed","skt-1"]]': None,
    b'"headers":"feed"': None,
    b'"headers_base64":["feed","c2t0/w=="]': b"skt\xff",
    b'"headers_base64":["feed","c2t0-"]': None,
    b'"other":1': None,
}


def test_the_feed_of_a_line_is_its_header_whichever_way_it_was_read() -> None:
    lines = [BASE + b"," + headers + b"}" for headers in FEED_HEADERS]
    exact = [BASE + b',"x":1.5,' + headers + b"}" for headers in FEED_HEADERS]  # a fraction is read exactly
    for way in (lines, exact):
        rows = LineReader(TOPICS).read_list(way)
        assert (rows.unread, rows.feeds) == ([], list(FEED_HEADERS.values()))
    assert LineReader(TOPICS).read_list([BASE + b"}"]).feeds is None


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_a_capture_keeps_each_records_feed(tmp_path: Path, form: str) -> None:
    feeds = [None, b"skt-1", None, b"\xff", b"kt"]
    headers: list[tuple[tuple[str, bytes | None], ...]] = [
        (), (("x", b"1"), ("feed", b"skt-1")), (("x", None),), (("feed", b"\xff"),), (("feed", b"kt"), ("feed", b"no"))
    ]  # fmt: skip
    writer = CaptureWriter(tmp_path / "c", form, "zstd")
    writer.write([Record(CDR, 0, n, AT_MS, 1, None, b"{}", each) for n, each in enumerate(headers)])
    writer.finish()
    (rows,) = read_capture(writer.files[0].path, LineReader([CDR]), 100)
    assert rows.feeds == feeds


def test_a_parquet_file_without_headers_names_no_feed(tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path / "c", "parquet", "zstd")
    writer.write([Record(CDR, 0, n, AT_MS, 1, None, b"{}") for n in range(3)])
    writer.finish()
    (rows,) = read_capture(writer.files[0].path, LineReader([CDR]), 100)
    assert rows.feeds is None


def test_under_pseudonyms_only_the_feed_of_a_records_headers_is_kept() -> None:
    record = Record(CDR, 0, 1, AT_MS, 1, None, b"{}", (("trace", b"010-1111-0001"), ("feed", b"skt-1")))
    assert Pseudonyms(b"k" * 32).record(record).headers == (("feed", b"skt-1"),)
