"""`grayline report`: reports for others about recorded traffic."""

from __future__ import annotations

import json
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from streams.cli.blocks import csv_line, harmless
from streams.cli.options import Zone, home_region
from streams.runtime.saying import say, say_json


@click.group("report")
def command() -> None:
    """Write reports for others about recorded traffic.

    \b
    Example:
      grayline report ucenet day.jsonl > abroad.csv
    """


@command.command("ucenet")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--zone", type=Zone(), default="UTC", show_default=True, metavar="ZONE", help="IANA zone of times and dates."
)
@click.option(
    "--titles",
    is_flag=True,
    help="Show the beginnings of texts, which may name people, in place of the kind.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of CSV.")
@home_region()
def ucenet(files: tuple[Path, ...], zone: ZoneInfo, titles: bool, as_json: bool, home_region: str) -> None:
    """Count international messages and calls of captures: nation, provider, masked address, first time of the day,
    date, count and title, as CSV.

    International is what says so (`origin`), and what comes from a foreign number. The provider is the record's
    carrier, else its relay. FILE is what `grayline record` writes.

    \b
    Examples:
      grayline report ucenet day.jsonl > abroad.csv
      grayline report ucenet --zone Asia/Seoul monday.parquet tuesday.parquet

    Exit codes: 0 done, 1 a file cannot be read, 2 used wrongly.
    """
    from streams.captures.rows import CaptureError
    from streams.captures.ucenet import ADDRESS, COLUMNS, UcenetReport

    report = UcenetReport(home_region, zone, with_titles=titles)
    try:
        for file in files:
            before = report.records
            report.read(file)
            if report.records == before:
                raise click.ClickException(f"{file}: no call and no message in it can be read")
    except (CaptureError, OSError) as problem:
        raise click.ClickException(str(problem)) from problem
    if as_json:
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in report.rows()]
        say_json(json.dumps({"rows": rows, "unread": report.unread}))
        return
    say(csv_line(COLUMNS))
    for row in report.rows():  # an address is ours: its + is that of a masked number
        say(csv_line(cell if place == ADDRESS else harmless(cell) for place, cell in enumerate(row)))
    if report.unread:
        say(f"{report.unread} lines and records could not be read", err=True)
