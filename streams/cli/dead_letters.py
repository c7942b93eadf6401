"""`grayline dead-letters`: lists, shows and redrives the records that could not be understood."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.cli.blocks import rfc3339
from streams.cli.options import feeds_file
from streams.cli.topics import kafka_options, load_settings
from streams.runtime.saying import say, say_json, say_problem

if TYPE_CHECKING:
    from streams.operators.dead_letters import Letter, Tally, Wanted
    from streams.operators.redriving import RedriveResult

LIST_HELP = """Count the dead letters by feed, topic and reason; with --each, list them one by one.

REDRIVEN counts those that `redrive` produced again, AGAIN those that came back from there. Nothing is shown of a
record's value.

\b
Examples:
  grayline dead-letters list --brokers kafka:9092
  grayline dead-letters list --feed relay7 --each
  grayline dead-letters list --json | jq '.by[] | select(.count > 100)'

Exit codes: 0 done, 1 the topic cannot be read, 2 used wrongly.
"""

SHOW_HELP = """Show one dead letter: where it came from, what is wrong with it, and its fields.

PLACE is PARTITION:OFFSET in the topic dead-letters, as `list` shows it. Values are shown by their shape only (digits as
9, letters as a) and numbers masked; --raw prints the value as it is.

\b
Examples:
  grayline dead-letters show 0:15 --brokers kafka:9092
  grayline dead-letters show 0:15 --raw

Exit codes: 0 done, 1 there is no letter or the topic cannot be read, 2 used wrongly.
"""

REDRIVE_HELP = """Produce dead letters again to the topics that they came from, once what was wrong is mended.

Each goes to its old partition with its key, value and headers, and with the header `grayline.redriven`. Letters that
this version of Grayline still cannot read stay, unless --anyway; say --feeds as workers do. A redrive can be broken off
and begun again: no letter is redriven twice. A record whose time is more than an hour behind its feed counts nowhere
when it comes late.

\b
Examples:
  grayline dead-letters redrive --dry-run --brokers kafka:9092
  grayline dead-letters redrive --feed relay7 --reason bad_time
  grayline dead-letters redrive --place 0:15

Exit codes: 0 done, 1 letters were left or the broker failed, 2 used wrongly.
"""


@click.group("dead-letters")
def command() -> None:
    """List, show and redrive the records that could not be understood.

    \b
    Examples:
      grayline dead-letters list --brokers kafka:9092
      grayline dead-letters show 0:15
      grayline dead-letters redrive --feed relay7 --dry-run
    """


def _which(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that choose letters."""
    for option in (
        click.option("--reason", "reasons", multiple=True, metavar="WORD", help="Only with this reason. Repeatable."),
        click.option("--topic", "topics", multiple=True, metavar="TOPIC", help="Only from this topic. Repeatable."),
        click.option("--feed", "feeds", multiple=True, metavar="FEED", help="Only of this feed. Repeatable."),
    ):
        function = option(function)
    return function


