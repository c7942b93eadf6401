"""The benchmark's command, its input, and the reference that all processors are compared with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter, deque
from pathlib import Path

import msgspec
import pytest

from bench.jobs.profile import Stopwatch
from bench.scene import BenchFailed, expect_blocked
from bench.traffic import DAY_MS, RECORD_BYTES, gray_input, morning_ms, triggers
from schemas import decoding, topics
from tests.conftest import broker_or_skip

ROOT = Path(__file__).parents[2]
START_MS = 1_794_790_800_000  # Monday 2026-11-16, 10:00 in Korea


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_kernels_alone_are_measured_without_a_broker(tmp_path: Path) -> None:
    done = bench("--quick", "--only", "kernels", "--runs", "1", "--json", str(tmp_path / "out.json"))
    assert done.returncode == 0, done.stderr
    assert "| kernels alone: six counters, one core |" in done.stdout
    assert "| concurrent " in done.stdout
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["results"]["kernels"][0]["rate"] > 0
    assert {budget["verdict"] for budget in told["budgets"]} <= {"met", "missed", "not measured"}


def test_numbers_beyond_the_bound_are_left_uncounted_and_told(tmp_path: Path) -> None:
    done = bench("--quick", "--only", "memory", "--runs", "1", "--json", str(tmp_path / "out.json"))
    assert done.returncode == 0, done.stderr
    [told] = json.loads((tmp_path / "out.json").read_text())["results"]["memory"]
    assert told["tracked_numbers"] == 100_000
    assert told["untracked_events"] > 2_000
    assert told["bound_record"] < told["records"]
    assert 0 < told["ids_bytes_per_number"] < told["bytes_per_number"]
    assert "further numbers were left uncounted" in done.stdout


def test_an_unknown_measure_is_refused_with_the_choices() -> None:
    done = bench("--only", "kernel")
    assert done.returncode == 2
    assert "no such measure: kernel; choose from raw, fetch, gray" in done.stderr


def test_every_message_is_valid_unique_and_readable_by_the_other_processors() -> None:
    ids = set()
    for key, value, at_ms in gray_input(2000, START_MS).records():
        assert len(value) == RECORD_BYTES
        assert decoding.check_all(topics.MESSAGE_RELAY, value) == []
        told = msgspec.json.decode(value)
        assert told["sender"] == key.decode()
        assert told["at"] == told["ts"] == at_ms
        ids.add((told["message_id"], told["id"]))
    assert len(ids) == 2000


def test_the_reference_finds_what_a_plain_loop_finds() -> None:
    traffic = gray_input(120_000, START_MS)
    seconds: dict[str, deque[int]] = {}
    found: dict[str, int] = {}
    for place, (key, _, at_ms) in enumerate(traffic.records()):
        window = seconds.setdefault(key.decode(), deque())
        window.append(at_ms // 1000)
        while window[0] <= at_ms // 1000 - 60:
            window.popleft()
        if len(window) >= 100:
            found.setdefault(key.decode(), place)
    assert triggers(traffic) == found
    assert len(found) >= 3


def test_traffic_begins_on_the_morning_of_a_working_day_so_lately_that_a_hold_of_a_week_goes_on() -> None:
    week = [START_MS + 3_600_000 * hour for hour in range(7 * 24)]
    for now_ms in week:
        start_ms = morning_ms(now_ms)
        assert 1.5 * DAY_MS < now_ms - start_ms < 5 * DAY_MS
        assert (start_ms - START_MS) % DAY_MS == 0
        assert (start_ms - START_MS) // DAY_MS % 7 < 5


def test_one_sender_has_a_quarter_of_all_messages() -> None:
    (_, most), *_ = Counter(gray_input(200_000, START_MS).sender.tolist()).most_common(1)
    assert 0.23 < most / 200_000 < 0.27


def test_wrong_missing_and_repeated_blocks_spoil_a_figure() -> None:
    expect_blocked("a processor", ["b", "a"], {"a": 1, "b": 2})
    for wrong in (["a"], ["a", "b", "c"], ["a", "b", "b"]):
        with pytest.raises(BenchFailed, match="a processor blocked"):
            expect_blocked("a processor", wrong, {"a": 1, "b": 2})


def test_every_profiled_stage_exists() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from bench.jobs.profile import Stopwatch; Stopwatch().install()"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_nested_stage_is_taken_off_the_outer_one() -> None:
    watch = Stopwatch()
    inner = watch.around("inner", lambda: sum(range(300_000)))
    watch.around("outer", lambda: [inner() for _ in range(5)])()
    assert 0 < watch.seconds["outer"] < watch.seconds["inner"]


@pytest.mark.kafka
@pytest.mark.slow
def test_the_gray_job_runs_on_a_real_broker_beside_a_checkout(tmp_path: Path) -> None:
    broker_or_skip()
    if not (ROOT / ".venv").exists():
        pytest.skip("the checkout has no environment of its own")
    told = tmp_path / "out.json"
    done = bench("--messages", "100000", "--only", "gray", "--beside", str(ROOT), "--runs", "1", "--json", str(told))
    assert done.returncode == 0, done.stderr
    results = json.loads(told.read_text())["results"]
    assert [results[name][0]["seen"] for name in ("gray", "older")] == [100_000, 100_000]
    assert "To the checkout of --beside" in done.stdout


def test_a_checkout_without_an_environment_is_no_peer(tmp_path: Path) -> None:
    done = bench("--only", "gray", "--beside", str(tmp_path))
    assert done.returncode == 2
    assert "has no .venv" in done.stderr
