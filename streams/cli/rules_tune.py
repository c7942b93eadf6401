"""`grayline rules tune`: what a rule would catch and hit at other limits, on labelled traffic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.recorded import (
    Given,
    capture_problems,
    day_zone,
    recorded_traffic,
    rules_option,
    write_file,
    zone_option,
)
from streams.runtime.saying import say, say_json

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

HELP = """Sweep the limits of RULE over labelled traffic: for each value the offenders it catches, the innocents it
hits, and the contacts that offenders had before, as a table, JSON and a picture; and where the file's value stands.

Labels are what `grayline traffic --labels` writes, a JSON object a line: number, kind, innocent, first_at, events. The
rule is tried alone, as if it enforced; other rules may catch what it lets go. One limit is changed at a time, inside
hours in proportion. An offender counts as wanted from 15 records on. Contacts are messages and set-ups of calls, as far
as the rule counts their topics.

\b
Examples:
  grayline traffic --duration 1h --out day.jsonl --labels labels.jsonl
  grayline rules tune call-rate day.jsonl --labels labels.jsonl
  grayline rules tune call-rate --limit ended=5:40:5 captures/ --labels labels.jsonl --html sweep.html
  grayline rules tune night --rules night.yaml --json day.jsonl --labels labels.jsonl | jq .limits[].standing

Exit codes: 0 done, 1 the traffic, labels or rules cannot be read, 2 used wrongly.
"""


@click.command("tune", help=HELP, short_help="Sweep a rule's limits over labelled traffic.")
@click.argument("rule")
@recorded_traffic
@click.option("--labels", "label_files", metavar="FILE", required=True, multiple=True,
              type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="The truth about each number. Repeatable.")  # fmt: skip
@rules_option
@click.option("--limit", "limits", metavar="NAME=VALUES", multiple=True,
              help="A limit and its values: 5,10,15 or FROM:TO:STEP. Repeatable. [default: all of them]")  # fmt: skip
@zone_option
@click.option("--html", "page", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
              help="Write a page with a picture of the trade-off as well.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def tune(
    rule: str,
    traffic: Given,
    label_files: tuple[Path, ...],
    rules_path: Path | None,
    limits: tuple[str, ...],
    zone: ZoneInfo | None,
    page: Path | None,
    as_json: bool,
) -> None:
    from schemas.subjects import NUMBER
    from streams.cli.replay import progress
    from streams.craft import tune_words
    from streams.craft.tune import settings_of, sweep
    from streams.traffic.labels import read_labels

    rules = traffic.rules(rules_path)
    chosen = next((one for one in rules.rules if one.name == rule), None)
    if chosen is None:
        raise click.BadParameter(f"no such rule: {rule}", param_hint="RULE")
    if chosen.subject != NUMBER.name:
        raise click.ClickException(f"{rule} is about {chosen.subject}s: labels tell the truth about numbers")
    settings = settings_of(chosen, _asked(limits, [name for name in chosen.limits if name in chosen.when.names]))
    if not settings:
        raise click.ClickException(f"{rule} has no limit: name a number of its `when` under `limits`")
    try:
        labels = [label for file in label_files for label in read_labels(file)]
    except (ValueError, OSError) as problem:
        raise click.ClickException(str(problem)) from problem
    recorded = traffic.recorded()
    with capture_problems(), progress(recorded.each(), "tune") as advance:
        found = sweep(recorded, rules, chosen, labels, settings, day_zone(zone, rules), advance)
    traffic.complain(found.summary)
    if page is not None:
        write_file(page, tune_words.picture(found).encode())
    if as_json:
        import orjson

        say_json(orjson.dumps(tune_words.as_json(found)))
    else:
        say(*tune_words.lines(found))


def _asked(limits: tuple[str, ...], known: list[str]) -> dict[str, list[float]]:
    from streams.craft.tune import values_of

    out: dict[str, list[float]] = {}
    for text in limits:
        name, _, values = text.partition("=")
        if name not in known:
            raise click.BadParameter(f"no such limit: {name}; choose from {', '.join(known)}", param_hint="--limit")
        try:
            out[name] = list(values_of(values))
        except ValueError as problem:
            raise click.BadParameter(
                f"{text}: write 5,10,15 or FROM:TO:STEP ({problem})", param_hint="--limit"
            ) from problem
    return out
