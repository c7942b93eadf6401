"""`grayline state`: inspects, verifies and exports the snapshots of a stopped worker."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from schemas.feeds import order_topics
from streams.cli.blocks import rfc3339
from streams.cli.options import home_region
from streams.runtime.saying import counted, say, say_json, say_problem

if TYPE_CHECKING:
    from rules.model import RuleSet
    from streams.engine.engine import Engine
    from streams.state.local import LocalState
    from streams.state.manifest import Manifest

HELP = """Inspect, verify or export the snapshots of a stopped worker.

DIR is the folder of `grayline run --state`. Nothing in it is changed.

\b
Examples:
  grayline state inspect /var/lib/grayline
  grayline state verify /var/lib/grayline
  grayline state export /var/lib/grayline --number 010-1234-5678 --show-numbers
"""

INSPECT_HELP = """Show the snapshots: their offsets, their age and their size.

`numbers` counts the numbers with counters, by topic: one that called and sent messages counts in both topics.

\b
Examples:
  grayline state inspect /var/lib/grayline
  grayline state inspect /var/lib/grayline --json | jq '.partitions[].offsets'

Exit codes: 0 done, 1 something is damaged, 2 DIR is in use or holds no state, or used wrongly.
"""

VERIFY_HELP = """Check every snapshot: the length and CRC-32 of each chunk, and that all load as at a worker's start.

Equal counters and clocks print an equal digest.

\b
Examples:
  grayline state verify /var/lib/grayline
  grayline state verify /var/lib/grayline --rules rules/

Exit codes: 0 whole, 1 something is damaged (the worker would restore it from Kafka), 2 DIR is in use or holds no state,
or used wrongly.
"""

EXPORT_HELP = """Print the readings of all counters of every number, one JSON object a line.

Each counter is read as of its number's newest event on the counter's topic; null means that nothing was counted.
Numbers are masked unless --show-numbers.

\b
Examples:
  grayline state export /var/lib/grayline --partition 3 > partition-3.jsonl
  grayline state export /var/lib/grayline --number 010-1234-5678 --show-numbers
  grayline state export /var/lib/grayline | jq 'select(.topics.cdr.counters.call_rate > 20)'

