"""`grayline export` and `grayline serve`: the blocked numbers for those who do not speak Kafka."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.topics import BLOCK_EVENTS
from streams.cli import command
from streams.kafka.embedded import EmbeddedBroker
from streams.operators import block_copy
from streams.operators.block_copy import BlockCopy, CursorGone
from streams.operators.blocks import BlockChange, BlockState, decode
from tests.integration.test_blocks import FAR_MS, PAST_MS, A, B, C, D, event

ROOT = Path(__file__).parents[2]
LONG_S = 60.0
TOKEN = "secret-1"
OPENAPI = json.loads((ROOT / "streams" / "operators" / "openapi.json").read_bytes())


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(partitions=2) as running:
        running.create_topics([BLOCK_EVENTS])
        yield running


def publish(broker: EmbeddedBroker, *states: tuple[str, str | None]) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "partitioner": "murmur2"})
    for number, value in states:
        producer.produce(BLOCK_EVENTS, value, number)
    assert producer.flush(30) == 0


@contextmanager
def running(broker: EmbeddedBroker, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """The command as a process of its own; it is ended by SIGTERM, with code 0."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GRAYLINE_")}
    with subprocess.Popen(
        [sys.executable, "-c", "from streams.cli import main; main()", *arguments, "--brokers", broker.bootstrap],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean | {"PYTHONPATH": str(ROOT)} | environment,
    ) as process:  # fmt: skip
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=LONG_S)
            assert process.returncode == 0, said
        finally:
            process.kill()


def until(holds: Callable[[], bool]) -> None:
    limit_s = time.monotonic() + LONG_S
    while not holds():
        assert time.monotonic() < limit_s
        time.sleep(0.05)


# ----------------------------------------------------------------------------------------------------------- the file


def export(broker: EmbeddedBroker, path: Path, *more: str) -> Result:
    return CliRunner().invoke(command, ["export", "--brokers", broker.bootstrap, "--out", str(path), *more])


def test_the_file_lists_who_is_blocked_now_in_each_form(broker: EmbeddedBroker, tmp_path: Path) -> None:
    publish(broker, (B, event(B)), (A, event(A)), (C, event(C, until=PAST_MS)), (D, event(D, state="released")))
    path = tmp_path / "blocked"
    got = export(broker, path)
    assert got.exit_code == 0, got.output
    assert path.read_text() == f"{A}\n{B}\n"
    assert got.stdout == f"2 numbers in {path}\n"
    assert json.loads(export(broker, path, "--format", "json", "--json").stdout) == {"file": str(path), "numbers": 2}
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()] == [A, B]
    assert export(broker, path, "--format", "csv").exit_code == 0
    assert [line.split(",")[0] for line in path.read_text().splitlines()] == ["number", A, B]


def test_the_file_keeps_its_permissions_and_nothing_lies_beside_it(broker: EmbeddedBroker, tmp_path: Path) -> None:
    publish(broker, (A, event(A)))
    path = tmp_path / "blocked"
    path.write_text("")
    path.chmod(0o640)
    assert export(broker, path).exit_code == 0
    assert path.stat().st_mode & 0o777 == 0o640
    assert [found.name for found in tmp_path.iterdir()] == ["blocked"]


