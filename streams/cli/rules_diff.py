"""`grayline rules diff`: which numbers a change of rules would block on recorded traffic, and which no longer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.recorded import Given, capture_problems, day_zone, recorded_traffic, write_file, zone_option
from streams.runtime.saying import say, say_json

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from rules.expressions import Expression
    from rules.model import RuleSet
    from streams.craft.diff import Difference
    from streams.craft.known_good import KnownGood

SHIPPED = "shipped"
HELP = """Say which numbers become blocked when the rules change from OLD to NEW, which are no longer, which are
blocked by another rule or for another time, and which rule is responsible: on recorded traffic of many files and days.

OLD and NEW are rule files or folders; `shipped` stands for the packs that ship. Both run at once, one on each of two
cores. Known-good numbers, of a file or the registry, stand on top. Numbers are masked unless asked for.

--fail-if ends the command with code 1 where a condition holds, over counts such as new_blocks, lost_blocks,
changed_blocks, known_good_blocks, new_reviews; --json shows them all.

\b
Examples:
  grayline rules diff rules/ night.yaml captures/
  grayline rules diff shipped rules/ --known-good hospitals.txt --fail-if 'known_good_blocks > 0' mon.parquet
  grayline rules diff old.yaml new.yaml --html diff.html --fail-if 'new_blocks > 100' captures/*.parquet
  grayline rules diff old.yaml new.yaml --json day.jsonl | jq .counts

Exit codes: 0 done, 1 a condition of --fail-if holds, or the traffic or rules cannot be read, 2 used wrongly.
"""


@click.command("diff", help=HELP, short_help="Say which numbers a change of rules would block.")
@click.argument("old", metavar="OLD", type=click.Path(path_type=Path))
@click.argument("new", metavar="NEW", type=click.Path(path_type=Path))
@recorded_traffic
@click.option("--known-good", "good", metavar="FILE", multiple=True, type=click.Path(exists=True, path_type=Path),
              help="Numbers that must not be hit: one a line, behind a comma whose it is. Repeatable.")  # fmt: skip
@click.option("--fail-if", "fail_if", metavar="CONDITION", multiple=True,
              help="End with code 1 if this holds, such as 'new_blocks > 100'. Repeatable.")  # fmt: skip
@zone_option
@click.option("--show", "most", type=click.IntRange(min=0), default=20, show_default=True, metavar="N",
              help="Numbers that are listed of each kind; known-good ones always are.")  # fmt: skip
@click.option("--html", "page", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
              help="Write a page with plots: blocks by hour, and where limits stand in what was read.")  # fmt: skip
@click.option("--unmasked", is_flag=True, help="Print numbers in full.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with all numbers.")
def diff(
    old: Path,
    new: Path,
    traffic: Given,
    good: tuple[Path, ...],
    fail_if: tuple[str, ...],
    zone: ZoneInfo | None,
    most: int,
    page: Path | None,
    unmasked: bool,
    as_json: bool,
) -> None:
    from schemas.numbers import masked
    from streams.cli.replay import progress
    from streams.craft import diff_words
    from streams.craft.comparison import both
    from streams.craft.diff import COUNTS, difference
    from streams.craft.diff_page import difference_page
    from streams.craft.rule_changes import rule_changes
    from streams.craft.side_by_side import RunBroken
    from streams.craft.spread import Spread

    conditions = [_condition(source, COUNTS) for source in fail_if]
    old_rules, new_rules = _rules(traffic, old), _rules(traffic, new)
    days = day_zone(zone, new_rules)
    recorded, known = traffic.recorded(), _known_good(traffic, good, new_rules)
    if any(str(file) == "-" for file in traffic.files):
        raise click.UsageError("both versions read the traffic: give files, not standard input")
    spread = None
    if page is not None:
        changed = {change.rule for change in rule_changes(old_rules, new_rules)}
        spread = Spread({rule.name: rule for rule in new_rules.rules if rule.name in changed})
    try:
        with capture_problems(), progress(recorded.each(), "diff") as advance:
            watch = None if spread is None else spread.watch
            before, after = both(recorded, old_rules, new_rules, watch, advance)
    except RunBroken as problem:
        raise click.ClickException(str(problem)) from problem
    traffic.complain(after.summary)
    found = difference(old_rules, new_rules, before, after, known, days)
    name: Callable[[str], str] = str if unmasked else masked
    if as_json:
        import orjson

        say_json(orjson.dumps(diff_words.as_json(found, name)))
    else:
        say(*diff_words.lines(found, name, most))
    if page is not None and spread is not None:
        old_by_name = {rule.name: rule for rule in old_rules.rules}
        write_file(page, difference_page(found, before, after, spread, old_by_name, name, days).encode())
    _fail(conditions, found)


def _fail(conditions: list[Expression], found: Difference) -> None:
    from streams.craft.verdict import is_met, values

    counts = found.counts()
    met = [one for one in conditions if is_met(one, counts)]
    for one in met:
        say(f"failed: {one.source} ({values(one, counts)})", err=True)
    if met:
        sys.exit(1)


def _condition(source: str, names: dict[str, str]) -> Expression:
    from rules.expressions import ExpressionErrors
    from streams.craft.verdict import condition

    try:
        return condition(source, names)
    except ExpressionErrors as problem:
        choices = f"; counts are {', '.join(names)}"
        raise click.BadParameter(f"{source}: {problem}{choices}", param_hint="--fail-if") from problem


def _rules(traffic: Given, path: Path) -> RuleSet:
    if str(path) == SHIPPED and not path.exists():
        return traffic.rules(None)
    if not path.exists():
        raise click.BadParameter(f"{path}: no such file or folder", param_hint="OLD NEW")
    return traffic.rules(path)


def _known_good(traffic: Given, files: tuple[Path, ...], rules: RuleSet) -> KnownGood:
    from streams.craft.known_good import KnownGood, KnownGoodProblem, read_known_good

    listed: dict[str, str] = {}
    try:
        for file in files:
            listed |= read_known_good(file, traffic.region)
    except (KnownGoodProblem, OSError) as problem:
        raise click.BadParameter(str(problem), param_hint="--known-good") from problem
    return KnownGood(listed, rules.registry)