Exit codes: 0 done, 1 something is damaged, 2 DIR is in use or holds no state, or used wrongly.
"""

_directory = click.argument("directory", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
_rules = click.option(
    "--rules", "rules_path", envvar="GRAYLINE_RULES", type=click.Path(path_type=Path),
    help="Rule file or folder with the counters to look for. [default: the shipped packs]",
)  # fmt: skip
_partitions = click.option(
    "--partition", "wanted", multiple=True, type=click.IntRange(min=0), help="Only this partition. Repeatable."
)


@click.group("state", help=HELP)
def command() -> None:
    pass


@command.command("inspect", help=INSPECT_HELP, short_help="Show what the snapshots hold.")
@_directory
@_partitions
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def inspect(directory: Path, wanted: tuple[int, ...], as_json: bool) -> None:
    with opened(directory) as state:
        rows = [survey(state, manifest) for manifest in chosen(state, wanted)]
        whose = state.identity
    if as_json:
        say_json(
            json.dumps(
                {"format": whose.format, "cluster": whose.cluster, "group": whose.group, "partitions": rows}
            )
        )  # fmt: skip
    else:
        say(f"group {whose.group}, Kafka cluster {whose.cluster}, format {whose.format}")
        for line in table(rows) if rows else ["no snapshot yet"]:
            say(line)
    if damaged := [row["damage"] for row in rows if row["damage"]]:
        for what in damaged:
            say(f"damaged: {what}", err=True)
        sys.exit(1)


@command.command("verify", help=VERIFY_HELP, short_help="Check that the snapshots are whole.")
@_directory
@_partitions
@_rules
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def verify(directory: Path, wanted: tuple[int, ...], rules_path: Path | None, as_json: bool) -> None:
    rules = load_rules(rules_path)
    rows: list[dict[str, Any]] = []
    with opened(directory) as state:
        for manifest in chosen(state, wanted):
            note_other_rules(manifest, rules)
            faults, digest = check(state, manifest, rules)
            chunks, size = len(manifest.chunks), manifest.chunk_bytes
            rows.append({"partition": manifest.partition, "chunks": chunks, "bytes": size, "digest": digest or None,
                         "faults": faults})  # fmt: skip
            for fault in faults:
                say(f"partition {manifest.partition}: {fault}", err=True)
            if not faults and not as_json:
                held = counted(chunks, "chunk")
                say(f"partition {manifest.partition}: {held}, {size:,} bytes, whole; digest {digest}")
        unnamed = [] if wanted else state.unnamed()
        if unnamed:
            say(f"{counted(len(unnamed), 'chunk')} that no snapshot names, such as {unnamed[0]}", err=True)
        if not state.partitions() and not as_json:
            say("no snapshot yet")
    whole = not unnamed and not any(row["faults"] for row in rows)
    if as_json:
        say_json(json.dumps({"whole": whole, "partitions": rows, "unnamed_chunks": len(unnamed)}))
    sys.exit(0 if whole else 1)


@command.command("export", help=EXPORT_HELP, short_help="Print the readings of all counters.")
@_directory
@_partitions
@click.option(
    "--number", "numbers", multiple=True, metavar="NUMBER", help="Only this number, in any spelling. Repeatable."
)
@_rules
@click.option("--format", "form", type=click.Choice(["json"]), default="json", show_default=True, help="JSON lines.")
@click.option("--json", is_flag=True, expose_value=False, help="The same as --format json, which is the only one.")
@click.option("--show-numbers", is_flag=True, help="Print numbers in full.")
@home_region("a NUMBER")
def export(
    directory: Path,
    wanted: tuple[int, ...],
    numbers: tuple[str, ...],
    rules_path: Path | None,
    form: str,
    show_numbers: bool,
    home_region: str,
) -> None:
    from schemas.numbers import normalise
    from streams.engine.engine import Engine

    only = frozenset(normalise(number, home_region).key for number in numbers)
    rules = load_rules(rules_path)
    with opened(directory) as state:
        for manifest in chosen(state, wanted):
            note_other_rules(manifest, rules)
            engine = Engine(rules, also=order_topics())
            engine.partitions = manifest.partitions
            for chunk in state.chunks(manifest):
                engine.load(manifest.partition, chunk)
            for line in exported(engine, manifest.partition, only, show_numbers):
                say_json(json.dumps(line, ensure_ascii=False))


# -- what the commands share -----------------------------------------------------------------------------------


@contextmanager
def opened(directory: Path) -> Iterator[LocalState]:
    """Opens the folder's state, read-only. A problem ends the command with a message."""
    from streams.counting.image import ImageError
    from streams.state.local import LocalState, StateDamaged, StateFailed, StateRefused

    try:
        state = LocalState.read(directory)
        try:
            yield state
        finally:
            state.close()
    except (StateRefused, StateDamaged, StateFailed, ImageError) as problem:
        say(f"Error: {problem}", err=True)
        sys.exit(getattr(problem, "exit_code", 1))


def chosen(state: LocalState, wanted: tuple[int, ...]) -> list[Manifest]:
    if missing := sorted(set(wanted) - set(state.partitions())):
        held = ", ".join(map(str, state.partitions())) or "none"
        raise click.BadParameter(
            f"no snapshot of partition {missing[0]} here; there are: {held}", param_hint="--partition"
        )
    manifests = [state.manifest(partition) for partition in sorted(set(wanted)) or state.partitions()]
    return [manifest for manifest in manifests if manifest is not None]


def load_rules(path: Path | None) -> RuleSet:
    from rules.load import RuleErrors, load, packs

    try:
        return load([path or packs()])
    except RuleErrors as error:
        say_problem(error)
        sys.exit(2)


def note_other_rules(manifest: Manifest, rules: RuleSet) -> None:
    if manifest.rules_version != rules.version:
        say(
            f"partition {manifest.partition} was counted under rules {manifest.rules_version}, these are "
            f"{rules.version}: counters that only the former have are left out (--rules)",
            err=True,
        )


# -- inspect ---------------------------------------------------------------------------------------------------


