"""Unreadable is never silent: each file that a command reads is replaced by rubbish, and the command ends with a
message and a code other than 0. Commands and their options come from the registry, so that no new one escapes."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from streams.cli import command
from streams.kafka.embedded import EmbeddedBroker

# Options and arguments that name what a command writes, and not what it reads.
WRITTEN = {"out", "labels", "report_labels", "folder", "dead_letters", "rejects", "state_dir", "page", "junit_path"}
# Where a kind of rubbish is right: no settings at all; any bytes are a key.
RIGHT = {"kafka_config": {"empty"}, "key_file": {"binary", "text"}}
# What a command needs besides; {sample} is a file of good records, {out} one to be written, {good_rules} and
# {good_labels} files of such. Of several arguments, those that name files are told by their own names.
BESIDES = {
    "replay": ["{sample}"],
    "traffic": ["--duration", "1s"],
    "record": ["--out", "{out}"],
    "export": ["--out", "{out}"],
    "records check": ["{sample}"],
    "records convert": ["--map", "asterisk", "-o", "{out}", "{sample}"],
    "records produce": ["--topic", "cdr", "--brokers", "{broker}", "{sample}"],
    "dead-letters show": ["0:1"],
    "registry add": [
        "--owner",
        "kim",
        "--reason",
        "known",
        "--until",
        "2030-01-01T00:00:00Z",
        "allowed",
        "+821012345678",
    ],
    "registry remove": ["allowed", "+821012345678"],
    "release": ["--reason", "known", "+821012345678"],
    "block": ["--reason", "known", "--for", "1h", "+821012345678"],
    "allow add": ["--reason", "known", "--for", "1h", "--owner", "kim", "+821012345678"],
    "allow remove": ["--reason", "known", "+821012345678"],
    "review show": ["+821012345678"],
    "review approve": ["--reason", "known", "+821012345678"],
    "review reject": ["--reason", "known", "+821012345678"],
    "review propose": ["--reason", "known", "--for", "1h", "+821012345678"],
    "review take": ["--reason", "known", "+821012345678"],
    "suspend": ["--reason", "known", "+821012345678"],
    "registry register": ["--reason", "known", "--owner", "kim", "--until", "2030-01-01T00:00:00Z", "+821012345678"],
    "registry unregister": ["--reason", "known", "+821012345678"],
    "reporters judge": ["--order", "o1", "+821012345678", "wrong"],
    "rules diff": ["{old}", "{new}", "{files}"],
    "rules explain": ["+821011110001", "{files}"],
    "rules tune": ["--labels", "{good_labels}", "call-rate", "{files}"],
    "rules reload": ["{good_rules}"],
    "shadow list": ["--evidence"],
    "share publish": ["{sample}"],
    "share import": ["--out", "{out}.csv", "{sample}"],
    "share list": ["{sample}"],
    "report ucenet": ["{sample}"],
    "audit": ["+821012345678"],
    "pause": ["--reason", "known"],
    "state export": ["{folder}"],
    "state verify": ["{folder}"],
}
# A file in place of whose name a word is allowed, so that it is no path to click.
ALSO_FILES = {("records convert", "named")}
# Commands that read no file: nothing they are given can be rubbish.
READS_NOTHING = {"records maps", "completion", "rules schema", "why"}
LABEL = {"number": "+821011110001", "kind": "subscriber", "innocent": True, "first_at": 0, "events": 0}
SAMPLE = (
    '{"call_id": "c1", "event": "setup", "at": 1794798000000, "caller": "010-1111-0001", "callee": "010-9990-0001"}\n'
)


def commands(group: click.Command = command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(group, click.Group):
        yield " ".join(path), group
        return
    for name in group.list_commands(click.Context(group)):
        each = group.get_command(click.Context(group), name)
        assert each is not None
        yield from commands(each, (*path, name))


COMMANDS = dict(commands())


def read_by(name: str) -> list[click.Parameter]:
    return [
        each
        for each in COMMANDS[name].params
        if (isinstance(each.type, click.Path | click.File) and each.name not in WRITTEN)
        or (name, each.name) in ALSO_FILES
    ]


CASES = [
    (name, str(parameter.name), kind)
    for name in COMMANDS
    for parameter in read_by(name)
    for kind in ("binary", "text", "empty", "folder", "missing")
    if kind not in RIGHT.get(str(parameter.name), ())
]


@pytest.fixture
def as_before() -> Iterator[None]:
    """What `run` changes in its process is undone."""
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    yield
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    with EmbeddedBroker() as running:
        running.create_topics(["cdr"])
        yield running.bootstrap


def rubbish(kind: str, folder: Path) -> Path:
    path = folder / f"rubbish-{kind}"
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes({"binary": bytes(range(256)) * 4, "text": b"it is raining\nagain\n", "empty": b""}[kind])
    return path


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize(("name", "parameter", "kind"), CASES, ids=map("-".join, CASES))
def test_rubbish_in_place_of_a_file_is_said_and_no_success(
    name: str, parameter: str, kind: str, broker: str, tmp_path: Path
) -> None:
    (tmp_path / "sample").write_text(SAMPLE)
    (tmp_path / "folder").mkdir()
    places = {each: str(tmp_path / each) for each in ("sample", "out", "folder")}
    places["broker"] = broker
    places["good_rules"] = str(files("rules") / "packs" / "voice.yaml")
    places["good_labels"] = str(tmp_path / "labels")
    (tmp_path / "labels").write_text(json.dumps(LABEL))
    path = rubbish(kind, tmp_path)
    named = {"old": places["good_rules"], "new": places["good_rules"], "files": places["sample"]} | {
        parameter: str(path)
    }
    template = BESIDES.get(name, [])
    given = [each.format(**named | places) for each in template]
    (about,) = (each for each in COMMANDS[name].params if each.name == parameter)
    if isinstance(about, click.Argument) and f"{{{parameter}}}" in template:
        pass
    elif isinstance(about, click.Argument):
        given = [each for each in given if each not in (places["sample"], places["folder"], places["good_rules"])] + [
            str(path)
        ]
    else:
        if about.opts[0] in given:
            at = given.index(about.opts[0])
            del given[at : at + 2]
        given = [about.opts[0], str(path), *given]
    result = CliRunner().invoke(command, [*name.split(), *given])
    assert result.exit_code in (1, 2), result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert path.name in result.output, "the message says which file it is about"


def test_every_command_reads_a_file_or_is_said_to_read_none() -> None:
    assert {name for name in COMMANDS if not read_by(name)} == READS_NOTHING


# ------------------------------------------------------------------------------------------- one name for one thing

# Commands that print no facts: a worker has a log and metrics, a script is a script, a schema is JSON already, and the
# rule files themselves are what comes of putting them into form.
WITHOUT_JSON = {"run", "serve", "completion", "rules schema", "rules fmt"}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_an_example_says_its_exit_codes_and_prints_facts_as_json_when_asked(name: str) -> None:
    flags = {flag for parameter in COMMANDS[name].params for flag in parameter.opts}
    assert ("--json" in flags) == (name not in WITHOUT_JSON)
    shown = CliRunner().invoke(command, [*name.split(), "--help"]).output
    assert f"grayline {name} " in shown or f"grayline {name}\n" in shown
