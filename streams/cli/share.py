"""`grayline share`: numbers that carriers share with each other."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.blocks import csv_row, rfc3339
from streams.cli.reading import complain, states_in_force
from streams.cli.topics import kafka_options, load_settings
from streams.runtime.clock import now_ms
from streams.runtime.saying import counted, say, say_json

if TYPE_CHECKING:
    from rules.sharing_file import Sharing
    from streams.kafka.settings import KafkaSettings
    from streams.operators.sharing import Shared

EXIT_CODES = "Exit codes: 0 done, 1 a topic cannot be read or written, or the file not, 2 used wrongly."
sharing_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
shared_on = click.option(
    "--shared-brokers", metavar="HOST:PORT,...",
    help="Brokers of the topic shared-numbers, where it lies on others than one's own.",
)  # fmt: skip
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group("share")
def command() -> None:
    """Share numbers with other carriers, and hear theirs, through the topic shared-numbers.

    FILE says who we are, which rules' blocks we are confident of, and how far we trust others.

    \b
    Examples:
      grayline share publish sharing.yaml
      grayline share import sharing.yaml --out shared.csv
      grayline share list sharing.yaml
    """


@command.command("publish", short_help="Tell others what we are confident of.", epilog=EXIT_CODES)
@sharing_file
@click.option(
    "--min-confidence", "least", type=click.FloatRange(0, 1, min_open=True), metavar="PART",
    help="Share only what we are so sure of. [default: `at_least` of FILE]",
)  # fmt: skip
@shared_on
@as_json_option
@kafka_options
def publish(
    file: Path,
    least: float | None,
    shared_brokers: str | None,
    as_json: bool,
    brokers: str | None,
    kafka_config: str | None,
) -> None:
    """Make our entries on shared-numbers what block-events says now: new ones, changes, and withdrawals of what we no
    longer block. Run it again, every minute or so: nothing is written that stands there already.

    \b
    Example:
      grayline share publish sharing.yaml --min-confidence 0.95
    """
    from dataclasses import replace

    from schemas.json_reading import JsonReader
    from streams.kafka.settings import KafkaProblem
    from streams.operators.sharing import confident, shared_numbers, to_write
    from streams.operators.telling import broker_problems, write

    own, common = _settings(brokers, kafka_config, shared_brokers)
    sharing = _load(file)
    sharing = sharing if least is None else replace(sharing, at_least=least)
    reader: JsonReader[dict[str, object]] = JsonReader(dict)
    at_ms = now_ms()
    states = [reader.read(change.value or b"{}") for change in states_in_force(own)]
    try:
        with broker_problems(common):
            shared, _ = shared_numbers(common)
            told = list(to_write(shared, confident(states, sharing, at_ms), sharing.origin, at_ms))
            write(common, [record for _, record in told], "entry")
    except KafkaProblem as problem:
        raise click.ClickException(str(problem)) from problem
    counts = Counter(what for what, _ in told)
    if as_json:
        say_json(json.dumps({what: counts[what] for what in ("published", "withdrawn", "forgotten")}))
    else:
        say(f"{counts['published']} published, {counts['withdrawn']} withdrawn, {counts['forgotten']} forgotten")


@command.command("import", short_help="Write what others say as a registry file.", epilog=EXIT_CODES)
@sharing_file
@click.option(
    "--out", required=True, metavar="FILE.csv", type=click.Path(dir_okay=False, path_type=Path),
    help="The registry file. It is replaced in one step.",
)  # fmt: skip
@shared_on
@as_json_option
@kafka_options
def import_(
    file: Path, out: Path, shared_brokers: str | None, as_json: bool, brokers: str | None, kafka_config: str | None
) -> None:
    """Write the numbers that others share as a registry file, with a score for each: how sure they are, times how far
    we trust them. Workers that have it as --registry read it at SIGHUP, and rules read `shared_score`.

    Our own entries are left out, and so are those withdrawn, over, or of an origin whom FILE does not trust. The file
    stays as it was when the broker fails.

    \b
    Example:
      grayline share import sharing.yaml --out shared.csv
    """
    from streams.operators.block_file import BlockFile, FileProblem
    from streams.operators.sharing import COLUMNS, heard, registry_rows

    if out.suffix != ".csv":
        raise click.BadParameter("its name ends in .csv, by which workers know the form", param_hint="--out")
    common = _settings(brokers, kafka_config, shared_brokers)[1]
    sharing = _load(file)
    others = heard(_shared(common), sharing, now_ms())
    rows = [row for number, entries in others.items() for row in registry_rows(number, entries, sharing)]
    try:
        BlockFile(out).write(map(csv_row, [COLUMNS, *rows]))
    except FileProblem as problem:
        raise click.ClickException(str(problem)) from problem
    if as_json:
        say_json(json.dumps({"file": str(out), "numbers": len(others)}))
    else:
        say(f"{len(others):,} numbers in {out}")


@command.command("list", short_help="List what carriers share.", epilog=EXIT_CODES)
@sharing_file
@shared_on
@as_json_option
@kafka_options
def list_(file: Path, shared_brokers: str | None, as_json: bool, brokers: str | None, kafka_config: str | None) -> None:
    """List all entries, ours and others', and what becomes of each here.

    \b
    Example:
      grayline share list sharing.yaml
    """
    import msgspec

    common = _settings(brokers, kafka_config, shared_brokers)[1]
    sharing, at_ms = _load(file), now_ms()
    rows = []
    for (number, origin), entry in sorted(_shared(common).items()):
        if origin == sharing.origin:
            becomes = "ours"
        elif entry.withdrawn or entry.until <= at_ms:
            becomes = "withdrawn" if entry.withdrawn else "over"
        else:
            becomes = f"trusted {sharing.trust[origin]:g}" if origin in sharing.trust else "not trusted"
        rows.append(msgspec.to_builtins(entry) | {"here": becomes})
        if not as_json:
            until = rfc3339(entry.until)
            say(f"{number}  {origin}  {entry.confidence:g}  until {until}  {becomes}: {entry.category}")
    if as_json:
        say_json(json.dumps({"entries": rows}))
    else:
        say(counted(len(rows), "entry", "entries"))


def _load(file: Path) -> Sharing:
    """Raises ClickException."""
    from rules.diagnostics import RuleErrors
    from rules.sharing_file import load_sharing

    try:
        return load_sharing(file)
    except RuleErrors as problem:
        raise click.ClickException(str(problem)) from problem


def _settings(brokers: str | None, kafka_config: str | None, shared: str | None) -> tuple[KafkaSettings, KafkaSettings]:
    """Of our own brokers, and of those with the common topic."""
    return load_settings(brokers, kafka_config), load_settings(shared or brokers, kafka_config)


def _shared(settings: KafkaSettings) -> Shared:
    """Raises ClickException."""
    from streams.kafka.settings import KafkaProblem
    from streams.operators.sharing import shared_numbers

    try:
        found, unread = shared_numbers(settings)
    except KafkaProblem as problem:
        raise click.ClickException(str(problem)) from problem
    if unread:
        complain(f"{unread} records of shared-numbers could not be used")
    return found
