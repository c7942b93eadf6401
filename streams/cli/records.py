"""`grayline records`: checks samples of records, converts files of other systems, produces them into Kafka."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from streams.cli.convert import convert_command, maps_command
from streams.cli.options import feeds_file, home_region
from streams.cli.produce import produce_command
from streams.runtime.saying import say, say_json, say_problem


@click.group("records")
def command() -> None:
    """Check samples of records, make records of other systems' files, produce them into Kafka.

    \b
    Examples:
      grayline records convert --map asterisk Master.csv -o calls.jsonl
      grayline records check sample.jsonl
      grayline records produce --topic cdr --feed switch7 --brokers localhost:9092 calls.jsonl
    """


@command.command("check")
@click.argument("files", metavar="FILE...", nargs=-1, required=True,
                type=click.Path(exists=True, allow_dash=True, path_type=Path))  # fmt: skip
@click.option("--topic", help="Topic of the records. [default: from kcat's lines, or guessed from the fields]")
@click.option("--errors", "problems_max", type=click.IntRange(0), default=20, show_default=True,
              help="Show at most this many errors one by one.")  # fmt: skip
@feeds_file
@home_region()
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def check_command(
    files: tuple[Path, ...],
    topic: str | None,
    problems_max: int,
    feeds_path: Path | None,
    home_region: str,
    as_json: bool,
) -> None:
    """Check samples against the schemas: all fields, not only those that loaded rules read.

    FILE is one record a line, lines of `kcat -J`, a JSON array or a Parquet capture, plain, gzip or zstd, or a
    folder of such; "-" is standard input. The report shows the shapes of values only, and masked numbers.

    \b
    Examples:
      grayline records check sample.jsonl
      kcat -C -e -J -b localhost:9092 -t cdr | grayline records check -
      grayline records check --topic cdr --json monday.jsonl.gz

    Exit codes: 0 every record is right, 1 some are not, 2 a file cannot be read, or used wrongly.
    """
    from rules.diagnostics import RuleErrors
    from rules.feeds_file import load_feeds
    from schemas.feed_settings import NO_BOOK
    from schemas.feeds import FEEDS
    from streams.captures.check import Check, lines
    from streams.captures.files import files_below
    from streams.captures.rows import CaptureError
    from streams.captures.samples import read_open, read_sample
    from streams.cli.replay import progress

    if topic is not None and topic not in FEEDS:
        raise click.BadParameter(f"no such topic: {topic}; choose from {', '.join(FEEDS)}", param_hint="--topic")
    try:
        feeds = load_feeds(feeds_path) if feeds_path is not None else NO_BOOK
    except RuleErrors as problem:
        say_problem(problem)
        sys.exit(2)
    check = Check(topic, home_region, problems_max, feeds)
    try:
        every = tuple(files_below(files))
        with progress(every, "check") as advance:
            for file in every:
                if str(file) == "-":
                    check.run(read_open(sys.stdin.buffer, "standard input"))
                else:
                    for sample in read_sample(file, advance):
                        check.run(sample)
    except (CaptureError, OSError) as problem:
        say(f"Error: {problem}", err=True)
        sys.exit(2)
    if as_json:
        say_json(json.dumps(check.as_json(), ensure_ascii=False))
    else:
        say(*lines(check))
    sys.exit(1 if check.bad_records or check.flawed_records else 0)


command.add_command(convert_command)
command.add_command(maps_command)
command.add_command(produce_command)