@command.command("list", help=LIST_HELP, short_help="Count them by feed, topic and reason.")
@kafka_options
@_which
@click.option("--each", is_flag=True, help="List the letters one by one.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="With --each, at most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_command(
    brokers: str | None, kafka_config: str | None, feeds: tuple[str, ...], topics: tuple[str, ...],
    reasons: tuple[str, ...], each: bool, limit: int, as_json: bool,
) -> None:  # fmt: skip
    from streams.kafka.settings import KafkaProblem
    from streams.operators.dead_letters import DeadLetters, Redriven, Tally

    settings = load_settings(brokers, kafka_config)
    tallies: dict[tuple[str, str, str], Tally] = {}
    shown: list[Letter] = []
    redriven = Redriven()
    try:
        with DeadLetters(settings) as source:
            redriven = source.redriven()
            for letter in source.letters(_wanted(feeds, topics, reasons)):
                of = letter.feed, letter.came_from[0], letter.reason
                tallies.setdefault(of, Tally()).add(letter, redriven)
                if each and len(shown) < limit:
                    shown.append(letter)
    except KafkaProblem as problem:
        raise click.ClickException(str(problem)) from problem
    if as_json:
        say_json(json.dumps(_listed(tallies, shown, each), ensure_ascii=False))
    elif not tallies:
        say("no dead letters")
    elif each:
        say(*_table([("PLACE", "WRITTEN", "FEED", "CAME FROM", "REASON", "MESSAGE"), *map(_row, shown)]))
        if (more := sum(tally.count for tally in tallies.values()) - len(shown)) > 0:
            say(f"... and {more:,} more (--limit)", err=True)
    else:
        say(*_table(list(_counted(tallies))))


@command.command("show", help=SHOW_HELP, short_help="Show one.")
@click.argument("place", metavar="PLACE")
@kafka_options
@click.option("--raw", is_flag=True, help="Print the value as it is, and the key in full.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show_command(place: str, brokers: str | None, kafka_config: str | None, raw: bool, as_json: bool) -> None:
    from streams.kafka.settings import KafkaProblem
    from streams.operators.dead_letters import DeadLetters

    at = _place(place, "PLACE")
    settings = load_settings(brokers, kafka_config)
    try:
        with DeadLetters(settings) as source:
            letter = source.one(*at)
    except KafkaProblem as problem:
        raise click.ClickException(str(problem)) from problem
    if letter is None:
        raise click.ClickException(f"there is no dead letter at {place}; `dead-letters list --each` shows their places")
    facts = _facts(letter, raw)
    if as_json:
        say_json(json.dumps(facts, ensure_ascii=False))
        return
    for name, fact in facts.items():
        if isinstance(fact, dict):
            say(f"{name}:", *(f"  {inner:<18}{value}" for inner, value in fact.items()))
        else:
            say(f"{name + ':':<12}{'-' if fact is None else fact}")


@command.command("redrive", help=REDRIVE_HELP, short_help="Produce them again.")
@kafka_options
@_which
@click.option("--place", "places", multiple=True, metavar="PARTITION:OFFSET", help="Only this letter. Repeatable.")
@click.option("--anyway", is_flag=True, help="Those too that this version cannot read.")
@feeds_file
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def redrive_command(
    brokers: str | None, kafka_config: str | None, feeds: tuple[str, ...], topics: tuple[str, ...],
    reasons: tuple[str, ...], places: tuple[str, ...], anyway: bool, feeds_path: Path | None, dry_run: bool,
    as_json: bool,
) -> None:  # fmt: skip
    from rules.diagnostics import RuleErrors
    from rules.feeds_file import load_feeds
    from streams.kafka.settings import KafkaProblem
    from streams.operators.redriving import redrive

    wanted = _wanted(feeds, topics, reasons, places)
    try:
        book = load_feeds(feeds_path) if feeds_path is not None else None
    except RuleErrors as error:
        say_problem(error)
        sys.exit(2)
    settings = load_settings(brokers, kafka_config)
    try:
        result = redrive(settings, wanted, anyway=anyway, dry_run=dry_run, feeds=book)
    except KafkaProblem as problem:
        raise click.ClickException(str(problem)) from problem
    if as_json:
        told = {"redriven": dict(sorted(result.redriven.items())), "left": dict(sorted(result.left.items()))}
        say_json(json.dumps(told | {"older_than_an_hour": result.old, "dry_run": dry_run}))
    else:
        _say_result(result, dry_run)
    sys.exit(0 if result.is_whole else 1)


def _say_result(result: RedriveResult, dry_run: bool) -> None:
    from streams.operators.redriving import LEFT

    each = ", ".join(f"{count:,} {topic}" for topic, count in sorted(result.redriven.items())) or "none"
    say(f"{'would redrive' if dry_run else 'redriven'}: {result.redriven.total():,} ({each})")
    for why, count in sorted(result.left.items()):
        say(f"left: {count:,} {LEFT[why]}", err=True)
    if result.old:
        say(
            f"{result.old:,} of them are more than an hour old: where their times are, too, they count nowhere (late)",
            err=True,
        )


def _wanted(
    feeds: tuple[str, ...], topics: tuple[str, ...], reasons: tuple[str, ...], places: tuple[str, ...] = ()
) -> Wanted:
    from streams.operators.dead_letters import Wanted

    chosen = frozenset(_place(text, "--place") for text in places)
    return Wanted(frozenset(feeds), frozenset(topics), frozenset(reasons), chosen)


def _place(text: str, hint: str) -> tuple[int, int]:
    from streams.operators.dead_letters import place_of

    place = place_of(text)
    if place is None:
        raise click.BadParameter(f"{text!r} is no place; write PARTITION:OFFSET, such as 0:15", param_hint=hint)
    return place


def _listed(tallies: dict[tuple[str, str, str], Tally], shown: list[Letter], each: bool) -> dict[str, Any]:
    listed: dict[str, Any] = {
        "letters": sum(tally.count for tally in tallies.values()),
        "by": [
            {"feed": feed, "topic": topic, "reason": reason, "count": tally.count, "redriven": tally.redriven,
             "failed_again": tally.failed_again, "first": _time(tally.first_ms), "last": _time(tally.last_ms),
             "first_place": tally.first_place}
            for (feed, topic, reason), tally in sorted(tallies.items())
        ],
    }  # fmt: skip
    if each:
        listed["each"] = [{k: v for k, v in _facts(letter, False).items() if k != "value"} for letter in shown]
    return listed


def _counted(tallies: dict[tuple[str, str, str], Tally]) -> Iterator[tuple[str, ...]]:
    yield "FEED", "TOPIC", "REASON", "LETTERS", "REDRIVEN", "AGAIN", "FIRST", "LAST", "FIRST PLACE"
    for (feed, topic, reason), tally in sorted(tallies.items()):
        counts = f"{tally.count:,}", f"{tally.redriven:,}", f"{tally.failed_again:,}"
        yield feed, topic, reason, *counts, _time(tally.first_ms) or "-", _time(tally.last_ms) or "-", tally.first_place


def _row(letter: Letter) -> tuple[str, ...]:
    topic, partition, offset = letter.came_from
    came_from = f"{topic} {partition}:{offset}"
    return letter.place, _time(letter.at_ms) or "-", letter.feed, came_from, letter.reason, letter.message


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _time(at_ms: int) -> str | None:
    return None if at_ms < 0 else rfc3339(at_ms)


def _facts(letter: Letter, raw: bool) -> dict[str, Any]:
    """All there is to show of a letter. raw: the value and key as they are."""
    from streams.operators.dead_letters import ERRORS

    topic, partition, offset = letter.came_from
    return {
        "place": letter.place,
        "written": _time(letter.at_ms),
        "feed": letter.feed,
        "topic": topic,
        "came_from": f"{partition}:{offset}",
        "reason": letter.reason,
        "message": letter.message,
        "key": _key(letter.key, raw),
        "whole": letter.whole,
        "headers": {name: _text(value) for name, value in letter.headers if not name.startswith(ERRORS)},
        "value": _text(letter.value) if raw else _fields(letter),
    }


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")


def _key(key: bytes | None, raw: bool) -> str | None:
    from schemas.numbers import masked

    text = _text(key)
    return text if raw or text is None else masked(text)


def _fields(letter: Letter) -> dict[str, str] | str:
    """The names of the value's fields and the shapes of what they hold."""
    from schemas.feeds import FEEDS
    from schemas.objects import ObjectError, read_pairs
    from streams.captures.check import shape

    try:
        pairs = read_pairs(letter.value)
    except ObjectError as error:
        return f"{len(letter.value or b'')} bytes: {error}"
    known = FEEDS[letter.came_from[0]].fields if letter.came_from[0] in FEEDS else {}
    return {name: shape(known[name].kind if name in known else "", value) for name, value in pairs}
