"""`grayline deadlines`: how long it takes from an event to the block, and from there to each blocker."""

from __future__ import annotations

import sys
from typing import Any

import click

from streams.cli.options import Duration
from streams.cli.topics import kafka_options, load_settings
from streams.runtime.clock import now_ms
from streams.runtime.saying import say, say_json


@click.command("deadlines")
@click.option(
    "--within", "within_ms", type=Duration(), default="10m", show_default=True, metavar="DURATION",
    help="How long each of the two ways may take.",
)  # fmt: skip
@click.option(
    "--since", "since_ms", type=Duration(), default="1d", show_default=True, metavar="DURATION",
    help="Look at the changes of this last time.",
)  # fmt: skip
@click.option(
    "--blocker", "blockers", multiple=True, metavar="NAME",
    help="A blocker that must have applied every change, though it may never have said a word. Repeatable. [default: "
    "those that acknowledge, from their first word on]",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; times in ms.")
@kafka_options
def command(
    within_ms: int,
    since_ms: int,
    blockers: tuple[str, ...],
    as_json: bool,
    brokers: str | None,
    kafka_config: str | None,
) -> None:
    """Show how long blocks took: from the event by which a rule decided to the visible block, and from there until each
    blocker had applied it, by what blockers say on the topic block-acks.

    For each: how many, half and 99 % of them within, and how many took longer than --within; of blockers also the
    changes that are missing although their time is over, and times by clocks that cannot be right.

    \b
    Examples:
      grayline deadlines --brokers kafka:9092
      grayline deadlines --within 2m --since 1h --blocker switch-7 --blocker switch-8 --json

    Exit codes: 0 every limit was kept, 1 one was not or the broker cannot be read, 2 used wrongly.
    """
    from streams.kafka.settings import KafkaProblem
    from streams.operators.deadlines import read

    settings = load_settings(brokers, kafka_config)
    now = now_ms()
    try:
        found = read(settings, now - since_ms, now, within_ms, blockers)
    except KafkaProblem as problem:
        raise click.ClickException(str(problem)) from problem
    decided, applied = found.decided.shown(), [blocker.shown() for blocker in found.blockers]
    if as_json:
        import orjson

        row = {"kept": found.are_kept, "within": within_ms, "decided": decided, "blockers": applied}
        say_json(orjson.dumps(row))
    else:
        say(f"event to visible block  {_shown(decided)}")
        say(*(f"visible to {row['blocker']}  {_shown(row)}{_trouble(row)}" for row in applied))
        if not applied:
            say("no blocker has acknowledged anything")
        say("every limit was kept" if found.are_kept else "a limit was not kept")
    sys.exit(0 if found.are_kept else 1)


def _shown(row: dict[str, Any]) -> str:
    if not row["count"]:
        return "none"
    return f"{row['count']}: half {_seconds(row['p50'])}, 99 % {_seconds(row['p99'])}, late {row['late']}"


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.1f} s"


def _trouble(row: dict[str, Any]) -> str:
    words = {
        "missing": "missing", "waiting": "not yet", "clock_off": "by a clock that is off", "again": "twice",
        "unknown": "of unknown events",
    }  # fmt: skip
    return "".join(f", {row[name]} {said}" for name, said in words.items() if row[name])
