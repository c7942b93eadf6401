"""`grayline state`: what it says of a folder that a worker left, whole or damaged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from rules.load import load
from schemas.topics import CDR, MESSAGE_RELAY
from streams.cli import command
from streams.engine.engine import Engine
from streams.ingest.epoch import RawBatch
from streams.kafka.partition import partition_of
from streams.state.local import LocalState
from streams.state.manifest import Chunk, Manifest, chunk_key

PARTITIONS = 3
START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
RULES = """
counters:
  call_rate: {on: cdr.setup, per: caller, count: events, window: 1m}
  gray: {on: cdr.setup, per: caller, gray: {short: 1m, long: 6h}}
  talk: {on: cdr.release, per: caller, mean: duration, window: 1h}
  sent: {on: message-relay, per: sender, count: events, window: 1m}
rules:
  - name: calls
    summary: calls
    limits: {most: {always: 1000}}
    when: call_rate > most or gray.short + gray.long > most or talk > most
    then: {block: [calls], directions: [outgoing], for: 1h}
    mode: enforce
  - name: messages
    summary: messages
    when: sent > 1000
    then: {block: [messages], directions: [outgoing], for: 1h}
    mode: enforce
"""
BUSY, QUIET, WRITER = "+821011110001", "+821011110002", "+821011110003"


def call(number: str, n: int) -> dict[str, object]:
    return {"call_id": f"{number}-{n}", "event": "setup", "at": START_MS + 1000 * n, "caller": number, "callee": QUIET}


def message(number: str, n: int) -> dict[str, object]:
    return {"message_id": f"{number}-{n}", "at": START_MS + 1000 * n, "sender": number, "recipient": QUIET}


def home(number: str) -> int:
    return partition_of(number.encode(), PARTITIONS)


def batch(topic: str, records: list[dict[str, object]], engine: Engine) -> None:
    n = len(records)
    numbers = [str(record.get("caller", record.get("sender"))) for record in records]
    raw = RawBatch(
        topic,
        np.arange(n),
        np.array([home(number) for number in numbers], np.int32),
        np.arange(n),
        np.full(n, START_MS + 60_000),
        [json.dumps(record).encode() for record in records],
    )
    engine.step([engine.decoders[topic].decode(raw)])


@pytest.fixture
def rule_file(tmp_path: Path) -> Path:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    return file


@pytest.fixture
def directory(tmp_path: Path, rule_file: Path) -> Path:
    """The state left by a worker that has seen five calls and two messages of BUSY, a call of QUIET, a message of
    WRITER: a whole image of each partition, and a delta with the last call."""
    rules = load([rule_file])
    engine = Engine(rules)
    engine.partitions = PARTITIONS
    state = LocalState.open(tmp_path / "state", cluster="cluster-1", group="grayline")
    batch(CDR, [*(call(BUSY, n) for n in range(4)), call(QUIET, 1)], engine)
    batch(MESSAGE_RELAY, [message(BUSY, 0), message(BUSY, 1), message(WRITER, 0)], engine)
    for name in ("whole", "delta"):
        for partition in range(PARTITIONS):
            before = state.manifest(partition)
            images = engine.image(partition, whole=name == "whole")
            new = [(chunk_key(partition, name, n), image) for n, image in enumerate(images)]
            manifest = Manifest(
                snapshot=name,
                partition=partition,
                partitions=PARTITIONS,
                offsets={CDR: 10 + partition, MESSAGE_RELAY: 20},
                chunks=[*(before.chunks if before else []), *(Chunk.of(*each) for each in new)],
                base_bytes=0,
                rules_version=rules.version,
                taken_ms=START_MS,
            )
            state.write(manifest, new, [])
        if name == "whole":
            batch(CDR, [call(BUSY, 4)], engine)
    state.close()
    return tmp_path / "state"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, ["state", *map(str, arguments)])


def damage(directory: Path, key: str) -> None:
    """Change one byte of a chunk behind everybody's back."""
    from rocksdict import Options, Rdict

    database = Rdict(str(directory / "db"), Options(raw_mode=True))
    content = bytearray(database[key.encode()])
    content[-1] ^= 1
    database[key.encode()] = bytes(content)
    database.close()


