"""`grayline registry`: checks registry files, and tells all workers entries beside them."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from schemas.registry import about_of
from streams.cli.control import login
from streams.cli.options import Time, home_region
from streams.cli.ordering import EXIT_CODES, Asked, Desk, options
from streams.cli.topics import kafka_options, load_settings
from streams.runtime.clock import now_ms
from streams.runtime.saying import counted, say, say_coloured, say_json

if TYPE_CHECKING:
    from rules.registry import Entry, Registry
    from streams.ingest.epoch import OutRecord
    from streams.kafka.settings import KafkaSettings
    from streams.worker.control import Said

CHECK_HELP = """Check registry files: every mistake at once, each with its place.

FILE is YAML or, with a name that ends in .csv, CSV. Several files are checked together, as a worker reads them.

\b
Examples:
  grayline registry check registry.yaml
  grayline registry check --home-region KR senders.csv institutions.yaml
  grayline registry check --json senders.csv | jq .kinds.bulk_sender.expired

Exit codes: 0 no mistakes (entries that are over are no mistake), 1 mistakes, 2 used wrongly.
"""
ADD_HELP = """Tell all workers an entry, beside those of their files. An entry of this kind for this number is replaced.

KIND is bulk_sender, institution or allowed; NUMBER a number, or +DIGITS* for all that begin so. Workers go by it within
a second, also those that start later, until it is over or removed.

\b
Example:
  grayline registry add allowed 010-5550-0101 --owner relay7 --reason "its gateway" --until 2027-02-01T00:00:00+09:00

Exit codes: 0 written, 1 the broker did not take it, 2 used wrongly.
"""
REMOVE_HELP = """Take back an entry that `add` told all workers. Entries of files stay: take them out there.

\b
Example:
  grayline registry remove allowed 010-5550-0101

Exit codes: 0 removed, 1 there is no such entry or the broker did not take it, 2 used wrongly.
"""
LIST_HELP = """List the entries that `add` told all workers. Those of files are not among them.

\b
Examples:
  grayline registry list --brokers kafka:9092
  grayline registry list --json | jq .entries[].owner

