"""`grayline pause` and `grayline resume`: stop and restart new blocks on every worker."""

from __future__ import annotations

import getpass
import sys
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from streams.cli.topics import kafka_options, load_settings
from streams.runtime.saying import say, say_json

if TYPE_CHECKING:
    from streams.operators.pausing import OrderResult

EXIT_CODES = "Exit codes: 0 every live partition obeys, 1 one does not or the broker cannot be reached, 2 used wrongly."


def options(function: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
        click.option(
            "--timeout", "timeout_s", type=click.FloatRange(min=0.1), default=30.0, show_default=True,
            metavar="SECONDS", help="How long to wait until the workers obey.",
        ),
        click.option(
            "--operator", default="", metavar="NAME",
            help="Name of the person who gives the order, kept with it. [default: the user's login name]",
        ),
        click.option("--reason", default="", metavar="TEXT", help="Reason for the order, kept with it."),
        kafka_options,
    ):  # fmt: skip
        function = option(function)
    return function


@click.command("pause", epilog=EXIT_CODES)
@options
def pause(
    brokers: str | None, kafka_config: str | None, reason: str, operator: str, timeout_s: float, as_json: bool
) -> None:
    """Open no new blocks until `grayline resume`, also on workers that start later.

    Holds that rules would open go to the review queue instead. Blocks in force stay; they are extended and end as
    usual. The command waits until the heartbeat of every live partition shows the pause.

    \b
    Example:
      grayline pause --brokers kafka:9092 --reason "relay7 sends its gateway's number"
    """
    _say(True, brokers, kafka_config, reason, operator, timeout_s, as_json)


@click.command("resume", epilog=EXIT_CODES)
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


def _say(
    paused: bool,
    brokers: str | None,
    kafka_config: str | None,
    reason: str,
    operator: str,
    timeout_s: float,
    as_json: bool,
) -> None:
    settings = load_settings(brokers, kafka_config)

    from streams.holds.pause import TEXT_MAX, Pause
    from streams.kafka.settings import KafkaProblem
    from streams.operators.pausing import say_and_wait

    for option, text in (("--operator", operator), ("--reason", reason)):
        if len(text) > TEXT_MAX:
            raise click.BadParameter(f"at most {TEXT_MAX} characters", param_hint=option)
    order = Pause(uuid.uuid4().hex, paused, time.time_ns() // 1_000_000, operator or login(), reason)
    try:
        result = say_and_wait(settings, order, timeout_s)
    except KafkaProblem as problem:
        raise click.ClickException(str(problem)) from problem
    _print(order.id, paused, result, as_json)
    sys.exit(0 if result.is_obeyed else 1)


def login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return ""


def _print(id: str, paused: bool, result: OrderResult, as_json: bool) -> None:
    if as_json:
        import orjson

        shown = {
            "id": id, "paused": paused, "done": result.is_obeyed, "obeyed": result.obeyed,
            "waiting": {str(partition): worker for partition, worker in sorted(result.waiting.items())},
            "silent": result.silent,
        }  # fmt: skip
        say_json(orjson.dumps(shown))
        return
    state = "paused" if paused else "resumed"
    say(f"{state}: {len(result.obeyed)} of {len(result.obeyed) + len(result.waiting)} live partitions")
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
