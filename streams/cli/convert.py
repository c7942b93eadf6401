"""`grayline records convert` and `maps`: records from files of other systems, as a mapping file says."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from streams.runtime.output import end_of_output
from streams.runtime.saying import say, say_json, say_problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.captures.convert.conversion import Conversion
    from streams.captures.convert.opening import Opened

FILES = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


@click.command("convert")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FILES)
@click.option("--map", "named", required=True, metavar="NAME|FILE",
              help="A mapping file, or the name of one that ships (`grayline records maps`).")  # fmt: skip
@click.option("-o", "--out", default="-", type=click.Path(dir_okay=False, path_type=Path),
              help="File for the records; it is there once it is whole. [default: standard output]")  # fmt: skip
@click.option("--rejects", type=click.Path(dir_okay=False, path_type=Path),
              help="Write the rows that became no record to this file, as they came, with their reasons.")  # fmt: skip
@click.option("--zone", help="Zone of times without one, instead of the map's: Asia/Seoul, UTC, +09:00.")
@click.option("--numbers", type=click.Choice(("national", "e164", "smpp")),
              help="Form of telephone numbers, instead of the map's; e164: digits that lost their +.")  # fmt: skip
@click.option("--set", "given", multiple=True, metavar="FIELD=VALUE",
              help="A field of every record, instead of the map's: `--set carrier=mvno3`. Repeatable.")  # fmt: skip
@click.option("--errors", "shown_max", type=click.IntRange(0), default=20, show_default=True,
              help="Show at most this many rejected rows one by one.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the account as one JSON object.")
def convert_command(
    files: tuple[Path, ...], named: str, out: Path, rejects: Path | None, zone: str | None, numbers: str | None,
    given: tuple[str, ...], shown_max: int, as_json: bool,
) -> None:  # fmt: skip
    """Convert a switch's or gateway's files into records, one JSON object a line.

    FILE is CSV, JSON, columns of fixed width or a log, plain, gzip, zstd or zip; "-" is standard input. Each row
    becomes records, is rejected with a reason, or is passed over where the map says so: the account on standard error
    counts all three.

    \b
    Examples:
      grayline records convert --map asterisk Master.csv -o calls.jsonl
      grayline records convert --map jasmin --zone UTC messages.log | grayline records check -
      grayline records convert --map mine.yaml --set carrier=mvno3 --rejects bad.jsonl day.zip -o day.jsonl

    Exit codes: 0 every row was converted or passed over, 1 some were rejected, there was none, or a file cannot be
    read, 2 used wrongly.
    """
    from rules.diagnostics import RuleErrors
    from streams.captures.convert.conversion import Conversion
    from streams.captures.convert.map_file import Instead, load_map
    from streams.captures.rows import CaptureError

    if rejects is not None and rejects == out:
        raise click.BadParameter(f"{rejects} is the file of the records too", param_hint="--rejects")
    try:
        map_ = load_map(named, Instead(zone, numbers, _constants(given)))
    except RuleErrors as problem:
        say_problem(problem)
        sys.exit(1)
    conversion = Conversion(map_)
    try:
        _convert(conversion, files, out, rejects, shown_max)
    except (CaptureError, OSError) as problem:
        end_of_output(problem)
        say(f"Error: {problem}", err=True)
        if str(out) != "-":
            say(f"{out} is not written", err=True)
        sys.exit(1)
    if as_json:
        say_json(json.dumps(conversion.as_json(), ensure_ascii=False), err=str(out) == "-")
    else:
        say(*conversion.lines(), err=True)
    if not conversion.records:
        say("Error: no row became a record", err=True)
    sys.exit(0 if conversion.is_whole else 1)


@click.command("maps")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a map.")
def maps_command(name: str | None, as_json: bool) -> None:
    """List the mapping files that ship, or print one, as a beginning for your own.

    \b
    Examples:
      grayline records maps
      grayline records maps asterisk > mine.yaml

    Exit codes: 0 done, 2 used wrongly.
    """
    from streams.captures.convert.map_file import load_text, shipped

    known = shipped()
    if name is not None:
        if name not in known:
            raise click.BadParameter(f"no such map: {name}; choose from {', '.join(known)}", param_hint="NAME")
        if as_json:
            say_json(json.dumps({"name": name, "text": known[name]}, ensure_ascii=False))
        else:
            say(*known[name].splitlines())
        return
    width = max(map(len, known))
    for each, content in known.items():
        map_ = load_text(content, each)
        if as_json:
            row = {"name": each, "topic": map_.topic, "form": map_.input.form, "summary": map_.summary}
            say_json(json.dumps(row, ensure_ascii=False))
        else:
            say(f"{each.ljust(width)}  {map_.topic.ljust(13)}  {map_.input.form.ljust(5)}  {map_.summary}")


def _constants(given: tuple[str, ...]) -> dict[str, str]:
    out = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name or not value:
            raise click.BadParameter(f"{each!r}: expected FIELD=VALUE, as in carrier=mvno3", param_hint="--set")
        out[name] = value
    return out


def _convert(conversion: Conversion, files: tuple[Path, ...], out: Path, rejects: Path | None, shown_max: int) -> None:
    from streams.captures.convert.conversion import Rejection
    from streams.cli.replay import progress

    with ExitStack() as stack:
        records = stack.enter_context(_whole_file(out, files))
        rejected = stack.enter_context(_whole_file(rejects, files)) if rejects is not None else None
        advance = stack.enter_context(progress(files, "convert"))
        for opened in _opened(files, conversion.map.input.encoding, advance):
            for made in conversion.run(opened):
                if not isinstance(made, Rejection):
                    records.write(made + b"\n")
                    continue
                if rejected is not None:
                    rejected.write(made.as_json())
                if conversion.rejected <= shown_max:
                    say(str(made), err=True)
        if (more := conversion.rejected - shown_max) > 0 and shown_max:
            say(f"... and {more:,} more rejected", err=True)


def _opened(files: tuple[Path, ...], encoding: str, advance: Callable[[int], None]) -> Iterator[Opened]:
    from streams.captures.convert.opening import open_file, open_stream

    for file in files:
        if str(file) == "-":
            yield open_stream(sys.stdin.buffer, "standard input", encoding)
        else:
            yield from open_file(file, encoding, advance)


@contextmanager
def _whole_file(path: Path, inputs: tuple[Path, ...]) -> Iterator[IO[bytes]]:
    """A file that gets its name once it is whole; what stood there before stays until then. It is for its owner alone:
    records are personal data."""
    if str(path) == "-":
        stream = click.get_binary_stream("stdout")
        yield stream
        stream.flush()
        return
    if any(str(file) != "-" and path.exists() and path.samefile(file) for file in inputs):
        raise click.UsageError(f"{path} is one of the files to convert: write to another")
    partial = path.with_name(path.name + ".partial")
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        try:
            yield file
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    partial.replace(path)
