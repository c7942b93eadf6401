"""`grayline traffic`: generates labelled phone traffic into a file or a broker."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from streams.cli.topics import kafka_options, load_settings
from streams.runtime.output import end_of_output
from streams.runtime.saying import say, say_json

if TYPE_CHECKING:
    from streams.kafka.settings import KafkaSettings
    from streams.traffic.generate import Traffic
    from streams.traffic.rows import TrafficRecord

_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class _Duration(click.ParamType):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if not re.fullmatch(r"(\d+[smhd])+", value):
            self.fail(f"{value!r} is not a duration; write 90s, 30m, 2h, 1d or 1h30m", param, ctx)
        return sum(int(n) * _UNITS_MS[unit] for n, unit in re.findall(r"(\d+)([smhd])", value))


class _Instant(click.ParamType):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not an RFC 3339 time such as 2026-11-16T10:00:00+09:00", param, ctx)
        if at.tzinfo is None:
            self.fail(f"{value!r} has no zone; write {value}+09:00 or {value}Z", param, ctx)
        return int(at.timestamp() * 1000)


@click.command("traffic")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Seed of the generator: the same seed gives the same bytes.",
)
@click.option(
    "--start",
    type=_Instant(),
    metavar="RFC3339",
    help="Time of the first record.  [default: 2026-11-16T10:00:00+09:00]",
)
@click.option(
    "--duration", type=_Duration(), default="2h", show_default=True, help="Length of the traffic, in event time."
)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    default=20.0,
    show_default=True,
    help="Mean records per second of event time.",
)
@click.option("--offenders", type=click.IntRange(0), default=4, show_default=True, help="Offenders of each kind.")
@click.option("--only", type=click.Choice(["messages", "calls"]), help="Generate one topic instead of both.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Write JSON lines to this file; - is standard output.",
)
@click.option(
    "--partitions", type=click.IntRange(1), default=4, show_default=True, help="Partitions of each topic, with --out."
)
@click.option(
    "--first-offset", type=click.IntRange(0, 1 << 62), default=0, show_default=True, metavar="N",
    help="Offset at which each partition begins, with --out: for a file that follows another one.",
)  # fmt: skip
@kafka_options
@click.option("--speed", type=click.FloatRange(0, min_open=True), help="Speed into Kafka, as a multiple of real time.")
@click.option(
    "--labels",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the labels to this file: offender or innocent, and of which kind.",
)
@click.option("--feed", type=click.Choice(["events", "complete", "both"]), default="events", show_default=True,
              help="Records of calls: as they happen, one when a call has ended, or both.")  # fmt: skip
@click.option("--every-kind", is_flag=True, help="Plant every kind of innocent and of offender that is known.")
@click.option("--reports", is_flag=True, help="Also generate the topics reports and traps.")
@click.option("--report-labels", type=click.Path(dir_okay=False, path_type=Path),
              help="Write to this file which reports are true, duplicates, mistakes or malicious.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def command(
    seed: int, start: int | None, duration: int, rate: float, offenders: int, only: str | None, out: str | None,
    partitions: int, first_offset: int, brokers: str | None, kafka_config: str | None, speed: float | None,
    labels: Path | None, feed: str, every_kind: bool, reports: bool, report_labels: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Generate phone traffic with planted offenders, into a file or into Kafka, with labels that name them.

    Ordinary subscribers, busy businesses (couriers, a hospital, a bank, a call centre) and eight kinds of offender,
    modelled on published figures. With --every-kind also 28 further kinds of innocent that look like offenders,
    and offenders who hide. With --reports also citizens who report the offenders, by mistake and out of malice
    others, and honeypots that they reach. Without --speed, records go out as fast as possible.

    \b
    Examples:
      grayline traffic --out traffic.jsonl --labels labels.jsonl
      grayline traffic --duration 7d --rate 5 --seed 42 --out week.jsonl
      grayline traffic --brokers localhost:9092 --speed 120 --labels labels.jsonl
      grayline traffic --kafka-config tls.properties --duration 10m
      grayline traffic --reports --out traffic.jsonl --report-labels reports.jsonl
      grayline traffic --every-kind --feed complete --out hard.jsonl --labels labels.jsonl
      grayline traffic --only calls --out - | grayline replay -

    Exit codes: 0 done, 1 failed, 2 used wrongly.
    """
    kafka = _kafka(out, brokers, kafka_config)
    if speed is not None and kafka is None:
        raise click.UsageError("--speed paces --brokers; a file is written as fast as possible")

    if report_labels is not None and not reports:
        raise click.UsageError("--report-labels tells of reports; say --reports as well")

    from streams.traffic.generate import START_MS, Traffic, TrafficSettings
    from streams.traffic.labels import write_labels
    from streams.traffic.outlets import OutletError
    from streams.traffic.witnesses import write_report_labels

    try:
        settings = TrafficSettings(
            seed=seed,
            start_ms=START_MS if start is None else start,
            duration_ms=duration,
            rate=rate,
            offenders_per_kind=offenders,
            reports=reports,
            every_kind=every_kind,
            form=feed,
            only=frozenset({only}) if only else TrafficSettings.only,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if kafka is not None:
        _warn_of_age(settings.start_ms)
    traffic = Traffic(settings)
    try:
        with ExitStack() as stack:
            topics = _count(
                _progress(_outlet(traffic, out, partitions, first_offset, kafka, speed, stack), traffic, stack)
            )
        if labels is not None:
            write_labels(labels, traffic.labels())
        if report_labels is not None:
            write_report_labels(report_labels, traffic.report_labels())
    except (OutletError, OSError) as error:
        end_of_output(error)
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        raise click.ClickException("interrupted; the output is incomplete") from None
    _summarise(traffic, topics, as_json, to_stderr=out == "-")


def _kafka(out: str | None, brokers: str | None, kafka_config: str | None) -> KafkaSettings | None:
    """The cluster to produce to, None for a file. Environment variables about Kafka are for every command, so they do
    not contradict --out; without --out they say where the records go."""
    source = click.get_current_context().get_parameter_source("brokers")
    on_the_command_line = source == ParameterSource.COMMANDLINE or kafka_config is not None
    known = bool(brokers or kafka_config or os.environ.get("GRAYLINE_KAFKA_CONFIG"))
    if on_the_command_line if out is not None else not known:
        raise click.UsageError(
            "say where the records go: either --out FILE or --brokers HOST:PORT (or --kafka-config FILE)"
        )
    return load_settings(brokers, kafka_config) if out is None else None


def _warn_of_age(start_ms: int) -> None:
    """Warns of records that a broker would delete at once: it deletes by the records' own timestamps, silently."""
    age_days = (time.time() * 1000 - start_ms) / _UNITS_MS["d"]
    if age_days > 6:
        say(
            f"warning: these records are {age_days:.0f} days old, and a topic with 7 days' retention drops them: "
            "create the topics for history, or give a recent --start",
            err=True,
        )


def _outlet(
    traffic: Traffic,
    out: str | None,
    partitions: int,
    first_offset: int,
    kafka: KafkaSettings | None,
    speed: float | None,
    stack: ExitStack,
) -> Iterator[TrafficRecord]:
    from streams.traffic.outlets import produce, write_lines

    if kafka is not None:
        return produce(traffic, kafka, traffic.topics, speed)
    assert out is not None
    file = stack.enter_context(click.open_file(out, "wb"))
    return write_lines(traffic, file, partitions, first_offset)


def _progress(records: Iterable[TrafficRecord], traffic: Traffic, stack: ExitStack) -> Iterator[TrafficRecord]:
    """A progress bar on standard error if that is a terminal; it moves with event time."""
    if not sys.stderr.isatty():
        yield from records
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.fields[count]:,} records"), BarColumn(), TimeRemainingColumn())
    bar = stack.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
    task = bar.add_task("traffic", total=traffic.settings.duration_ms, count=0)
    for count, record in enumerate(records, 1):
        if count % 2000 == 0:
            bar.update(task, completed=record.timestamp_ms - traffic.settings.start_ms, count=count)
        yield record