def test_inspect_says_where_each_partition_stands_and_what_it_holds(directory: Path, rule_file: Path) -> None:
    said = json.loads(run("inspect", directory, "--json").stdout)
    assert (said["cluster"], said["group"], said["format"]) == ("cluster-1", "grayline", 1)
    assert [row["partition"] for row in said["partitions"]] == [0, 1, 2]
    row = said["partitions"][home(BUSY)]
    assert row["offsets"] == {CDR: 10 + home(BUSY), MESSAGE_RELAY: 20}
    assert row["taken_at"] == "2026-01-01T00:00:00.000Z"
    assert row["rules_version"] == load([rule_file]).version
    assert row["chunks"] > 1
    assert [counter["name"] for counter in row["counters"][CDR]] == ["call_rate", "gray", "talk"]
    numbers = [(topic, count) for row in said["partitions"] for topic, count in row["numbers"].items()]
    assert sum(count for topic, count in numbers if topic == CDR) == 2
    assert sum(count for topic, count in numbers if topic == MESSAGE_RELAY) == 2


def test_inspect_prints_the_same_as_a_table(directory: Path) -> None:
    done = run("inspect", directory)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "group grayline, Kafka cluster cluster-1, format 1"
    assert lines[1].split() == ["PARTITION", "TAKEN", "AT", "TOPIC", "OFFSET", "NUMBERS", "CHUNKS", "BYTES", "RULES"]
    assert [line.split()[:4] for line in lines[2:8:2]] == [
        [str(p), "2026-01-01T00:00:00.000Z", CDR, str(10 + p)] for p in range(PARTITIONS)
    ]
    assert "counters of cdr: call_rate, gray, talk" in lines


def test_verify_loads_every_chunk(directory: Path, rule_file: Path) -> None:
    done = run("verify", directory, "--rules", rule_file)
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) == PARTITIONS
    assert all("whole; digest " in line for line in done.stdout.splitlines())


def test_the_digest_tells_states_apart(directory: Path, rule_file: Path) -> None:
    def digest(of: int) -> str:
        done = run("verify", directory, "--rules", rule_file, "--partition", of)
        return done.stdout.rsplit("digest ", 1)[1].strip()

    assert digest(0) == digest(0)
    assert digest(home(BUSY)) != digest(next(p for p in range(PARTITIONS) if p != home(BUSY)))


def test_a_damaged_chunk_is_named_and_the_other_partitions_are_still_checked(directory: Path, rule_file: Path) -> None:
    damage(directory, "1/whole/0")
    done = run("verify", directory, "--rules", rule_file)
    assert done.exit_code == 1
    assert "partition 1: " in done.stderr
    assert "chunk 1/whole/0 is damaged: its CRC-32 is" in done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["partition 0", "partition 2"]
    inspected = run("inspect", directory)
    assert inspected.exit_code == 1
    assert "chunk 1/whole/0 is damaged" in inspected.stderr
    assert "partition 2" not in inspected.stderr
    exported = run("export", directory, "--partition", 1)
    assert exported.exit_code == 1
    assert "chunk 1/whole/0 is damaged" in exported.stderr


def test_a_chunk_that_is_whole_and_does_not_load_is_named(directory: Path, rule_file: Path) -> None:
    state = LocalState.open(directory, cluster="cluster-1", group="grayline")
    manifest = state.manifest(0)
    assert manifest is not None
    chunks = [*manifest.chunks, Chunk.of("0/odd/0", b"no image")]
    state.write(Manifest(**{**{f: getattr(manifest, f) for f in manifest.__struct_fields__}, "chunks": chunks}),
                [("0/odd/0", b"no image")], [])  # fmt: skip
    state.close()
    done = run("verify", directory, "--rules", rule_file)
    assert done.exit_code == 1
    assert "partition 0: chunk 0/odd/0 does not load" in done.stderr


def test_a_chunk_that_no_manifest_names_is_told(directory: Path, rule_file: Path) -> None:
    from rocksdict import Options, Rdict

    database = Rdict(str(directory / "db"), Options(raw_mode=True))
    database[b"2/lost/0"] = b""
    database.close()
    done = run("verify", directory, "--rules", rule_file)
    assert done.exit_code == 1
    assert "1 chunk that no snapshot names, such as 2/lost/0" in done.stderr


def test_a_database_that_cannot_be_opened_is_damage(directory: Path) -> None:
    next((directory / "db").glob("MANIFEST-*")).write_bytes(b"")
    for what in ("inspect", "verify", "export"):
        done = run(what, directory)
        assert done.exit_code == 1
        assert "is damaged" in done.stderr


