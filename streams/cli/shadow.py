"""`grayline shadow`: whom rules in shadow mode would block."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click

from streams.cli.blocks import as_published, rfc3339
from streams.cli.options import home_region
from streams.cli.reading import holds_in_force, states_in_force
from streams.cli.topics import kafka_options, load_settings
from streams.cli.trails import evidence_lines, hold_text, load_rules, rules_option
from streams.runtime.saying import say, say_json

EXIT_CODES = "Exit codes: 0 done, 1 the broker cannot be read, 2 used wrongly."


@click.group("shadow")
def command() -> None:
    """See whom rules in shadow mode would block. Nobody is blocked by them.

    \b
    Examples:
      grayline shadow list
      grayline shadow list --by-rule
    """


@command.command("list", short_help="List whom rules in shadow mode would block.", epilog=EXIT_CODES)
@click.option("--rule", default="", metavar="NAME", help="Only holds of this rule.")
@click.option("--number", default="", metavar="NUMBER", help="Only this number, in any spelling.")
@click.option("--by-rule", is_flag=True, help="Only count the numbers of each rule.")
@click.option("--evidence", is_flag=True, help="Show the expression of each hold with its values as well.")
@rules_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@home_region("a NUMBER")
@kafka_options
def list_(
    rule: str,
    number: str,
    by_rule: bool,
    evidence: bool,
    rules_path: Path | None,
    as_json: bool,
    home_region: str,
    brokers: str | None,
    kafka_config: str | None,
) -> None:
    """List the numbers that rules in shadow mode would block now, from the topic shadow-events, the oldest hold on top.

    Promote a rule by the word behind `mode:` in its file; `grayline rules diff` shows whom that hits.

    \b
    Examples:
      grayline shadow list --brokers kafka:9092
      grayline shadow list --rule many-calls --evidence
      grayline shadow list --by-rule --json | jq .rules
    """
    from schemas.topics import SHADOW_EVENTS

    only = as_published(number, home_region) if number else ""
    rules = load_rules(rules_path, home_region) if evidence and not as_json else None
    found = [
        (change.number, hold)
        for change in states_in_force(load_settings(brokers, kafka_config), topic=SHADOW_EVENTS)
        for hold in holds_in_force(change)
        if rule in ("", hold["rule"]) and only in ("", change.number)
    ]
    found.sort(key=lambda one: (one[1]["from"], one[0]))
    counts = Counter(hold["rule"] for _, hold in found)
    numbers = len({held for held, _ in found})
    if as_json:
        _as_json(found, counts, numbers, by_rule)
        return
    if by_rule:
        say(*(f"{count:>9,}  {name}" for name, count in counts.most_common()))
    for held, hold in () if by_rule else found:
        say(f"{held:<16}  since {rfc3339(hold['from'])}  {hold_text(hold)}")
        if rules is not None:
            say(*(f"    {line}" for line in evidence_lines(hold, rules)))
    say(f"{numbers:,} {'number' if numbers == 1 else 'numbers'} in shadow")


def _as_json(found: list[tuple[str, dict[str, Any]]], counts: Counter[str], numbers: int, by_rule: bool) -> None:
    import orjson

    out: dict[str, Any] = {"count": numbers, "rules": dict(counts.most_common())}
    if not by_rule:
        out["holds"] = [{"number": held, "hold": hold} for held, hold in found]
    say_json(orjson.dumps(out))
