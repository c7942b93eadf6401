"""`grayline blocks`: lists the blocked numbers and follows changes, for people and for scripts."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from schemas.printable import printable, printable_json
from streams.cli.options import home_region
from streams.cli.reading import complain, reader_of, until_ended
from streams.cli.topics import kafka_options, load_settings
from streams.runtime.saying import say

if TYPE_CHECKING:
    from streams.operators.blocks import BlockChange

COLUMNS = ("number", "state", "change", "until", "directions", "actions", "rules", "reason", "event_id")


@click.command("blocks")
@kafka_options
@click.option("--follow", is_flag=True, help="After the list, print changes as they come, until Ctrl-C.")
@click.option(
    "--format", "form", type=click.Choice(["plain", "json", "csv"]), default="plain", show_default=True,
    help="json: the value of each record, one a line. csv: one row per number, safe to open in a spreadsheet.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--number", "numbers", multiple=True, metavar="NUMBER", help="Only this number, in any spelling. Repeatable."
)
@home_region("a NUMBER")
def command(
    brokers: str | None,
    kafka_config: str | None,
    follow: bool,
    form: str,
    as_json: bool,
    numbers: tuple[str, ...],
    home_region: str,
) -> None:
    """List the numbers that are blocked now, from the topic block-events; with --follow, print every change after that.

    A number is blocked while its state is `active` and its `until` lies ahead by this machine's clock. With --follow, a
    block that ends by the clock alone is printed as `lapsed`, and a number whose record was removed as `removed`. A
    record that cannot be read is reported on standard error and skipped.

    \b
    Examples:
      grayline blocks --brokers kafka:9092
      grayline blocks --number 010-1234-5678
      grayline blocks --follow --json

    Exit codes: 0 done, 1 the topic cannot be read, 2 used wrongly.
    """
    from streams.kafka.settings import KafkaProblem

    wanted = frozenset(as_published(number, home_region) for number in numbers)
    settings = load_settings(brokers, kafka_config)
    if as_json:
        if form == "csv":
            raise click.UsageError("--json and --format csv contradict each other")
        form = "json"
    show = PRINTERS[form]

    def print_all(changes: Iterable[BlockChange]) -> None:
        lines = [show(change) for change in changes if not wanted or change.number in wanted]
        if lines:
            say(*lines)
            sys.stdout.flush()

    try:
        with until_ended(), reader_of(settings) as reader:
            if form == "csv":
                say(csv_row(COLUMNS))
            print_all(reader.snapshot())
            if reader.bad_values:
                complain(
                    f"{reader.bad_values} records were skipped; the numbers they are about show their state before"
                )
            if follow:
                for changes in reader.changes():
                    print_all(changes)
    except KafkaProblem as problem:
        raise click.ClickException(str(problem)) from problem


def as_published(text: str, region: str, option: str = "--number") -> str:
    """The E.164 form under which blocks are published. A text that is no number is never blocked, so it is refused as a
    slip."""
    from schemas.numbers import normalise

    number = normalise(text, region)
    if number.key <= 0:
        raise click.BadParameter(
            f"{text!r} is no telephone number that could be blocked; write +821012345678, or 010-1234-5678 at home",
            param_hint=option,
        )
    return number.text


def as_json(change: BlockChange) -> str:
    """The record's own value on one line. A lapse or a removal has no value of its own and is shown in the same
    fields."""
    import orjson

    if change.value is not None:
        return printable_json(change.value.decode(errors="replace"))
    fields: dict[str, object] = {"number": change.number, "state": _state(change), "change": _change(change)}
    if change.block is not None:
        fields |= {"until": change.block.until, "event_id": change.block.event_id}
    return printable_json(orjson.dumps(fields).decode())


def as_csv(change: BlockChange) -> str:
    return csv_row(_cells(change))


def as_plain(change: BlockChange) -> str:
    cells = dict(zip(COLUMNS, _cells(change), strict=True))
    words = [f"{cells['number']:<16}", f"{_change(change):<8}"]
    if change.block is not None:
        words.append(f"until {cells['until']}")
        words += [cells[name] for name in ("directions", "actions", "rules") if cells[name]]
        if cells["reason"]:
            words.append(f"({cells['reason']})")
    return "  ".join(words)


PRINTERS: dict[str, Callable[[BlockChange], str]] = {"json": as_json, "csv": as_csv, "plain": as_plain}


def csv_row(cells: Iterable[str]) -> str:
    """One row on one line, each cell harmless."""
    return csv_line(map(harmless, cells))


def csv_line(cells: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue()


def harmless(cell: str) -> str:
    """The text on one line. One that a spreadsheet would run as a formula gets an apostrophe before it; E.164 numbers,
    whose `+` is only a sign to a spreadsheet, stay as they are for the scripts that read them."""
    shown = printable(cell)
    return "'" + shown if shown[:1] in _FORMULA and not _E164.fullmatch(shown) else shown


_FORMULA = frozenset("=+-@＝＋－＠")
_E164 = re.compile(r"\+[0-9]{1,18}")


def _cells(change: BlockChange) -> list[str]:
    block = change.block
    if block is None:
        return [change.number, _state(change), _change(change), *[""] * (len(COLUMNS) - 3)]
    reason = block.hold.reason if block.hold is not None else None
    return [
        change.number,
        _state(change),
        _change(change),
        rfc3339(block.until),
        " ".join(block.directions),
        " ".join(block.actions),
        " ".join(hold.rule for hold in block.holds),
        reason or "",
        block.event_id,
    ]


def _state(change: BlockChange) -> str:
    return change.block.state if change.kind == "state" and change.block is not None else "expired"


def _change(change: BlockChange) -> str:
    return change.block.change if change.kind == "state" and change.block is not None else change.kind


def rfc3339(at_ms: int) -> str:
    """A time as text in UTC, to the millisecond; a time beyond the calendar stays a number."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} ms"
