"""Standard output that takes nothing: closed, full, or without a reader."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MAIN = f"{sys.executable} -c 'from streams.cli import main; main()'"
# Each writes in another way: help, lines, JSON, bytes.
COMMANDS = {
    "--help": "--help",
    "rules check": "rules check",
    "records maps": "records maps calls",
    "records check": "records check --topic cdr calls.jsonl",
    "records convert": "records convert --map messages in.csv",
    "traffic": "traffic --duration 1m --start 2026-11-29T00:00:00Z --out -",
}


def ended(folder: Path, command: str, output: str) -> tuple[int, str]:
    """The exit code, and what was said on standard error."""
    call = ["bash", "-c", f"{MAIN} {COMMANDS[command]} {output}"]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stderr


def without_a_reader(folder: Path, command: str) -> tuple[int, str]:
    reading, writing = os.pipe()
    os.close(reading)
    call = [sys.executable, "-c", "from streams.cli import main; main()", *COMMANDS[command].split()]
    try:
        done = subprocess.run(
            call, cwd=folder, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=120
        )
    finally:
        os.close(writing)
    return done.returncode, done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "calls.jsonl").write_text("{}\n" * 3)
    (tmp_path / "in.csv").write_text("id,time,from,to,text\nm1,2026-11-23 10:00:00,01011110001,114,hi\n")
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_output_that_is_closed_or_full_ends_in_words_and_code_1(command: str, folder: Path) -> None:
    assert ended(folder, command, ">&-") == (1, "Error: standard output is closed\n")
    code, said = ended(folder, command, ">/dev/full")
    assert (code, "No space left on device" in said, "Traceback" in said) == (1, True, False)


def test_a_reader_that_leaves_ends_a_stream_of_records_in_order_and_a_check_without_a_verdict(folder: Path) -> None:
    assert without_a_reader(folder, "traffic") == (0, "")
    assert without_a_reader(folder, "records check") == (1, "")
