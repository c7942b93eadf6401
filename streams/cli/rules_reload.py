"""`grayline rules reload`: every worker goes on with other rules, which are in its files already."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.options import order_options
from streams.cli.topics import kafka_options, load_settings
from streams.runtime.clock import now_ms
from streams.runtime.saying import say, say_json

if TYPE_CHECKING:
    from streams.operators.pausing import OrderResult

EXIT_CODES = (
    "Exit codes: 0 every live partition goes by these rules, 1 one does not, the files are wrong or the broker cannot "
    "be reached, 2 used wrongly."
)


@click.command("reload", epilog=EXIT_CODES, short_help="Have every worker go on with other rules.")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--reason", default="", metavar="TEXT", help="Reason for the order, kept with it.")
@kafka_options
@order_options("How long to wait until the workers obey.")
def reload(
    paths: tuple[Path, ...],
    brokers: str | None,
    kafka_config: str | None,
    reason: str,
    operator: str,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Have every worker read its files again and go on with these rules, each partition from a commit on.

    Bring the files to the workers first. PATH is what they were started with, here: a worker whose files say something
    else keeps the rules it has, and is named. The command waits until the heartbeat of every live partition shows the
    version. Given once more, the order ends the guard behind the change.

    \b
    Example:
      grayline rules reload rules/ --brokers kafka:9092 --reason "the limit of call-rate"
    """
    settings = load_settings(brokers, kafka_config)

    from rules.diagnostics import ERROR, render
    from rules.load import check
    from streams.cli.control import login
    from streams.holds.pause import TEXT_MAX
    from streams.holds.rules_order import RulesOrder
    from streams.kafka.settings import KafkaProblem
    from streams.operators.pausing import order_and_wait

    for option, text in (("--operator", operator), ("--reason", reason)):
        if len(text) > TEXT_MAX:
            raise click.BadParameter(f"at most {TEXT_MAX} characters", param_hint=option)
    rules, diagnostics = check(list(paths))
    if rules is None:
        say(*(line for d in diagnostics if d.severity == ERROR for line in render(d).split("\n")), err=True)
        sys.exit(1)
    order = RulesOrder(uuid.uuid4().hex, rules.version, now_ms(), operator or login(), reason)
    try:
        result = order_and_wait(settings, order.record(), lambda beat: beat.rules_version == order.version, timeout_s)
    except KafkaProblem as problem:
        raise click.ClickException(str(problem)) from problem
    _print(order.id, order.version, result, as_json)
    sys.exit(0 if result.is_obeyed else 1)


def _print(order_id: str, version: str, result: OrderResult, as_json: bool) -> None:
    waiting = {str(partition): worker for partition, worker in sorted(result.waiting.items())}
    if as_json:
        import orjson

        shown = {"id": order_id, "rules_version": version, "done": result.is_obeyed, "obeyed": result.obeyed}
        say_json(orjson.dumps(shown | {"waiting": waiting, "silent": result.silent}))
        return
    say(f"rules {version}: {len(result.obeyed)} of {len(result.obeyed) + len(waiting)} live partitions")
    for partition, worker in waiting.items():
        say(f"other rules: partition {partition}, worker {worker}; its log says why", err=True)
    if result.silent:
        say(f"no worker was heard for partitions {', '.join(map(str, result.silent))}", err=True)
