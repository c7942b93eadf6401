"""`grayline replay`: runs the rules over recorded traffic, without Kafka."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from schemas.feeds import order_topics
from schemas.printable import printable_json
from streams.cli.options import feeds_file, home_region
from streams.runtime.output import end_of_output
from streams.runtime.saying import say_json, say_problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.captures.replay import Replay
    from streams.ingest.epoch import OutRecord

HELP = """Run recorded traffic through the rules and print the block events, one JSON object a line.

FILE is what `grayline record` wrote, holds what `kcat -C -J` prints ("-" for standard input), or any sample that
`grayline records check` takes, plain, gzip or zstd; of a folder, all its files. Files are read in the order given,
lines in file order (--merge: all at once, by time); a (topic, partition, offset) seen before is skipped. The same files
and rules give the same bytes every time, whatever the files' format.

\b
Examples:
  kcat -C -e -J -b localhost:9092 -t message-relay > day.jsonl
  grayline replay day.jsonl
  grayline replay --rules night.yaml --out blocks.jsonl --dead-letters bad.jsonl mon.jsonl tue.jsonl
  grayline replay --topics block-events,review-queue day.jsonl
  grayline replay captures/*.parquet
  grayline replay --merge cdr.jsonl cdr.jsonl.1 cdr.jsonl.2
  grayline traffic --duration 10m --out - | grayline replay - --summary

Exit codes: 0 done (bad records are counted, not fatal), 1 failed, or no record could be read, or most were late, 2 used
wrongly.
"""


@click.command("replay", help=HELP)
@click.argument("files", metavar="FILE...", nargs=-1, required=True,
                type=click.Path(exists=True, allow_dash=True, path_type=Path))  # fmt: skip
@click.option("--topic", help="Topic of records that do not say it. [default: guessed from the fields]")
@click.option("--merge", is_flag=True,
              help="Read all files at once, in the order of the records' times: for files that overlap or come in "
              "another order.")  # fmt: skip
@click.option(
    "--rules", "rules_path", type=click.Path(path_type=Path), help="Rule file or folder. [default: the shipped packs]"
)
@click.option(
    "--protected",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="File of numbers that no rule blocks, in addition to the shipped list. Repeatable.",
)
@click.option(
    "--registry",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="File of registered senders, institutions and allow-listed numbers. Repeatable.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True),
    default="-",
    help="Write block events to this file. [default: standard output]",
)
@click.option(
    "--dead-letters",
    type=click.Path(dir_okay=False, writable=True),
    help="Write records that could not be read to this file, with the reason.",
)
@click.option("--topics", "wanted", default="block-events", show_default=True,
              help="Output topics to print, separated by commas. With several, each line names its topic.")  # fmt: skip
@click.option("--summary", "--json", "summary", is_flag=True,
              help="Print a JSON summary to standard error at the end.")  # fmt: skip
@click.option("--batch", type=click.IntRange(min=1), default=10_000, show_default=True,
              help="Lines that are counted together. Changes no output.")  # fmt: skip
@feeds_file
@home_region()
@click.option("--breaker-opens", type=click.IntRange(min=0), default=0, metavar="N",
              help="Apply the breaker, as `grayline run` with this option does. [default: no breaker]")  # fmt: skip
@click.option("--breaker-factor", type=click.FloatRange(min=0.0), default=10.0, show_default=True, metavar="K",
              help="The same; only with --breaker-opens.")  # fmt: skip
def command(
    files: tuple[Path, ...],
    topic: str | None,
    merge: bool,
    rules_path: Path | None,
    protected: tuple[Path, ...],
    registry: tuple[Path, ...],
    out: str,
    dead_letters: str | None,
    wanted: str,
    summary: bool,
    batch: int,
    feeds_path: Path | None,
    home_region: str,
    breaker_opens: int,
    breaker_factor: float,
) -> None:
    from rules.feeds_file import load_feeds
    from rules.load import RuleErrors, load, packs
    from schemas import topics
    from schemas.feed_settings import NO_BOOK
    from streams.captures.replay import Replay, record_line
    from streams.captures.rows import CaptureError
    from streams.engine.engine import Engine
    from streams.holds.breaker import Breaker
    from streams.ingest.feed_codes import Feeds

    outputs = [topics.BLOCK_EVENTS, topics.BLOCK_HISTORY, topics.REVIEW_QUEUE, topics.SHADOW_EVENTS, topics.SANCTIONS]
    chosen = [name.strip() for name in wanted.split(",")]
    if unknown := [name for name in chosen if name not in outputs]:
        raise click.BadParameter(f"no such output topic: {', '.join(unknown)}; choose from {', '.join(outputs)}")
    check_reading(files, topic, merge)
    try:
        ruleset = load([rules_path or packs()], protected, home_region, registry)
        feeds = Feeds(load_feeds(feeds_path) if feeds_path is not None else NO_BOOK)
    except RuleErrors as error:
        say_problem(error)
        sys.exit(1)
    with ExitStack() as stack:
        events = stack.enter_context(click.open_file(out, "wb"))
        dead = stack.enter_context(open(dead_letters, "wb")) if dead_letters else None

        def produce(record: OutRecord) -> None:
            if record.topic == topics.DEAD_LETTERS:
                if dead is not None:
                    dead.write(_shown(record_line(record)))
            elif record.topic in chosen and record.value is not None:
                events.write(_shown(record_line(record) if len(chosen) > 1 else record.value))

        breaker = Breaker(breaker_opens, breaker_factor)
        engine = Engine(
            ruleset, also=order_topics(), region=home_region, expire_by_clock=True, breaker=breaker, feeds=feeds
        )
        replay = Replay(engine, produce, batch)
        try:
            _read(replay, files, topic, merge)
        except (CaptureError, OSError) as problem:
            end_of_output(problem)
            raise click.ClickException(str(problem)) from problem
    if summary:
        say_json(json.dumps(replay.summary.as_json()), err=True)
    if complaint := replay.summary.complaint(", ".join(map(str, files)), merge):
        raise click.ClickException(complaint)


def _read(replay: Replay, given: tuple[Path, ...], topic: str | None, merge: bool) -> None:
    """Replays all files. Raises CaptureError, OSError."""
    from streams.captures.files import files_below
    from streams.captures.sources import replay_files

    files = tuple(files_below(given))
    with progress(files, "replay") as advance:
        replay_files(replay, files, topic, merge, advance)


def _shown(line: bytes) -> bytes:
    """A line of JSON that is safe to print on a terminal."""
    if line.isascii() and b"\x7f" not in line:
        return line + b"\n"
    return printable_json(line.decode()).encode() + b"\n"


def check_reading(files: tuple[Path, ...], topic: str | None, merge: bool) -> None:
    """Raises UsageError for options by which files cannot be read."""
    from schemas.feeds import FEEDS

    if topic is not None and topic not in FEEDS:
        raise click.BadParameter(f"no such topic: {topic}; choose from {', '.join(FEEDS)}", param_hint="--topic")
    if merge and any(str(file) == "-" for file in files):
        raise click.UsageError("--merge reads files, not standard input")


@contextmanager
def progress(files: tuple[Path, ...], what: str) -> Iterator[Callable[[int], None]]:
    """A progress bar over the files' bytes on standard error, if that is a terminal. what: the label of the bar."""
    if not sys.stderr.isatty() or any(str(file) == "-" for file in files):
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=sum(file.stat().st_size for file in files))
        yield lambda count: bar.advance(task, count)
