"""`grayline reporters`: who reports are believed of, and judgements that have to be repeated."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from streams.cli.blocks import as_published
from streams.cli.control import login
from streams.cli.options import home_region
from streams.cli.registry import told_entries
from streams.cli.topics import kafka_options, load_settings
from streams.runtime.clock import now_ms
from streams.runtime.saying import say, say_json

if TYPE_CHECKING:
    from streams.cli.ordering import Desk
    from streams.operators.ordering import OrderAnswer

JUDGED = ("right", "wrong")
UNJUDGED = "unjudged"


@click.group("reporters")
def command() -> None:
    """Show who of the reporters counts less, and repeat a judgement.

    \b
    Examples:
      grayline reporters list
      grayline reporters judge 010-1111-0001 wrong --order 5f3c
    """


@command.command("list", short_help="List the reporters who were judged.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@kafka_options
def list_(as_json: bool, brokers: str | None, kafka_config: str | None) -> None:
    """List the reporters who were judged, those who count least on top: credit, number, how many reports were right and
    wrong. Judgements of registry files are not among them.

    \b
    Examples:
      grayline reporters list --brokers kafka:9092
      grayline reporters list --json | jq '.reporters[] | select(.credit < 0.5)'

    Exit codes: 0 done, 1 the broker cannot be read, 2 used wrongly.
    """
    from streams.operators.judging import standings

    found = standings(told_entries(load_settings(brokers, kafka_config)), now_ms())
    if as_json:
        say_json(json.dumps({"count": len(found), "reporters": [asdict(one) for one in found]}))
        return
    say(*(f"{one.credit:5.3f}  {one.reporter:<16}  {one.upheld} right  {one.rejected} wrong" for one in found))
    say(_counted(len(found)))


@command.command("judge", short_help="Judge those who reported a number.")
@click.argument("number")
@click.argument("verdict", type=click.Choice(JUDGED))
@click.option("--order", required=True, metavar="ID", help="The order by which it was decided: it judges each once.")
@click.option("--operator", default="", metavar="NAME", help="Who says so. [default: the user's login name]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@home_region("a number")
@kafka_options
def judge(
    number: str,
    verdict: str,
    order: str,
    operator: str,
    as_json: bool,
    home_region: str,
    brokers: str | None,
    kafka_config: str | None,
) -> None:
    """Judge everybody who reported NUMBER within the last eight days, by handsets that the network knows.

    `review approve`, `review reject` and `release --reports` do so themselves: it is for what they could not write.

    \b
    Example:
      grayline reporters judge 010-1111-0001 wrong --order 5f3c

    Exit codes: 0 written, 1 the broker cannot be read or did not take it, 2 used wrongly.
    """
    from streams.kafka.settings import KafkaProblem
    from streams.operators import judging

    now, settings = now_ms(), load_settings(brokers, kafka_config)
    published = as_published(number, home_region, "NUMBER")
    asked = judging.Verdict(published, verdict, now, order, operator or login() or "unknown")
    try:
        count = len(judging.judge(settings, asked, judging.judged_before(told_entries(settings))))
    except KafkaProblem as problem:
        raise click.ClickException(str(problem)) from problem
    if as_json:
        say_json(json.dumps({"number": published, "verdict": verdict, "judged": count}))
    else:
        say(f"judged {verdict}: {_counted(count)} of {published}")


def reports_option(default: str, means: str) -> Callable[..., Any]:
    """The option by which a decision about a number judges its reporters too."""
    return click.option(
        "--reports", "verdict", type=click.Choice([*JUDGED, UNJUDGED]), default=default, show_default=True,
        help=f"Judgement of those who reported the number, by which each counts from now on. {means}",
    )  # fmt: skip


def decide(desk: Desk, orders: Sequence[Any], verdict: str, timeout_s: float | None = None) -> None:
    """Gives the orders, and judges the reporters of the numbers about which they were obeyed. Ends the process as
    `Desk.give` does: a judgement that cannot be written is said, and undoes nothing."""
    answers = desk.ask(orders, timeout_s)
    if verdict != UNJUDGED:
        _judge(desk, [answer for answer in answers if answer.is_obeyed], verdict)
    desk.end(answers, timeout_s)


def _judge(desk: Desk, obeyed: Sequence[OrderAnswer], verdict: str) -> None:
    from streams.kafka.settings import KafkaProblem
    from streams.operators import judging

    before = None
    for order in (answer.order for answer in obeyed):
        asked = judging.Verdict(order.number, verdict, order.at, order.id, order.operator)
        try:
            if before is None:
                before = judging.judged_before(told_entries(desk.settings))
            before += judging.judge(desk.settings, asked, before)
        except (KafkaProblem, click.ClickException) as problem:
            say(
                f"the reporters of {order.number} are not judged: {problem}. Once more: grayline reporters judge "
                f"{order.number} {verdict} --order {order.id}",
                err=True,
            )


def _counted(count: int) -> str:
    return f"{count} reporter{'' if count == 1 else 's'}"
