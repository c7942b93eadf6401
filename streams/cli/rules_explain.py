"""`grayline rules explain`: why a number was blocked in recorded traffic, or why not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.blocks import as_published
from streams.cli.options import Time
from streams.cli.recorded import Given, capture_problems, day_zone, recorded_traffic, rules_option, zone_option
from streams.runtime.saying import say, say_json

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from streams.craft.explain import Explained

HELP = """Say what the rules made of NUMBER in recorded traffic: which rules looked, what each counter read over which
window, the limit in force and why, the expression with its values, what was missing to fire and by how much, and what
was decided.

Each rule is shown at its first firing, or where it came nearest to one; with --at, at its last look up to then.
`grayline why` asks a running worker the same.

\b
Examples:
  grayline rules explain 010-1111-0001 day.jsonl
  grayline rules explain 010-1111-0001 --at 2026-11-28T10:15:00+09:00 --rule call-rate captures/
  grayline rules explain +821011110001 --rules night.yaml --json mon.parquet tue.parquet | jq .decisions

Exit codes: 0 done, 1 the number is not in the files or they cannot be read, 2 used wrongly.
"""


@click.command("explain", help=HELP, short_help="Say why recorded traffic blocks a number, or why not.")
@click.argument("number")
@recorded_traffic
@rules_option
@click.option("--at", "at_ms", type=Time(), metavar="TIME",
              help="As of this time, RFC 3339 with a zone. [default: all of it]")  # fmt: skip
@click.option("--rule", "only", multiple=True, metavar="NAME", help="Only this rule. Repeatable.")
@zone_option
@click.option("--unmasked", is_flag=True, help="Print the number in full.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def explain(
    number: str,
    traffic: Given,
    rules_path: Path | None,
    at_ms: int | None,
    only: tuple[str, ...],
    zone: ZoneInfo | None,
    unmasked: bool,
    as_json: bool,
) -> None:
    from schemas.numbers import masked
    from schemas.times import rfc3339
    from streams.cli.replay import progress
    from streams.craft.explain import Explainer

    published = as_published(number, traffic.region, "NUMBER")
    rules, recorded = traffic.rules(rules_path), traffic.recorded()
    if unknown := set(only) - {rule.name for rule in rules.rules}:
        raise click.BadParameter(f"no such rule: {', '.join(sorted(unknown))}", param_hint="--rule")
    explainer = Explainer(rules, int(published), at_ms, day_zone(zone, rules))
    trial = recorded.trial(rules, explainer.take, explainer.answer)
    trial.engine.watch(explainer.watch)
    with capture_problems(), progress(recorded.each(), "explain") as advance:
        recorded.run(trial, advance)
    traffic.complain(trial.summary)
    found, shown = explainer.explained(trial.engine), published if unmasked else masked(published)
    _narrow(found, frozenset(only))
    if not found.events:
        when = "" if at_ms is None else f" up to {rfc3339(at_ms)}"
        raise click.ClickException(f"{shown} has no event in {recorded.names}{when}")
    if as_json:
        import orjson

        from streams.craft.explain_words import as_json as explained_json

        say_json(orjson.dumps(explained_json(found, shown, at_ms is not None)))
        return
    from streams.craft.explain_words import lines

    say(*lines(found, shown, at_ms is not None))


def _narrow(found: Explained, only: frozenset[str]) -> None:
    if only:
        found.looks = [look for look in found.looks if look.rule.name in only]
        found.silent = [rule for rule in found.silent if rule.name in only]
        found.decisions = [one for one in found.decisions if one.hold is None or one.hold["rule"] in only]