def test_directions_and_actions_choose_and_a_block_that_names_none_is_of_all(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    both = {"directions": ["incoming", "outgoing"], "actions": ["block_messages"]}
    none: dict[str, list[str]] = {"directions": [], "actions": []}
    publish(broker, (A, event(A, **both)), (B, event(B)), (C, event(C, **none)))
    path = tmp_path / "blocked"
    assert export(broker, path, "--direction", "incoming").exit_code == 0
    assert path.read_text().split() == [A, C]
    assert export(broker, path, "--action", "block_messages").exit_code == 0
    assert path.read_text().split() == [A, C]


def test_trouble_leaves_the_old_file(broker: EmbeddedBroker, tmp_path: Path) -> None:
    path = tmp_path / "blocked"
    path.write_text(f"{A}\n")
    with EmbeddedBroker(partitions=1) as another:
        missing = export(another, path)
    assert (missing.exit_code, path.read_text()) == (1, f"{A}\n")
    assert "topics create" in missing.stderr
    empty = export(broker, path)
    assert (empty.exit_code, path.read_text()) == (1, f"{A}\n")
    assert "--allow-empty" in empty.stderr
    assert export(broker, path, "--allow-empty").exit_code == 0
    assert path.read_text() == ""
    assert export(broker, path).exit_code == 0, "an empty file may stay empty"
    nowhere = export(broker, tmp_path / "no" / "blocked", "--allow-empty")
    assert nowhere.exit_code == 1
    assert "cannot write" in nowhere.stderr
    assert export(broker, tmp_path).exit_code == 2, "a folder is no file"


def test_the_file_follows_blocks_that_come_and_end(broker: EmbeddedBroker, tmp_path: Path) -> None:
    publish(broker, (A, event(A)))
    path = tmp_path / "blocked"
    with running(broker, "export", "--out", str(path), "--follow", "--every", "0.1"):
        until(lambda: path.exists() and path.read_text() == f"{A}\n")
        ends_soon_ms = time.time_ns() // 1_000_000 + 1_500
        publish(broker, (B, event(B, until=ends_soon_ms)), (A, event(A, state="released", change="released")))
        until(lambda: path.read_text() == f"{B}\n")
        until(lambda: path.read_text() == "")
        before = path.stat().st_mtime
        until(lambda: path.stat().st_mtime > before)


# -------------------------------------------------------------------------------------------------------- the service


def ask(site: str, path: str, token: str = TOKEN, method: str = "GET") -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(site + path, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=LONG_S) as answer:
            body = answer.read()
            return answer.status, json.loads(body) if body.startswith(b"{") else body
    except urllib.error.HTTPError as refusal:
        body = refusal.read()
        return refusal.code, json.loads(body) if body else None


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[EmbeddedBroker, str]]:
    """A broker and the address of a service beside it that has read A's block."""
    with EmbeddedBroker(partitions=2) as broker:
        broker.create_topics([BLOCK_EVENTS])
        publish(broker, (A, event(A, announcement="call 118")))
        with running(broker, "serve", "--web-port", "0", GRAYLINE_WEB_TOKEN=TOKEN) as service:
            assert service.stdout is not None
            site = service.stdout.readline().strip()
            assert service.stdout.readline() == "1 numbers are blocked\n"
            yield broker, site


def test_a_number_is_asked_for_in_any_spelling(served: tuple[EmbeddedBroker, str]) -> None:
    _, site = served
    for spelling in (A, A.replace("+", "%2B"), "010" + A[5:], f"tel:{A}"):
        status, told = ask(site, f"/v1/blocks/{spelling}")
        assert status == 200, told
        assert (told["number"], told["blocked"], told["until"], told["current"]) == (A, True, FAR_MS, True)
        assert told["rules"] == ["pmg-voice"]
    assert ask(site, f"/v1/blocks/{D}") == (200, {"number": D, "blocked": False, "current": True})


def test_what_is_not_understood_is_refused_in_words(served: tuple[EmbeddedBroker, str]) -> None:
    _, site = served
    for path, status in (
        ("/v1/blocks/anonymous", 400), ("/v1/blocks/" + "1" * 500, 400), ("/v1/blocks/%ff%fe", 400),
        ("/v1/blocks/", 404), ("/v1/blocks", 404), ("/v2", 404), ("/v1/blocks/stream", 400),
        ("/v1/blocks/stream?startup=true&cursor=x", 400), ("/v1/blocks/stream?cursor=x", 410),
        ("/v1/blocks/stream?startup=yes", 400), ("/v1/blocks/stream?cursor=x&wait=900", 400),
        ("/v1/blocks/stream?since=1", 400), ("/v1/blocks/stream?startup=true&wait=x", 400),
        ("/v1/blocks/stream?startup=true&wait=1&wait=2", 400), ("/v1/blocks/stream?startup=true&startup=true", 400),
    ):  # fmt: skip
        got, told = ask(site, path)
        assert (got, list(told)) == (status, ["error"]), path
    assert ask(site, "/v1/blocks/stream?startup=true", method="POST")[0] == 405


def test_without_the_token_only_health_and_the_description_answer(served: tuple[EmbeddedBroker, str]) -> None:
    _, site = served
    for token in ("", "wrong"):
        for path, status in (
            (f"/v1/blocks/{A}", 401), ("/v1/blocks/stream?startup=true", 401), ("/ready", 401), ("/no", 401),
            ("/health", 200), ("/v1/openapi.json", 200),
        ):  # fmt: skip
            assert ask(site, path, token)[0] == status, path
    assert ask(site, "/ready") == (200, {"ready": True, "current": True, "numbers": 1})


def test_a_list_kept_by_deltas_is_the_list(served: tuple[EmbeddedBroker, str]) -> None:
    broker, site = served
    _, told = ask(site, "/v1/blocks/stream?startup=true")
    assert [block["number"] for block in told["new"]] == [A]
    assert ask(site, f"/v1/blocks/stream?cursor={told['cursor']}")[1]["new"] == []
    ends_soon_ms = time.time_ns() // 1_000_000 + 1_500
    publish(broker, (B, event(B)), (C, event(C, until=ends_soon_ms)))
    kept, cursor = {A}, told["cursor"]
    seen = []
    while kept != {A, B} or C not in seen:
        status, delta = ask(site, f"/v1/blocks/stream?cursor={cursor}&wait=30")
        assert status == 200, delta
        assert delta["cursor"] != cursor, "it has waited for a change"
        cursor = delta["cursor"]
        seen += [block["number"] for block in delta["new"]]
        kept = (kept | {block["number"] for block in delta["new"]}) - set(delta["deleted"])
    assert {block["number"] for block in ask(site, "/v1/blocks/stream?startup=true")[1]["new"]} == kept


