"""The common part of all commands that give orders about numbers: who says so, and what became of it."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn

import click

from streams.cli.blocks import as_published, rfc3339
from streams.cli.control import login
from streams.cli.options import home_region, order_options
from streams.cli.topics import kafka_options, load_settings
from streams.runtime.clock import now_ms
from streams.runtime.saying import say, say_json

if TYPE_CHECKING:
    from streams.kafka.settings import KafkaSettings
    from streams.operators.ordering import GivenOrder, OrderAnswer

EXIT_CODES = "Exit codes: 0 obeyed, 1 refused, not answered in time or the broker cannot be reached, 2 used wrongly."
DONE = {
    "release": "released", "block": "blocked", "allow": "allowed", "disallow": "no longer allowed",
    "approve": "approved", "reject": "rejected", "propose": "proposed", "take": "taken", "suspend": "suspended",
    "register": "registered", "unregister": "no longer registered",
}  # fmt: skip
SHOWN_MAX = 20  # answers of one command that are shown in words


@dataclass(frozen=True)
class Asked:
    """The options that every order about a number has, as they were given."""

    brokers: str | None
    kafka_config: str | None
    home_region: str
    reason: str
    operator: str
    timeout_s: float
    as_json: bool


def options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say who orders and why, and how the answer is waited for and shown; the command gets them
    as `asked`."""

    @wraps(function)
    def command(**given: Any) -> Any:
        asked = Asked(**{one.name: given.pop(one.name) for one in fields(Asked)})
        return function(asked=asked, **given)

    reason = click.option("--reason", required=True, metavar="TEXT", help="Reason for the order, kept with it.")
    told = order_options("How long to wait for the answer.")(command)
    return kafka_options(home_region("a number")(reason(told)))


class Desk:
    """Makes orders as one operator, and says what becomes of them."""

    def __init__(self, asked: Asked) -> None:
        from schemas.records import ID_MAX, TEXT_MAX

        self.asked, self.operator = asked, asked.operator or login() or "unknown"
        for option, text, longest in (("--operator", self.operator, ID_MAX), ("--reason", asked.reason, TEXT_MAX)):
            if not 0 < len(text) <= longest:
                raise click.BadParameter(f"from 1 to {longest} characters", param_hint=option)
        self.settings: KafkaSettings = load_settings(asked.brokers, asked.kafka_config)
        self.now_ms = now_ms()

    def order(
        self, action: str, number: str, *, rule: str | None = None, for_ms: int | None = None,
        until_ms: int | None = None, **about: Any,
    ) -> GivenOrder:  # fmt: skip
        """about: what a registration says."""
        from streams.operators.ordering import GivenOrder

        until_ms = until_ms if for_ms is None else self.now_ms + for_ms
        return GivenOrder(
            uuid.uuid4().hex, self.now_ms, number, action, self.operator, self.asked.reason, rule or None, until_ms,
            **about,
        )  # fmt: skip

    def published(self, number: str) -> str:
        return as_published(number, self.asked.home_region, "NUMBER")

    def ask(self, orders: Sequence[GivenOrder], timeout_s: float | None = None) -> list[OrderAnswer]:
        """Gives the orders, and waits for the answers, as long as asked or longer. Raises ClickException."""
        from streams.kafka.settings import KafkaProblem
        from streams.operators.ordering import give

        try:
            return give(self.settings, orders, timeout_s or self.asked.timeout_s)
        except KafkaProblem as problem:
            raise click.ClickException(str(problem)) from problem

    def give(self, orders: Sequence[GivenOrder], timeout_s: float | None = None) -> NoReturn:
        """Gives the orders, shows the answers, and ends the process with the exit code."""
        self.end(self.ask(orders, timeout_s), timeout_s)

    def end(self, answers: Sequence[OrderAnswer], timeout_s: float | None = None) -> NoReturn:
        """Shows the answers, and ends the process with the exit code."""
        is_done = all(answer.is_obeyed for answer in answers)
        if self.asked.as_json:
            import orjson

            say_json(orjson.dumps({"done": is_done, "orders": [_row(answer) for answer in answers]}))
        else:
            for answer in answers[:SHOWN_MAX]:
                say(_said(answer, timeout_s or self.asked.timeout_s), err=not answer.is_obeyed)
            if len(answers) > 1:
                say(f"{sum(answer.is_obeyed for answer in answers)} of {len(answers)} orders obeyed")
        sys.exit(0 if is_done else 1)


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
