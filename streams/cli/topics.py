"""`grayline topics`: makes and shows Grayline's topics on a broker."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from streams.runtime.saying import say, say_json

if TYPE_CHECKING:
    from streams.kafka.settings import KafkaSettings
    from streams.kafka.topics import TopicStatus


def kafka_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --brokers and --kafka-config, for every command that speaks to a broker."""
    function = click.option(
        "--kafka-config",
        type=click.Path(dir_okay=False),
        help="File of librdkafka settings (TLS, SASL ...), one `setting=value` a line. Each can also come from the "
        "environment: sasl.password from GRAYLINE_KAFKA_SASL_PASSWORD.",
    )(function)
    return click.option(
        "--brokers",
        envvar="GRAYLINE_BROKERS",
        metavar="HOST:PORT,...",
        help="Kafka's bootstrap servers; also GRAYLINE_BROKERS. [default: 127.0.0.1:9092]",
    )(function)


def load_settings(brokers: str | None, kafka_config: str | None) -> KafkaSettings:
    """Loads the settings that `kafka_options` and the environment name. A problem ends the command with code 1."""
    from streams.kafka.settings import KafkaProblem, KafkaSettings
    from streams.runtime.logs import log_plainly

    log_plainly()
    try:
        return KafkaSettings.load(brokers, kafka_config)
    except KafkaProblem as problem:
        raise click.ClickException(str(problem)) from problem


@click.group("topics")
def command() -> None:
    """Make and show Grayline's topics on a broker.

    \b
    Examples:
      grayline topics create --brokers kafka:9092 --partitions 12 --replication 3
      grayline topics create --dry-run
      grayline topics show --json

    Exit codes: 0 all well, 1 a topic is missing or cannot be used or the broker cannot be reached, 2 used wrongly.
    """


@command.command("create")
@kafka_options
@click.option(
    "--partitions", type=click.IntRange(1, 10_000), default=4, show_default=True,
    help="Partitions of each input topic, and of each topic that must have as many.",
)  # fmt: skip
@click.option("--replication", type=click.IntRange(1, 100), help="Replicas of each topic. [default: the broker's own]")
@click.option(
    "--history", is_flag=True,
    help="For replayed or generated history: let the broker delete nothing by age, which it takes from the records.",
)  # fmt: skip
@click.option(
    "--set", "overrides", multiple=True, metavar="NAME=VALUE",
    help="A setting of every topic that is made, such as `--set min.insync.replicas=2`. Repeatable.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only let the broker check; make nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def create_command(
    brokers: str | None,
    kafka_config: str | None,
    partitions: int,
    replication: int | None,
    history: bool,
    overrides: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make the topics that are missing. Topics that exist are not changed, so the command can be repeated.

    \b
    Examples:
      grayline topics create --brokers kafka:9092 --partitions 12 --replication 3
      grayline topics create --history
    """
    from schemas.topics import TOPICS, for_history
    from streams.kafka.settings import KafkaProblem
    from streams.kafka.topics import BROKERS_REPLICATION, create

    settings = load_settings(brokers, kafka_config)
    specs = [for_history(spec) if history else spec for spec in TOPICS.values()]
    try:
        states = create(
            settings,
            partitions,
            BROKERS_REPLICATION if replication is None else replication,
            dry_run,
            overrides=_parse_overrides(overrides),
            specs=specs,
        )
    except KafkaProblem as problem:
        raise click.ClickException(str(problem)) from problem
    _print(states, as_json)


@command.command("show")
@kafka_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def show_command(brokers: str | None, kafka_config: str | None, as_json: bool) -> None:
    """Show each topic: partitions, replicas, offsets written, its purpose, and its problems.

    \b
    Example:
      grayline topics show --brokers kafka:9092
    """
    from streams.kafka.settings import KafkaProblem
    from streams.kafka.topics import show

    settings = load_settings(brokers, kafka_config)
    try:
        states = show(settings)
    except KafkaProblem as problem:
        raise click.ClickException(str(problem)) from problem
    _print(states, as_json)


def _parse_overrides(given: Sequence[str]) -> dict[str, str]:
    overrides = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{each!r}: expected NAME=VALUE, as in retention.ms=-1", param_hint="--set")
        overrides[name] = value
    return overrides


def _print(states: Sequence[TopicStatus], as_json: bool) -> None:
    """Prints the states; ends with code 1 when one of them has a problem."""
    if as_json:
        import orjson

        for state in states:
            say_json(orjson.dumps(state.as_dict()))
    else:
        rows: list[tuple[str, ...]] = [("TOPIC", "STATE", "PARTITIONS", "REPLICAS", "OFFSETS", "PURPOSE")]
        for state in states:
            counts = [
                state.partitions or "-",
                state.replication or "-",
                "-" if state.messages is None else state.messages,
            ]
            rows.append((state.name, state.outcome, *map(str, counts), state.purpose))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        for state in states:
            for problem in state.problems:
                say(f"problem: {state.name} {problem}", err=True)
            for note in state.notes:
                say(f"note: {state.name}: {note}", err=True)
    if any(state.problems for state in states):
        sys.exit(1)