def _count(records: Iterable[TrafficRecord]) -> dict[str, int]:
    return dict(sorted(Counter(record.topic for record in records).items()))


def _summarise(traffic: Traffic, topics: dict[str, int], as_json: bool, to_stderr: bool) -> None:
    who = traffic.labels()
    summary = {
        "records": sum(topics.values()),
        "topics": topics,
        "start_ms": traffic.settings.start_ms,
        "end_ms": traffic.settings.end_ms,
        "seed": traffic.settings.seed,
        "numbers": len(who),
        "reports": dict(Counter(label.kind for label in traffic.report_labels())),
        "wanted": dict(Counter(label.kind for label in who if label.wanted)),
    }
    if as_json:
        import orjson

        say_json(orjson.dumps(summary), err=to_stderr)
        return
    each = ", ".join(f"{count:,} {topic}" for topic, count in topics.items()) or "none"
    say(f"{summary['records']:,} records ({each}) of {len(who):,} numbers", err=to_stderr)
    wanted = ", ".join(f"{count} {kind}" for kind, count in Counter(w.kind for w in who if w.wanted).items())
    if kinds := Counter(label.kind for label in traffic.report_labels()):
        say(f"reports: {', '.join(f'{count:,} {kind}' for kind, count in kinds.items())}", err=to_stderr)
    say(f"offenders to find: {wanted or 'none'}", err=to_stderr)
