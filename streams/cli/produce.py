"""`grayline records produce`: records from files into Kafka."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.options import home_region
from streams.cli.topics import kafka_options, load_settings
from streams.runtime.saying import say, say_json

if TYPE_CHECKING:
    from streams.captures.produce import Production

RETENTION_MS = 6 * 86_400_000  # a topic with the usual week of retention drops what is older


@click.command("produce")
@click.argument("files", metavar="FILE...", nargs=-1, required=True,
                type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))  # fmt: skip
@click.option("--topic", required=True, help="Input topic of the records.")
@click.option("--feed", help="Name of whoever delivers the records, in the header `feed`. [default: none]")
@kafka_options
@click.option("--timestamps", type=click.Choice(("now", "event")), default="now", show_default=True,
              help="Kafka timestamp of each record: now, or the time of its event, for history.")  # fmt: skip
@home_region()
@click.option("--errors", "shown_max", type=click.IntRange(0), default=20, show_default=True,
              help="Show at most this many refused records one by one.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the account as one JSON object.")
def produce_command(
    files: tuple[Path, ...], topic: str, feed: str | None, brokers: str | None, kafka_config: str | None,
    timestamps: str, home_region: str, shown_max: int, as_json: bool,
) -> None:  # fmt: skip
    """Produce records from files into an input topic: each keyed by its number, in that number's partition.

    FILE is what `grayline records check` reads; "-" is standard input. Values go out as they are. A record that a
    worker could not count is refused, with place and reason.

    \b
    Examples:
      grayline records produce --topic cdr --feed switch7 calls.jsonl --brokers localhost:9092
      grayline records convert --map jasmin messages.log | grayline records produce --topic message-relay -
      grayline records produce --topic cdr --timestamps event --kafka-config tls.properties yesterday.jsonl

    Exit codes: 0 every record is delivered, 1 some are not, there was none, or the broker or a file failed, 2 used
    wrongly.
    """
    from schemas.feeds import FEEDS
    from schemas.records import ID_MAX
    from streams.captures.produce import ProduceProblem, Production
    from streams.captures.rows import CaptureError
    from streams.kafka.clients import Clients

    if topic not in FEEDS:
        raise click.BadParameter(f"no such topic: {topic}; choose from {', '.join(FEEDS)}", param_hint="--topic")
    if feed is not None and not 0 < len(feed) <= ID_MAX:
        raise click.BadParameter(f"a name has 1 to {ID_MAX} characters", param_hint="--feed")
    production = Production(topic, feed, home_region, timestamps)
    failure = None
    try:
        production.connect(load_settings(brokers, kafka_config), Clients())
        try:
            _send(production, files, shown_max)
        finally:
            production.finish()
    except (CaptureError, ProduceProblem, OSError) as problem:
        failure = str(problem)
    except KeyboardInterrupt:
        failure = "interrupted; the records behind are not sent"
    _tell(production, as_json)
    if failure is not None:
        say(f"Error: {failure}", err=True)
    sys.exit(0 if production.is_whole and failure is None else 1)


def _send(production: Production, files: tuple[Path, ...], shown_max: int) -> None:
    from streams.captures.samples import read_open, read_sample
    from streams.cli.replay import progress

    with progress(files, "produce") as advance:
        for file in files:
            if str(file) == "-":
                samples = iter([read_open(sys.stdin.buffer, "standard input")])
            else:
                samples = read_sample(file, advance)
            for sample in samples:
                for line in production.run(sample):
                    if production.refused.total() <= shown_max:
                        say(line, err=True)
    if (more := production.refused.total() - shown_max) > 0 and shown_max:
        say(f"... and {more:,} more refused", err=True)


def _tell(production: Production, as_json: bool) -> None:
    if as_json:
        say_json(json.dumps(production.as_json(), ensure_ascii=False))
    else:
        say(*production.lines())
    oldest_ms = production.oldest_ms
    if production.timestamps == "event" and oldest_ms and time.time() * 1000 - oldest_ms > RETENTION_MS:
        days = (time.time() * 1000 - oldest_ms) / 86_400_000
        say(
            f"warning: the oldest of these records is {days:.0f} days old, and a topic with 7 days' retention drops "
            "it: create the topics for history",
            err=True,
        )