Exit codes: 0 done, 1 the broker cannot be read, 2 used wrongly.
"""


@click.group("registry")
def command() -> None:
    """Check registry files, and tell all workers entries beside them.

    \b
    Examples:
      grayline registry check registry.yaml
      grayline registry list
    """


@command.command("check", help=CHECK_HELP, short_help="Check registry files.")
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@home_region()
def check(paths: tuple[Path, ...], as_json: bool, home_region: str) -> None:
    from rules.diagnostics import render
    from rules.registry_file import check_registry

    registry, diagnostics = check_registry(paths, home_region)
    kinds = {} if registry is None else registry.counts(now_ms())
    if as_json:
        rows = [
            {"file": d.file, "line": d.line, "column": d.column, "severity": d.severity, "message": d.message,
             "hint": d.hint}
            for d in diagnostics
        ]  # fmt: skip
        version = None if registry is None else registry.version
        say_json(json.dumps({"ok": registry is not None, "version": version, "kinds": kinds, "diagnostics": rows}))
    else:
        for diagnostic in diagnostics:
            say_coloured(render(diagnostic, color=sys.stdout.isatty()))
        for name, counts in kinds.items():
            more = [f"{counts[state]} {state}" for state in ("expired", "coming") if counts[state]]
            if sum(counts.values()):
                say(", ".join([f"{name}: {sum(counts.values())}", *more]))
        if registry is not None:
            say(f"{counted(len(registry), 'entry', 'entries')}, version {registry.version or 'none'}: no errors")
        else:
            say(counted(len(diagnostics), "error"))
    sys.exit(0 if registry is not None else 1)


@command.command("add", help=ADD_HELP, short_help="Tell all workers an entry.")
@click.argument("kind")
@click.argument("number")
@click.option("--owner", required=True, help="Whose number it is.")
@click.option("--reason", required=True, help="Why it is entered.")
@click.option("--until", required=True, metavar="TIME", help="When it ends: ms since 1970, or RFC 3339 with a zone.")
@click.option("--since", default="", metavar="TIME", help="When it begins; from always unless given.")
@click.option("--operator", default="", metavar="NAME", help="Who says so. [default: the user's login name]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@home_region()
@kafka_options
def add(
    kind: str,
    number: str,
    owner: str,
    reason: str,
    until: str,
    since: str,
    operator: str,
    as_json: bool,
    home_region: str,
    brokers: str | None,
    kafka_config: str | None,
) -> None:
    from streams.holds.registry_records import TEXT_MAX, record_of

    values = {"kind": kind, about_of(kind): number, "owner": owner, "reason": reason, "until": until, "since": since}
    entry = entry_of_values(values, home_region)
    if len(operator) > TEXT_MAX:
        raise click.BadParameter(f"at most {TEXT_MAX} characters", param_hint="--operator")
    settings = load_settings(brokers, kafka_config)
    produce(settings, record_of(entry, uuid.uuid4().hex, now_ms(), operator or login()))
    _print("added", entry, as_json)


@command.command("remove", help=REMOVE_HELP, short_help="Take back an entry.")
@click.argument("kind")
@click.argument("number")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@home_region()
@kafka_options
def remove(
    kind: str, number: str, as_json: bool, home_region: str, brokers: str | None, kafka_config: str | None
) -> None:
    from schemas.topics import CONTROL_GLOBAL
    from streams.holds.registry_records import key_of
    from streams.ingest.epoch import OutRecord

    values = {"kind": kind, about_of(kind): number, "owner": "-", "reason": "-", "until": "9999-12-31T00:00:00Z"}
    wanted = entry_of_values(values, home_region)
    settings = load_settings(brokers, kafka_config)
    told = told_entries(settings)
    entries = (told.entry(i) for i in range(len(told)))
    gone = [key_of(entry) for entry in entries if (entry.kind, entry.number) == (wanted.kind, wanted.number)]
    if not gone:
        raise click.ClickException(f"{CONTROL_GLOBAL} has no such entry; those of files are taken out there")
    for key in gone:
        produce(settings, OutRecord(CONTROL_GLOBAL, key, None, partition=0))
    _print("removed", wanted, as_json)


@command.command("register", short_help="Register a number as a sender.", epilog=EXIT_CODES)
@click.argument("number")
@click.option("--owner", required=True, help="Who sends.")
@click.option("--until", "until_ms", type=Time(), required=True, help="When it ends: RFC 3339 with a zone.")
@click.option("--since", "since_ms", type=Time(), help="When it begins. [default: now]")
@click.option("--account", default="", help="The account through which alone it sends. [default: any]")
@click.option("--relay", default="", help="The relay through which alone it sends. [default: any]")
@options
def register(
    number: str, owner: str, until_ms: int, since_ms: int | None, account: str, relay: str, asked: Asked
) -> None:
    """Register NUMBER as a sender: an order that the worker of its partition obeys once, and answers.

    Rules read `registered == "true"` from then on, and `spoofed == "true"` where it sends through another account or
    relay than its registrations say.

    \b
    Example:
      grayline registry register 02-555-0001 --owner clinic --until 2027-12-31T00:00:00+09:00 --reason "form 812"
    """
    desk = Desk(asked)
    about: dict[str, Any] = {"since": since_ms, "owner": owner, "account": account or None, "relay": relay or None}
    desk.give([desk.order("register", desk.published(number), until_ms=until_ms, **about)])


@command.command("unregister", short_help="End a sender's registrations.", epilog=EXIT_CODES)
@click.argument("number")
@click.option("--account", default="", help="Only the registration for this account. [default: of all]")
@click.option("--relay", default="", help="Only the registration for this relay. [default: of all]")
@options
def unregister(number: str, account: str, relay: str, asked: Asked) -> None:
    """End the registrations of NUMBER now.

    \b
    Example:
      grayline registry unregister 02-555-0001 --reason "the clinic closed"
    """
    desk = Desk(asked)
    desk.give([desk.order("unregister", desk.published(number), account=account or None, relay=relay or None)])


@command.command("list", help=LIST_HELP, short_help="List the entries that all workers were told.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@kafka_options
def list_(as_json: bool, brokers: str | None, kafka_config: str | None) -> None:
    told = told_entries(load_settings(brokers, kafka_config))
    say_entries([told.entry(i) for i in range(len(told))], told.version, as_json)


def say_entries(found: list[Entry], version: str, as_json: bool) -> None:
    """Prints entries in a fixed order. version: of all that were told."""
    entries = sorted(found, key=lambda e: (e.kind.code, str(e.key), e.digits))
    if as_json:
        rows = [entry.shown() | {"number": entry.number, "since": entry.since} for entry in entries]
        say_json(json.dumps({"version": version, "entries": rows}))
        return
    for entry in entries:
        say(f"{entry.kind.name}  {entry.number}  {entry.times()}  {entry.owner}: {entry.reason}")
    say(counted(len(entries), "entry", "entries"))


def entry_of_values(values: dict[str, str], region: str) -> Entry:
    """Raises BadParameter."""
    from rules.registry_file import EntryProblem, entry_of

    try:
        return entry_of(values, region)
    except EntryProblem as problem:
        name = problem.name if problem.name in ("kind", "number", "account") else f"--{problem.name}"
        more = f"; {problem.hint}" if problem.hint else ""
        one_of = f"; one of: {', '.join(problem.choices)}" if problem.choices else ""
        raise click.BadParameter(f"{problem}{more}{one_of}", param_hint=name) from None


def told_entries(settings: KafkaSettings) -> Registry:
    """The entries on the broker. Raises ClickException."""
    return said_by_operators(settings).registry


def said_by_operators(settings: KafkaSettings) -> Said:
    """All that operators tell every worker. Raises ClickException."""
    from confluent_kafka import KafkaException

    from streams.kafka.clients import Clients
    from streams.kafka.ownership import Refused
    from streams.kafka.settings import BrokerAway
    from streams.worker.control import ControlUnread, ControlWatch

    watch = ControlWatch(Clients(), settings.consumer(f"grayline-registry-{uuid.uuid4().hex[:8]}") | {"log_level": 0})
    try:
        return watch.start()
    except KafkaException as problem:
        raise click.ClickException(
            f"the broker at {settings.brokers} does not answer: {problem.args[0].str()}"
        ) from problem
    except (Refused, BrokerAway, ControlUnread) as problem:
        raise click.ClickException(str(problem)) from problem
    finally:
        watch.close()


def produce(settings: KafkaSettings, record: OutRecord) -> None:
    """Raises ClickException when the record did not arrive."""
    from streams.kafka.settings import KafkaProblem
    from streams.operators.pausing import produce

    try:
        produce(settings, record)
    except KafkaProblem as problem:
        raise click.ClickException(str(problem)) from problem


def _print(done: str, entry: Entry, as_json: bool) -> None:
    if as_json:
        say_json(json.dumps({"done": done, "kind": entry.kind.name, "number": entry.number}))
    else:
        say(f"{done}: {entry.kind.name} {entry.number}" + (f", {entry.times()}" if done == "added" else ""))