PARTS = st.one_of(
    st.sampled_from(["v1", "blocks", "stream", "ready", "health", "openapi.json", A, "%2B", "..", "", "%00", "%ff"]),
    st.text(max_size=20).map(urllib.request.pathname2url),
)
QUERIES = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(["startup", "cursor", "wait"]), st.text(max_size=5).map(urllib.request.pathname2url)),
        st.one_of(
            st.sampled_from(["true", "false", "0", "-1", "9" * 40, "%"]),
            st.text(max_size=8).map(urllib.request.pathname2url),
        ),
    ),
    max_size=3,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.lists(PARTS, max_size=4), query=QUERIES, numbered=st.booleans())
def test_whatever_is_asked_the_answer_is_as_described(
    served: tuple[EmbeddedBroker, str], path: list[str], query: list[tuple[str, str]], numbered: bool
) -> None:
    _, site = served
    where = "/" + "/".join(["v1", "blocks", *path[:1]] if numbered else path)
    asked = where + ("?" + "&".join(f"{name}={value}" for name, value in query) if query else "")
    status, told = ask(site, asked)
    if status == 200 and where.startswith("/v1/blocks/"):
        name = "Delta" if where == "/v1/blocks/stream" else "Answer"
        described = {"$ref": f"#/components/schemas/{name}", "components": OPENAPI["components"]}
        jsonschema.Draft202012Validator(described).validate(told)
    elif status != 200:
        assert status in (400, 404, 410), (asked, told)
        assert isinstance(told["error"], str)


def test_a_service_open_to_others_wants_a_token() -> None:
    got = CliRunner(env={"GRAYLINE_WEB_TOKEN": ""}).invoke(command, ["serve", "--web-bind", "0.0.0.0"])
    assert got.exit_code == 2
    assert "GRAYLINE_WEB_TOKEN" in got.stderr


# ----------------------------------------------------------------------------------------------------------- the copy


class Scripted:
    """A reader whose changes are the test's."""

    is_answered = True


def copied(now_ms: list[int]) -> BlockCopy:
    copy: Any = BlockCopy(Scripted(), lambda: now_ms[0])  # type: ignore[arg-type]
    return copy  # type: ignore[no-any-return]


def change(number: str, kind: str = "state", **more: Any) -> BlockChange:
    block: BlockState | None = decode(number, event(number, **more).encode()) if kind != "removed" else None
    return BlockChange(number, kind, block)


STEPS = st.lists(
    st.tuples(
        st.sampled_from([A, B, C, D]), st.sampled_from(["state", "removed", "lapsed"]),
        st.sampled_from(["active", "active", "released"]), st.sampled_from([50, 150, FAR_MS]),
    ),
    max_size=12,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(rounds=st.lists(STEPS, max_size=5), ends=st.lists(st.integers(0, 60), min_size=5, max_size=5))
def test_whatever_happens_deltas_add_up_to_everything(rounds: list[Any], ends: list[int]) -> None:
    """A client that keeps `until` and applies deltas knows at any time what the copy knows."""
    now = [0]
    copy = copied(now)
    started = copy.everything()
    cursor, kept = started.cursor, {block.number: block for block in started.new}
    for steps, later_ms in zip(rounds, ends, strict=False):
        copy._take([change(number, kind, state=state, until=at) for number, kind, state, at in steps])
        now[0] += later_ms
        delta = copy.since(cursor)
        cursor = delta.cursor
        kept |= {block.number: block for block in delta.new}
        for number in delta.deleted:
            kept.pop(number, None)
        whole = {block.number: block for block in copy.everything().new}
        assert {number: block for number, block in kept.items() if now[0] < block.until} == whole
        assert all((copy.lookup(number) is not None) == (number in whole) for number in (A, B, C, D))


def test_a_cursor_that_is_too_old_or_of_another_process_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_copy, "CHANGES_MAX", 3)
    copy = copied([0])
    cursor = copy.everything().cursor
    copy._take([change(A), change(B), change(C)])
    assert len(copy.since(cursor).new) == 3
    copy._take([change(D)])
    for gone in (cursor, copied([0]).everything().cursor, "", "-", cursor + "9" * 30, cursor.replace("-", "--")):
        with pytest.raises(CursorGone):
            copy.since(gone)
