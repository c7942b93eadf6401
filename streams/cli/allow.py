"""`grayline allow`: numbers that no rule may block, as an operator orders it."""

from __future__ import annotations

import click

from streams.cli.options import Duration
from streams.cli.ordering import EXIT_CODES, Asked, Desk, options
from streams.cli.registry import entry_of_values, produce, say_entries, told_entries
from streams.cli.topics import kafka_options, load_settings


@click.group("allow")
def command() -> None:
    """Put a number on the allow list, which also ends its blocks; take it off; list them.

    The list is the registry's (`grayline registry`): entries of kind `allowed`.

    \b
    Examples:
      grayline allow add 010-5550-0101 --for 90d --owner relay7 --reason "its gateway"
      grayline allow list
    """


@command.command("add", short_help="Allow a number, and end its blocks.", epilog=EXIT_CODES)
@click.argument("number")
@click.option("--for", "for_ms", type=Duration(), required=True, metavar="DURATION", help="How long from now: 90d.")
@click.option("--owner", required=True, help="Whose number it is.")
@options
def add(
    number: str,
    for_ms: int,
    owner: str,
    asked: Asked,
) -> None:
    """End the blocks of NUMBER, and send what rules would block it for to review until then.

    \b
    Example:
      grayline allow add 010-5550-0101 --for 90d --owner relay7 --reason "its gateway"
    """
    from streams.holds.registry_records import record_of

    desk = Desk(asked)
    published = desk.published(number)
    order = desk.order("allow", published, for_ms=for_ms)
    values = {"kind": "allowed", "number": published, "owner": owner, "reason": asked.reason, "until": str(order.until)}
    entry = entry_of_values(values, asked.home_region)
    answers = desk.ask([order])
    if answers[0].is_obeyed:  # the list never shows what is not in force
        produce(desk.settings, record_of(entry, order.id, desk.now_ms, desk.operator))
    desk.end(answers)


@command.command("remove", short_help="Take a number off the list.", epilog=EXIT_CODES)
@click.argument("number")
@options
def remove(
    number: str,
    asked: Asked,
) -> None:
    """Let rules block NUMBER again, from its next offence on.

    \b
    Example:
      grayline allow remove 010-5550-0101 --reason "the gateway was replaced"
    """
    from schemas.topics import CONTROL_GLOBAL
    from streams.holds.registry_records import key_of
    from streams.ingest.epoch import OutRecord

    desk = Desk(asked)
    order = desk.order("disallow", desk.published(number))
    values = {"kind": "allowed", "number": order.number, "owner": "-", "reason": "-", "until": "9999-12-31T00:00:00Z"}
    key = key_of(entry_of_values(values, asked.home_region))
    told = told_entries(desk.settings)
    is_listed = any(key_of(told.entry(i)) == key for i in range(len(told)))
    answers = desk.ask([order])
    if is_listed and answers[0].answered:
        produce(desk.settings, OutRecord(CONTROL_GLOBAL, key, None, partition=0))
        answers[0].why = "" if answers[0].why == "not_allowed" else answers[0].why  # by `registry add` alone
    desk.end(answers)


@command.command("list", short_help="List the allowed numbers.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@kafka_options
def list_(as_json: bool, brokers: str | None, kafka_config: str | None) -> None:
    """List the allowed numbers that operators told all workers. Those of files are not among them.

    \b
    Example:
      grayline allow list --brokers kafka:9092

    Exit codes: 0 done, 1 the broker cannot be read, 2 used wrongly.
    """
    told = told_entries(load_settings(brokers, kafka_config))
    entries = [entry for i in range(len(told)) if (entry := told.entry(i)).kind.name == "allowed"]
    say_entries(entries, told.version, as_json)
