"""`grayline review`: the desk at which people decide what rules must not decide alone."""

from __future__ import annotations

import sys
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.cli.blocks import as_published, rfc3339
from streams.cli.options import Duration, home_region
from streams.cli.ordering import EXIT_CODES, Asked, Desk, options
from streams.cli.reading import holds_in_force, states_in_force
from streams.cli.reporters import decide, reports_option
from streams.cli.topics import kafka_options, load_settings
from streams.cli.trails import evidence_lines, hold_text, load_rules, rules_option
from streams.runtime.clock import now_ms
from streams.runtime.saying import counted, say, say_json

if TYPE_CHECKING:
    from streams.kafka.settings import KafkaSettings
    from streams.operators.blocks import BlockChange


_of_rule = click.option(
    "--rule", default="", metavar="NAME", help="Only the hold of this rule. [default: all of the number]"
)


@click.group("review")
def command() -> None:
    """List the holds that wait for people, and decide them.

    \b
    Examples:
      grayline review list
      grayline review show 010-1111-0001
      grayline review take 010-1111-0001 --reason "calling the holder"
      grayline review approve 010-1111-0001 --rule varied-bulk --reason "lottery texts, seen by two"
    """


@command.command("list", short_help="List what is in review.")
@click.option("--rule", default="", metavar="NAME", help="Only holds of this rule.")
@click.option(
    "--by", "order", type=click.Choice(["score", "time"]), default="score", show_default=True,
    help="time: the one whose time ends first on top.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@kafka_options
def list_(rule: str, order: str, as_json: bool, brokers: str | None, kafka_config: str | None) -> None:
    """List the numbers in review, the most urgent on top; of equals the one whose time ends first.

    A line begins with how far the number is past its rules, added up, and the time left to decide; a time with `!` ends
    in a block (docs/emergency.md).

    \b
    Examples:
      grayline review list --brokers kafka:9092
      grayline review list --by time
      grayline review list --rule varied-bulk --json | jq -r .numbers[].number

    Exit codes: 0 done, 1 the broker cannot be read, 2 used wrongly.
    """
    from streams.operators.urgency import urgency

    found = [
        (change, [hold for hold in holds_in_force(change) if rule in ("", hold["rule"])])
        for change in _in_review(load_settings(brokers, kafka_config))
    ]
    waiting = [(-urgency(holds), min(map(_time_ends, holds)), change.number, holds) for change, holds in found if holds]
    waiting.sort(key=itemgetter(0, 1, 2) if order == "score" else itemgetter(1, 0, 2))
    now = now_ms()
    if as_json:
        import orjson

        rows = [
            {"number": number, "score": -score, "left": max(0, ends - now), "holds": holds}
            for score, ends, number, holds in waiting
        ]
        say_json(orjson.dumps({"count": len(rows), "numbers": rows}))
        return
    for score, _, number, holds in waiting:
        say(*(f"{-score:6.2f}  {_left(hold, now):>8}  {number:<16}  {hold_text(hold)}" for hold in holds))
    say(f"{counted(len(waiting), 'number')} in review")


@command.command("show", short_help="Show why a number is in review.")
@click.argument("number")
@rules_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@home_region("a number")
@kafka_options
def show(
    number: str,
    rules_path: Path | None,
    as_json: bool,
    home_region: str,
    brokers: str | None,
    kafka_config: str | None,
) -> None:
    """Show each hold on NUMBER that is in review, with its evidence. `grayline audit` shows what was before.

    \b
    Example:
      grayline review show 010-1111-0001 --rules rules/

    Exit codes: 0 done, 1 the number is not in review or the broker cannot be read, 2 used wrongly.
    """
    published = as_published(number, home_region, "NUMBER")
    settings, rules = load_settings(brokers, kafka_config), load_rules(rules_path, home_region)
    holds = [hold for change in _in_review(settings) if change.number == published for hold in holds_in_force(change)]
    if as_json:
        import orjson

        say_json(orjson.dumps({"number": published, "holds": holds}))
    for hold in () if as_json else holds:
        say(f"{published}  {hold_text(hold)}", f"    since {rfc3339(hold['from'])}")
        say(*(f"    {line}" for line in evidence_lines(hold, rules)))
    if not holds and not as_json:
        say(f"{published} is not in review", err=True)
    sys.exit(0 if holds else 1)


@command.command("propose", short_help="Ask others to decide about a number.", epilog=EXIT_CODES)
@click.argument("number")
@click.option(
    "--for", "for_ms", type=Duration(), required=True, metavar="DURATION", help="How long it would be blocked."
)
@options
def propose(number: str, for_ms: int, asked: Asked) -> None:
    """Put NUMBER into review, under the name `operator`: others approve or reject it. It blocks nobody until then.

    \b
    Example:
      grayline review propose 010-1111-0001 --for 7d --reason "seen in three complaints this morning"
    """
    desk = Desk(asked)
    desk.give([desk.order("propose", desk.published(number), for_ms=for_ms)])


@command.command("take", short_help="Say that you look at a number.", epilog=EXIT_CODES)
@click.argument("number")
@_of_rule
@options
def take(number: str, rule: str, asked: Asked) -> None:
    """Say that you look at the holds on NUMBER that are in review, so that nobody else does the same.

    The list shows it; somebody else may take them after you. Their time goes on.

    \b
    Example:
      grayline review take 010-1111-0001 --reason "calling the holder"
    """
    desk = Desk(asked)
    desk.give([desk.order("take", desk.published(number), rule=rule)])


@command.command("approve", short_help="Block what is in review.", epilog=EXIT_CODES)
@click.argument("number")
@_of_rule
@click.option(
    "--for", "for_ms", type=Duration(), metavar="DURATION", help="How long from now. [default: the hold's own end]"
)
@reports_option("right", "`unjudged`: the block has other grounds.")
@options
def approve(
    number: str,
    rule: str,
    for_ms: int | None,
    verdict: str,
    asked: Asked,
) -> None:
    """Enforce the holds on NUMBER that are in review, with their evidence.

    \b
    Example:
      grayline review approve 010-1111-0001 --rule varied-bulk --reason "lottery texts, seen by two"
    """
    desk = Desk(asked)
    decide(desk, [desk.order("approve", desk.published(number), rule=rule, for_ms=for_ms)], verdict)


@command.command("reject", short_help="Let what is in review go.", epilog=EXIT_CODES)
@click.argument("number")
@_of_rule
@click.option(
    "--for", "for_ms", type=Duration(), metavar="DURATION",
    help="How long from now the rule's hits on this number are passed over. [default: until the hold's own end]",
)  # fmt: skip
@reports_option("wrong", "`unjudged`: they reported in good faith.")
@options
def reject(
    number: str,
    rule: str,
    for_ms: int | None,
    verdict: str,
    asked: Asked,
) -> None:
    """End the holds on NUMBER that are in review, and do not ask again until their end.

    \b
    Example:
      grayline review reject 010-1111-0001 --rule varied-bulk --for 30d --reason "an opinion poll; the firm's line"
    """
    desk = Desk(asked)
    decide(desk, [desk.order("reject", desk.published(number), rule=rule, for_ms=for_ms)], verdict)


def _in_review(settings: KafkaSettings) -> list[BlockChange]:
    """The numbers that are in review now. Raises ClickException."""
    from schemas.topics import REVIEW_QUEUE

    return states_in_force(settings, topic=REVIEW_QUEUE)


def _time_ends(hold: dict[str, Any]) -> int:
    """The time until which people can decide: then silence blocks, or the hold ends."""
    ends: int = hold.get("review_by") or hold["until"]
    return ends


def _left(hold: dict[str, Any], now: int) -> str:
    """The time left to decide, in its two largest units."""
    minutes = max(0, _time_ends(hold) - now) // 60_000
    days, hours, left = minutes // 1440, minutes // 60 % 24, minutes % 60
    text = f"{days}d {hours}h" if days else f"{hours}h {left}m" if hours else f"{left}m"
    return text + ("!" if hold.get("review_by") else "")
