"""`grayline export`: the blocked numbers as a file, for blockers without Kafka."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.blocks import COLUMNS, as_csv, as_json, csv_row
from streams.cli.reading import reader_of, until_ended
from streams.cli.topics import kafka_options, load_settings
from streams.runtime.clock import now_ms
from streams.runtime.saying import say, say_json

if TYPE_CHECKING:
    from streams.operators.block_file import BlockFile
    from streams.operators.blocks import BlockChange, BlockReader

DIRECTIONS, ACTIONS = ("outgoing", "incoming"), ("block_calls", "block_messages")


@click.command("export")
@kafka_options
@click.option(
    "--out", required=True, metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
    help="The file. It is replaced in one step: whoever opens it reads a whole list.",
)  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(["plain", "json", "csv"]), default="plain", show_default=True,
    help="plain: one number a line. json: the value of each record, one a line. csv: one row per number.",
)  # fmt: skip
@click.option("--direction", type=click.Choice(DIRECTIONS), help="Only numbers that are blocked in this direction.")
@click.option("--action", type=click.Choice(ACTIONS), help="Only numbers of which this is blocked.")
@click.option("--follow", is_flag=True, help="Keep the file up to date until Ctrl-C or SIGTERM.")
@click.option(
    "--every", "every_s", type=click.FloatRange(0.1, 3600), default=5.0, show_default=True, metavar="SECONDS",
    help="With --follow: how often the file is replaced at most, and its time of modification set at least.",
)  # fmt: skip
@click.option("--allow-empty", is_flag=True, help="Replace a list of numbers also when nothing is blocked any more.")
@click.option("--json", "as_json_", is_flag=True, help="Say what was written as one JSON object a line.")
def command(
    brokers: str | None,
    kafka_config: str | None,
    out: Path,
    form: str,
    direction: str | None,
    action: str | None,
    follow: bool,
    every_s: float,
    allow_empty: bool,
    as_json_: bool,
) -> None:
    """Write the numbers that are blocked now to a file; with --follow, keep it up to date.

    The file is never half written, and stays as it was when Kafka or the disk fails. With --follow a block leaves it
    once it ends by this machine's clock, also while Kafka is away; a time of modification that does not move says that
    changes may be missing. A list of numbers is not replaced by an empty one at the start: see --allow-empty.

    \b
    Examples:
      grayline export --out blocked.txt --direction outgoing
      grayline export --out /srv/blocked.csv --format csv --follow --every 10

    Exit codes: 0 done, 1 the topic cannot be read or the file not written, 2 used wrongly.
    """
    import orjson

    from streams.kafka.settings import KafkaProblem
    from streams.operators.block_file import BlockFile, FileProblem

    settings = load_settings(brokers, kafka_config)
    file, shown = BlockFile(out), _Shown(form, direction, action)

    def tell(blocked: int) -> None:
        if as_json_:
            say_json(orjson.dumps({"file": str(out), "numbers": blocked}))
        else:
            say(f"{blocked:,} numbers in {out}")

    try:
        with until_ended(), reader_of(settings) as reader:
            lines = shown.lines(reader.snapshot())
            file.check(shown.count, allow_empty)
            file.write(lines)
            tell(shown.count)
            if follow:
                for _ in _kept(file, reader, shown, every_s):
                    tell(shown.count)
    except (KafkaProblem, FileProblem) as problem:
        raise click.ClickException(str(problem)) from problem


class _Shown:
    """The lines of a list. count: of numbers in the last one."""

    def __init__(self, form: str, direction: str | None, action: str | None) -> None:
        self.count = 0
        self._form, self._direction, self._action = form, direction, action

    def lines(self, changes: list[BlockChange]) -> list[str]:
        wanted = [change for change in changes if self._is_wanted(change)]
        self.count = len(wanted)
        head = [csv_row(COLUMNS)] if self._form == "csv" else []
        show = {"plain": lambda change: change.number, "json": as_json, "csv": as_csv}[self._form]
        return head + [show(change) for change in wanted]

    def _is_wanted(self, change: BlockChange) -> bool:
        """A hold that says no direction or action blocks all."""
        block = change.block
        assert block is not None, "only blocked numbers are listed"
        return all(
            wanted is None or not told or wanted in told
            for wanted, told in ((self._direction, block.directions), (self._action, block.actions))
        )


def _kept(file: BlockFile, reader: BlockReader, shown: _Shown, every_s: float) -> Iterator[None]:
    """Keeps the file up to date, and yields when it has been replaced. Raises KafkaProblem, FileProblem."""
    is_old, due_s = False, time.monotonic() + every_s
    for changes in reader.changes():
        is_old |= bool(changes)
        if time.monotonic() < due_s:
            continue
        due_s = time.monotonic() + every_s
        if is_old:
            file.write(shown.lines(reader.table.blocked(now_ms())))
            is_old = False
            yield
        elif reader.is_answered:
            file.touch()
