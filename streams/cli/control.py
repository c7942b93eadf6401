"""`grayline pause`, `paused` and `resume`: stop and restart new blocks on every worker, and see whether they are."""

from __future__ import annotations

import getpass
import sys
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from streams.cli.blocks import rfc3339
from streams.cli.options import Duration, order_options
from streams.cli.topics import kafka_options, load_settings
from streams.runtime.clock import now_ms
from streams.runtime.saying import say, say_json

if TYPE_CHECKING:
    from streams.holds.pause import Pause
    from streams.operators.pausing import OrderResult

EXIT_CODES = "Exit codes: 0 every live partition obeys, 1 one does not or the broker cannot be reached, 2 used wrongly."


def options(function: Callable[..., None]) -> Callable[..., None]:
    return kafka_options(order_options("How long to wait until the workers obey.")(function))


@click.command("pause", epilog=EXIT_CODES)
@click.option("--reason", required=True, metavar="TEXT", help="Reason for the pause, kept with it.")
@click.option(
    "--for", "for_ms", type=Duration(), default="12h", show_default=True, metavar="DURATION",
    help="How long from now: it ends by itself, should everybody forget it.",
)  # fmt: skip
@options
def pause(
    brokers: str | None,
    kafka_config: str | None,
    reason: str,
    for_ms: int,
    operator: str,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Open no new blocks until `grayline resume` or the pause's end, also on workers that start later.

    Holds that rules would open go to the review queue instead. Blocks in force stay; they are extended and end as
    usual. The command waits until the heartbeat of every live partition shows the pause.

    \b
    Example:
      grayline pause --brokers kafka:9092 --reason "relay7 sends its gateway's number" --for 2h
    """
    _say(True, brokers, kafka_config, reason, operator, timeout_s, as_json, for_ms)


@click.command("resume", epilog=EXIT_CODES)
@click.option("--reason", default="", metavar="TEXT", help="Reason for the order, kept with it.")
@options
def resume(
    brokers: str | None, kafka_config: str | None, reason: str, operator: str, timeout_s: float, as_json: bool
) -> None:
    """Let rules block again, from each number's next offence on.

    \b
    Example:
      grayline resume --brokers kafka:9092 --operator kim
    """
    _say(False, brokers, kafka_config, reason, operator, timeout_s, as_json)


@click.command("paused")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@kafka_options
def paused(brokers: str | None, kafka_config: str | None, as_json: bool) -> None:
    """Show whether new blocks are paused, by whom, why and until when, and what the workers say.

    \b
    Examples:
      grayline paused --brokers kafka:9092
      grayline paused --json | jq .paused

    Exit codes: 0 done, 1 the broker cannot be read, 2 used wrongly.
    """
    settings = load_settings(brokers, kafka_config)

    from streams.cli.registry import said_by_operators
    from streams.kafka.settings import KafkaProblem
    from streams.operators.pausing import heard

    order = said_by_operators(settings).pause
    order = order and order.as_of(now_ms())
    try:
        workers = heard(settings)
    except KafkaProblem as problem:
        raise click.ClickException(str(problem)) from problem
    is_paused = order is not None and order.paused
    if as_json:
        import msgspec
        import orjson

        shown = None if order is None else msgspec.to_builtins(order)
        partitions = {str(partition): said for partition, said in sorted(workers.items())}
        say_json(orjson.dumps({"paused": is_paused, "order": shown, "partitions": partitions}))
        return
    if order is None:
        say("not paused: nobody ever paused new blocks")
    else:
        by = f"by {order.operator or 'nobody who said a name'}: {order.reason or 'no reason given'}"
        until = "" if order.until is None or not is_paused else f", until {rfc3339(order.until)}"
        say(f"{'paused' if is_paused else 'not paused; the last order was'} {by}{until}")
    obeyed = sum(said == is_paused for said in workers.values())
    say(f"{obeyed} of {len(workers)} live partitions say so")


def _say(
    paused: bool,
    brokers: str | None,
    kafka_config: str | None,
    reason: str,
    operator: str,
    timeout_s: float,
    as_json: bool,
    for_ms: int | None = None,
) -> None:
    settings = load_settings(brokers, kafka_config)

    from streams.holds.pause import TEXT_MAX, Pause
    from streams.kafka.settings import KafkaProblem
    from streams.operators.pausing import say_and_wait

    for option, text in (("--operator", operator), ("--reason", reason)):
        if len(text) > TEXT_MAX or (paused and option == "--reason" and not text.strip()):
            raise click.BadParameter(f"from 1 to {TEXT_MAX} characters", param_hint=option)
    at_ms = now_ms()
    until_ms = None if for_ms is None else at_ms + for_ms
    order = Pause(uuid.uuid4().hex, paused, at_ms, operator or login(), reason, until_ms)
    try:
        result = say_and_wait(settings, order, timeout_s)
    except KafkaProblem as problem:
        raise click.ClickException(str(problem)) from problem
    _print(order, result, as_json)
    sys.exit(0 if result.is_obeyed else 1)


def login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return ""


def _print(order: Pause, result: OrderResult, as_json: bool) -> None:
    if as_json:
        import orjson

        shown = {
            "id": order.id, "paused": order.paused, "until": order.until,
            "done": result.is_obeyed, "obeyed": result.obeyed,
            "waiting": {str(partition): worker for partition, worker in sorted(result.waiting.items())},
            "silent": result.silent,
        }  # fmt: skip
        say_json(orjson.dumps(shown))
        return
    state = "paused" if order.paused else "resumed"
    until = "" if order.until is None else f", until {rfc3339(order.until)}"
    say(f"{state}: {len(result.obeyed)} of {len(result.obeyed) + len(result.waiting)} live partitions{until}")
    for partition, worker in sorted(result.waiting.items()):
        say(f"not yet {state}: partition {partition}, worker {worker}", err=True)
    if result.silent:
        partitions = ", ".join(map(str, result.silent))
        say(
            f"no worker was heard for partitions {partitions}; a worker that starts there reads the order first",
            err=True,
        )
    if result.unread:
        say(f"{result.unread} records of block-status are no heartbeats and were ignored", err=True)