def test_export_says_what_each_counter_reads_and_masks_numbers(directory: Path, rule_file: Path) -> None:
    done = run("export", directory, "--rules", rule_file)
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(line["number"] for line in lines) == ["+8210****0001", "+8210****0002", "+8210****0003"]
    busy = next(line for line in lines if line["number"] == "+8210****0001")
    assert busy["partition"] == home(BUSY)
    calls, messages = busy["topics"][CDR], busy["topics"][MESSAGE_RELAY]
    assert calls["newest"] == "2026-01-01T00:00:04.000Z"
    assert (calls["counters"]["call_rate"], calls["counters"]["talk"]) == (5, None)
    expected = sum(2 ** (-n / 60) for n in range(5))
    assert calls["counters"]["gray.short"] == pytest.approx(expected, abs=1e-6)
    assert messages["counters"] == {"sent": 2}
    writer = next(line for line in lines if line["number"] == "+8210****0003")
    assert list(writer["topics"]) == [MESSAGE_RELAY]


def test_export_finds_a_number_in_any_spelling_and_shows_it_when_asked(directory: Path, rule_file: Path) -> None:
    done = run("export", directory, "--rules", rule_file, "--number", "010-1111-0002", "--show-numbers")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["number"] for line in lines] == [QUIET]
    assert run("export", directory, "--rules", rule_file, "--number", "010-9999-9999").stdout == ""
    for arguments in (("export", "--rules", rule_file), ("inspect", "--json"), ("verify", "--rules", rule_file)):
        done = run(*arguments, directory)
        assert done.exit_code == 0
        assert "11110002" not in done.output


def test_export_under_other_rules_says_so(directory: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(RULES.replace("call_rate", "rate").replace("window: 1h", "window: 2h"))
    done = run("export", directory, "--rules", other, "--partition", home(BUSY))
    assert "counters that only the former have are left out" in done.stderr
    line = next(json.loads(line) for line in done.stdout.splitlines() if "0001" in line)
    assert (line["topics"][CDR]["counters"]["rate"], line["topics"][CDR]["counters"]["talk"]) == (5, None)


def test_a_folder_in_use_is_refused(directory: Path) -> None:
    code = (
        "import sys\nfrom streams.state.local import LocalState\n"
        "state = LocalState.open(sys.argv[1], cluster='cluster-1', group='grayline')\nprint(); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        for what in ("inspect", "verify", "export"):
            done = run(what, directory)
            assert done.exit_code == 2
            assert f"is in use by process {worker.pid}: stop that one first" in done.stderr
        worker.communicate(b"")


def test_a_folder_that_is_no_state_is_refused(tmp_path: Path) -> None:
    done = run("inspect", tmp_path)
    assert done.exit_code == 2
    assert "holds no state of Grayline" in done.stderr
    assert run("inspect", tmp_path / "missing").exit_code == 2


def test_a_state_without_snapshots_is_fine(tmp_path: Path) -> None:
    LocalState.open(tmp_path / "state", cluster="c", group="g").close()
    for what in ("inspect", "verify"):
        done = run(what, tmp_path / "state")
        assert (done.exit_code, "no snapshot yet" in done.stdout) == (0, True)
    assert run("export", tmp_path / "state").output == ""


def test_a_partition_that_is_not_here_is_wrong_use_and_says_which_are(directory: Path) -> None:
    done = run("inspect", directory, "--partition", 7)
    assert done.exit_code == 2
    assert "no snapshot of partition 7 here; there are: 0, 1, 2" in done.stderr


def test_rules_with_errors_are_wrong_use(directory: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("rules: 7\n")
    assert run("verify", directory, "--rules", bad).exit_code == 2


@pytest.mark.parametrize("what", ["inspect", "verify", "export"])
def test_each_has_help_with_examples_that_loads_nothing_heavy(what: str) -> None:
    code = (
        "import sys\nfrom streams.cli import command\n"
        "try: command(['state', sys.argv[1], '--help'], prog_name='grayline')\nexcept SystemExit: pass\n"
        "print([n for n in ('numpy', 'numba', 'rocksdict', 'msgspec', 'orjson') if n in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, what], capture_output=True, text=True, check=True)
    assert f"grayline state {what} " in done.stdout
    assert done.stderr.strip() == "[]"
