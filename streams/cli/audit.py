"""`grayline audit`: everything that ever happened to a number."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.cli.blocks import as_published, rfc3339
from streams.cli.options import home_region
from streams.cli.topics import kafka_options, load_settings
from streams.cli.trails import evidence_lines, hold_text, load_rules, order_text, rules_option
from streams.runtime.saying import say, say_json

if TYPE_CHECKING:
    from rules.model import RuleSet
    from streams.operators.trail import Trace

EXIT_CODES = "Exit codes: 0 done, 1 nothing is known of the number or the broker cannot be read, 2 used wrongly."


@click.command("audit", epilog=EXIT_CODES)
@click.argument("number")
@rules_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@home_region("a number")
@kafka_options
def command(
    number: str,
    rules_path: Path | None,
    as_json: bool,
    home_region: str,
    brokers: str | None,
    kafka_config: str | None,
) -> None:
    """Show the whole history of NUMBER: each block and review, its evidence, each order with who gave it and why.

    \b
    Examples:
      grayline audit 010-1111-0001 --brokers kafka:9092
      grayline audit +821011110001 --rules rules/ --json | jq .rows[].record.change
    """
    from streams.kafka.settings import KafkaProblem
    from streams.operators.trail import trail_of

    published = as_published(number, home_region, "NUMBER")
    settings = load_settings(brokers, kafka_config)
    rules = load_rules(rules_path, home_region)
    try:
        traces = trail_of(settings, published)
    except KafkaProblem as problem:
        raise click.ClickException(str(problem)) from problem
    if as_json:
        import orjson

        rows = [{"at": trace.at_ms, "topic": trace.topic, "record": trace.record} for trace in traces]
        say_json(orjson.dumps({"number": published, "rows": rows}))
    else:
        for trace in traces:
            say(*_lines(trace, rules))
        if not traces:
            say(f"nothing is known of {published}", err=True)
    sys.exit(0 if traces else 1)


def _lines(trace: Trace, rules: RuleSet) -> list[str]:
    record: dict[str, Any] = trace.record
    at, order, hold = rfc3339(trace.at_ms), record.get("order"), record.get("hold")
    from schemas.topics import REVIEW_QUEUE

    change = str(record.get("change"))
    if hold is None:
        answer = f"refused ({record.get('why')})" if change == "refused" else "obeyed"
        return [f"{at}  order {answer}: {order_text(order or {})}"]
    where = "review: " if trace.topic == REVIEW_QUEUE else ""
    lines = [f"{at}  {where}{change}  {hold_text(hold)}"]
    if change in ("opened", "extended"):
        lines += [f"    {line}" for line in evidence_lines(hold, rules)]
    return lines
