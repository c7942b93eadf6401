"""The common part of all commands that give orders about numbers: who says so, and what became of it."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from streams.cli.blocks import as_published, rfc3339
from streams.cli.control import login
from streams.cli.options import home_region
from streams.cli.topics import kafka_options, load_settings
from streams.runtime.saying import say, say_json

if TYPE_CHECKING:
    from streams.kafka.settings import KafkaSettings
    from streams.operators.ordering import GivenOrder, OrderAnswer

EXIT_CODES = "Exit codes: 0 obeyed, 1 refused, not answered in time or the broker cannot be reached, 2 used wrongly."
DONE = {
    "release": "released", "block": "blocked", "allow": "allowed", "disallow": "no longer allowed",
    "approve": "approved", "reject": "rejected",
}  # fmt: skip
SHOWN_MAX = 20  # answers of one command that are shown in words


def options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say who orders and why, and how the answer is waited for and shown."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
        click.option(
            "--timeout", "timeout_s", type=click.FloatRange(min=0.1), default=30.0, show_default=True,
            metavar="SECONDS", help="How long to wait for the answer.",
        ),
        click.option(
            "--operator", default="", metavar="NAME",
            help="Name of the person who gives the order, kept with it. [default: the user's login name]",
        ),
        click.option("--reason", required=True, metavar="TEXT", help="Reason for the order, kept with it."),
        home_region("a number"),
        kafka_options,
    ):  # fmt: skip
        function = option(function)
    return function


class Desk:
    """Makes orders as one operator, and says what becomes of them."""

    def __init__(self, brokers: str | None, kafka_config: str | None, operator: str, reason: str, region: str) -> None:
        from schemas.records import ID_MAX, TEXT_MAX

        self.operator, self.reason, self.region = operator or login() or "unknown", reason, region
        for option, text, longest in (("--operator", self.operator, ID_MAX), ("--reason", reason, TEXT_MAX)):
            if not 0 < len(text) <= longest:
                raise click.BadParameter(f"from 1 to {longest} characters", param_hint=option)
        self.settings: KafkaSettings = load_settings(brokers, kafka_config)
        self.now_ms = time.time_ns() // 1_000_000

    def order(self, action: str, number: str, *, rule: str | None = None, for_ms: int | None = None) -> GivenOrder:
        from streams.operators.ordering import GivenOrder

        until_ms = None if for_ms is None else self.now_ms + for_ms
        return GivenOrder(
            uuid.uuid4().hex, self.now_ms, number, action, self.operator, self.reason, rule or None, until_ms
        )

    def published(self, number: str) -> str:
        return as_published(number, self.region, "NUMBER")

    def ask(self, orders: Sequence[GivenOrder], timeout_s: float) -> list[OrderAnswer]:
        """Gives the orders, and waits for the answers. Raises ClickException."""
        from streams.kafka.settings import KafkaProblem
        from streams.operators.ordering import give

        try:
            return give(self.settings, orders, timeout_s)
        except KafkaProblem as problem:
            raise click.ClickException(str(problem)) from problem

    def give(self, orders: Sequence[GivenOrder], timeout_s: float, as_json: bool) -> None:
        """Gives the orders, shows the answers, and ends the process with the exit code."""
        answers = self.ask(orders, timeout_s)
        show(answers, timeout_s, as_json)
        sys.exit(0 if all(answer.is_obeyed for answer in answers) else 1)


def show(answers: Sequence[OrderAnswer], timeout_s: float, as_json: bool) -> None:
    if as_json:
        import orjson

        say_json(orjson.dumps({"done": all(a.is_obeyed for a in answers), "orders": [_row(a) for a in answers]}))
        return
    for answer in answers[:SHOWN_MAX]:
        said = _said(answer, timeout_s)
        say(said, err=not answer.is_obeyed)
    if len(answers) > 1:
        say(f"{sum(a.is_obeyed for a in answers)} of {len(answers)} orders obeyed")


def _row(answer: OrderAnswer) -> dict[str, Any]:
    order = answer.order
    return {
        "id": order.id, "number": order.number, "action": order.action, "answered": answer.answered,
        "refused": answer.why or None, "until": order.until,
        "changes": [{"change": change, "rule": rule, "until": until} for change, rule, until in answer.changes],
    }  # fmt: skip


def _said(answer: OrderAnswer, timeout_s: float) -> str:
    from streams.holds.number_order import REFUSALS

    order = answer.order
    if not answer.answered:
        return (
            f"not answered within {timeout_s:g} s: {order.number}, order {order.id}. The order stands: a worker obeys "
            "it once it reads its partition of `control`"
        )
    if answer.why:
        return f"refused: {order.number}: {REFUSALS.get(answer.why, answer.why)}"
    changed = "; ".join(f"{change} {rule}" for change, rule, _ in answer.changes)
    until = "" if order.until is None or order.action == "release" else f" until {rfc3339(order.until)}"
    return f"{DONE[order.action]}: {order.number}{until}" + (f" ({changed})" if changed else "")
