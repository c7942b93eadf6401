"""`grayline record`: records topics of a broker into files that `replay` reads."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.cli.options import home_region
from streams.cli.topics import kafka_options, load_settings
from streams.runtime.saying import say, say_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streams.captures.pseudonyms import Pseudonyms
    from streams.captures.writing import CaptureWriter
    from streams.kafka.settings import KafkaSettings

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_BYTES = {"KB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


class _Moment(click.ParamType):
    """A parameter that is one of some words, or a time in ms since 1970."""

    name = "time"

    def __init__(self, *words: str) -> None:
        self._words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        if isinstance(value, int) or value in self._words:
            known: str | int = value
            return known
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{value!r} is neither {' nor '.join(self._words)} nor a time such as 2026-11-16T10:00:00+09:00",
                param, ctx,
            )  # fmt: skip
        if at.tzinfo is None:
            self.fail(f"{value!r} has no zone; write {value}+09:00 or {value}Z", param, ctx)
        return int(at.timestamp() * 1000)


class _UnitParam(click.ParamType):
    """A parameter that is a whole number with a unit; `units` gives the worth of each."""

    def __init__(self, name: str, units: dict[str, int], example: str) -> None:
        self.name, self._units, self._example = name, units, example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(rf"([1-9][0-9]{{0,11}})({'|'.join(self._units)})", value)
        if found is None:
            self.fail(f"{value!r} is no {self.name}; write {self._example}", param, ctx)
        return int(found[1]) * self._units[found[2]]


_DURATION = _UnitParam("duration", _SECONDS, "90s, 30m, 2h or 1d")
_SIZE = _UnitParam("size", _BYTES, "500MB, 2GB or 256MiB")


@click.command("record")
@kafka_options
@click.option("--topics", "names", default="message-relay,cdr", show_default=True, help="Topics, separated by commas.")
@click.option("--out", "folder", required=True, metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path),
              help="Folder for the files. A new one is made for you alone.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["jsonl", "parquet"]), default="jsonl", show_default=True,
              help="jsonl: lines as kcat prints them. parquet: smaller, and faster to replay.")  # fmt: skip
@click.option("--compression", type=click.Choice(["zstd", "gzip", "none"]), default="zstd", show_default=True)
@click.option("--from", "start", type=_Moment("earliest", "latest"), default="earliest", show_default=True,
              metavar="earliest|latest|RFC3339", help="Begin of the recording in each partition.")  # fmt: skip
@click.option("--until", type=_Moment("end"), metavar="end|RFC3339",
              help="End of the recording: the present end, or a time.  [default: no end]")  # fmt: skip
@click.option("--stop-after", type=_DURATION, metavar="DURATION", help="Stop after this time, such as 10m.")
@click.option("--records", "records_max", type=click.IntRange(1), help="Stop after so many records.")
@click.option("--rotate-size", type=_SIZE, default="1GB", show_default=True, metavar="SIZE",
              help="Begin a new file when one has this size.")  # fmt: skip
@click.option(
    "--rotate-every", type=_DURATION, metavar="DURATION", help="Begin a new file after this time, such as 1h."
)
@click.option("--pseudonymise", is_flag=True,
              help="Replace numbers, ids and texts by pseudonyms, with the key in GRAYLINE_PSEUDONYM_KEY.")  # fmt: skip
@click.option("--pseudonymise-key-file", "key_file", type=click.Path(dir_okay=False, path_type=Path),
              help="The same, with the key in this file.")  # fmt: skip
@click.option("--texts", type=click.Choice(["hash", "drop"]), default="hash", show_default=True,
              help="With pseudonyms: replace message texts by a hash, or drop them.")  # fmt: skip
@home_region()
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    brokers: str | None, kafka_config: str | None, names: str, folder: Path, form: str, compression: str,
    start: str | int, until: str | int | None, stop_after: int | None, records_max: int | None, rotate_size: int,
    rotate_every: int | None, pseudonymise: bool, key_file: Path | None, texts: str, home_region: str, as_json: bool,
) -> None:  # fmt: skip
    """Record topics into files: committed records only, outside of any consumer group, changing nothing on the broker.

    Ctrl-C or SIGTERM ends a recording in order. A file is called *.partial until it is whole. No file
    is overwritten, and only you may read them. Traffic is personal data: record it with pseudonyms unless you need the
    numbers themselves.

    \b
    Examples:
      grayline record --brokers kafka:9092 --out captures --until end
      grayline record --out captures --topics cdr --from latest --stop-after 1h --format parquet
      grayline record --out captures --from 2026-11-16T00:00:00+09:00 --until 2026-11-17T00:00:00+09:00
      grayline record --out captures --pseudonymise-key-file key.txt --rotate-every 1h
      grayline replay captures/*.jsonl.zst

    Exit codes: 0 done, 1 the broker or the disk failed (files that have their names are whole), 2 used wrongly.
    """
    from streams.captures.recorder import topics_of
    from streams.captures.writing import CaptureWriter, WriteProblem

    topics = topics_of(names)
    if not topics:
        raise click.BadParameter("name at least one topic", param_hint="--topics")
    settings = load_settings(brokers, kafka_config)
    aliases = _pseudonyms(topics, key_file, texts, home_region) if pseudonymise or key_file else None
    counts: Counter[str] = Counter()
    try:
        writer = CaptureWriter(
            folder, form, compression, rotate_bytes=rotate_size, rotate_s=rotate_every or float("inf")
        )
        problem = _record(settings, tuple(topics), start, until, stop_after, records_max, writer, aliases, counts)
    except WriteProblem as error:
        raise click.ClickException(str(error)) from error
    _summarise(writer, counts, aliases, as_json)
    if problem is not None:
        raise click.ClickException(problem)


def _pseudonyms(topics: list[str], key_file: Path | None, texts: str, region: str) -> Pseudonyms:
    from schemas.feeds import FEEDS
    from streams.captures.pseudonyms import KeyProblem, Pseudonyms, read_key

    if unknown := [topic for topic in topics if topic not in FEEDS]:
        raise click.BadParameter(
            f"only input topics can be pseudonymised ({', '.join(FEEDS)}), not {', '.join(unknown)}",
            param_hint="--topics",
        )
    try:
        return Pseudonyms(read_key(key_file), region=region, texts=texts)
    except KeyProblem as problem:
        raise click.ClickException(str(problem)) from problem


def _record(
    settings: KafkaSettings,
    topics: tuple[str, ...],
    start: str | int,
    until: str | int | None,
    stop_after_s: int | None,
    records_max: int | None,
    writer: CaptureWriter,
    aliases: Pseudonyms | None,
    counts: Counter[str],
) -> str | None:
    """Records until the end that was asked for. Returns a message if something ended it before. Raises WriteProblem."""
    from streams.captures.recorder import CaptureSpan, Recorder
    from streams.kafka.settings import KafkaProblem

    stopped: list[int] = []
    left = records_max if records_max is not None else sys.maxsize
    with ExitStack() as stack:
        for number in (signal.SIGTERM, signal.SIGINT):
            before = signal.signal(number, lambda got, _: stopped.append(got))
            stack.callback(signal.signal, number, before)
        show = stack.enter_context(_progress())
        begun = time.monotonic()
        try:
            with Recorder(settings, CaptureSpan(topics, start, until)) as recorder:
                for batch in recorder.batches():
                    del batch[left:]
                    left -= len(batch)
                    writer.write([aliases.record(record) for record in batch] if aliases else batch)
                    counts.update(record.topic for record in batch)
                    show(counts, writer)
                    writer.tick()
                    if stopped or not left or (stop_after_s and time.monotonic() - begun >= stop_after_s):
                        break
        except KafkaProblem as problem:
            writer.finish()
            return str(problem)
        except BaseException:
            writer.abandon()
            raise
        writer.finish()
    return None


@contextmanager
def _progress() -> Iterator[Callable[[Counter[str], CaptureWriter], None]]:
    """Shows the progress on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda counts, writer: None
        return
    from rich.console import Console

    with Console(stderr=True).status("recording") as status:
        yield lambda counts, writer: status.update(
            f"{counts.total():,} records, {len(writer.files)} files closed; Ctrl-C ends the recording"
        )


def _summarise(writer: CaptureWriter, counts: Counter[str], aliases: Pseudonyms | None, as_json: bool) -> None:
    if as_json:
        summary = {
            "records": counts.total(),
            "topics": dict(sorted(counts.items())),
            "files": [
                {"path": str(file.path), "records": file.records, "bytes": file.size_bytes} for file in writer.files
            ],
            "pseudonymised": aliases is not None,
            "changed": dict(sorted(aliases.changed.items())) if aliases else {},
        }
        say_json(json.dumps(summary))
        return
    for file in writer.files:
        say(f"{file.path}: {file.records:,} records, {file.size_bytes:,} bytes")
    each = ", ".join(f"{count:,} {topic}" for topic, count in sorted(counts.items())) or "nothing came"
    say(f"{counts.total():,} records ({each})")
    if aliases and aliases.changed:
        fields, records = aliases.changed["field_dropped"], aliases.changed["record_withheld"]
        say(f"{fields} fields were wrong and left out; {records} records could not be read and were withheld", err=True)