def survey(state: LocalState, manifest: Manifest) -> dict[str, Any]:
    """All that `inspect` shows of one partition. Damage is reported; chunks after it are not counted."""
    import numpy as np

    from streams.counting.image import ImageError, decode
    from streams.counting.rows import NUMBER
    from streams.state.local import StateDamaged

    numbers: dict[str, list[np.ndarray]] = {}
    counters: dict[str, list[dict[str, str]]] = {}
    damage = ""
    try:
        for piece in state.chunks(manifest):
            fields, arrays = decode(piece)
            if fields["kind"] == "rows":
                numbers.setdefault(fields["topic"], []).append(arrays["block"][:, NUMBER].copy())
                counters[fields["topic"]] = [{"name": c["name"], "id": c["id"]} for c in fields["counters"]]
    except (StateDamaged, ImageError) as error:
        damage = f"partition {manifest.partition}: {error}"
    return {
        "partition": manifest.partition,
        "partitions": manifest.partitions,
        "snapshot": manifest.snapshot,
        "format": manifest.format,
        "taken_at": rfc3339(manifest.taken_ms),
        "offsets": manifest.offsets,
        "numbers": {topic: len(np.unique(np.concatenate(parts))) for topic, parts in sorted(numbers.items())},
        "chunks": len(manifest.chunks),
        "bytes": manifest.chunk_bytes,
        "rules_version": manifest.rules_version,
        "counters": {topic: counters[topic] for topic in sorted(counters)},
        "damage": damage,
    }


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """The lines of the table: one per partition and topic, aligned; then the counters."""
    heads = ("PARTITION", "TAKEN AT", "TOPIC", "OFFSET", "NUMBERS", "CHUNKS", "BYTES", "RULES")
    lines = [heads]
    for row in rows:
        first = True
        for topic in sorted({*row["offsets"], *row["numbers"]}):
            own = (str(row["partition"]), row["taken_at"]) if first else ("", "")
            whole = (str(row["chunks"]), f"{row['bytes']:,}", row["rules_version"]) if first else ("", "", "")
            numbers = "damaged" if row["damage"] else f"{row['numbers'].get(topic, 0):,}"
            lines.append((*own, topic, str(row["offsets"].get(topic, "-")), numbers, *whole))
            first = False
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
    yield ""
    names = {topic: [c["name"] for c in counters] for row in rows for topic, counters in row["counters"].items()}
    for topic, said in sorted(names.items()):
        yield f"counters of {topic}: {', '.join(said)}"


# -- verify ----------------------------------------------------------------------------------------------------


def check(state: LocalState, manifest: Manifest, rules: RuleSet) -> tuple[list[str], str]:
    """Returns (everything that is wrong with one partition's snapshot, the digest of its state if nothing is)."""
    from streams.counting.image import ImageError
    from streams.engine.engine import Engine
    from streams.state.local import StateDamaged

    faults: list[str] = []
    engine = Engine(rules, also=order_topics())
    engine.partitions = manifest.partitions
    for chunk in manifest.chunks:
        try:
            engine.load(manifest.partition, state.chunk(chunk))
        except StateDamaged as error:
            faults.append(str(error))
        except ImageError as error:
            faults.append(f"chunk {chunk.key} does not load: {error}")
    return faults, "" if faults else engine.digest(manifest.partition)


# -- export ----------------------------------------------------------------------------------------------------


def exported(engine: Engine, partition: int, only: frozenset[int], show_numbers: bool) -> Iterator[dict[str, Any]]:
    """Yields one object per number, in the order of their keys. only: the keys wanted; all if empty."""
    import numpy as np

    from schemas.numbers import masked, published

    topics = list(engine.readings(partition))
    known = [numbers for _, numbers, _, _ in topics]
    every = np.unique(np.concatenate([np.zeros(0, np.int64), *known]))
    if only:
        every = every[np.isin(every, sorted(only))]
    row_indices = [np.searchsorted(numbers, every) for numbers in known]
    for n, number in enumerate(every.tolist()):
        readings_by_topic = {}
        for (topic, numbers, newest_ms, counters), rows_of in zip(topics, row_indices, strict=True):
            i = int(rows_of[n])
            if i < len(numbers) and numbers[i] == number:
                readings = {name: _rounded(float(values[i])) for name, values in counters.items()}
                readings_by_topic[topic] = {"newest": rfc3339(int(newest_ms[i])), "counters": readings}
        shown = published(number) if show_numbers and number > 0 else masked(number)
        yield {"number": shown, "partition": partition, "topics": readings_by_topic}


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
