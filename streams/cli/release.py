"""`grayline release`: ends blocks of a number, or all that a rule has made in some time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from streams.cli.options import Duration
from streams.cli.ordering import EXIT_CODES, Asked, Desk, options
from streams.cli.reading import states_in_force
from streams.cli.reporters import decide, reports_option
from streams.runtime.saying import counted, say, say_json

if TYPE_CHECKING:
    from streams.kafka.settings import KafkaSettings

SAMPLE = 5  # numbers that are shown before the question


@click.command("release", epilog=EXIT_CODES)
@click.argument("number", required=False)
@click.option("--rule", default="", metavar="NAME", help="Only the block by this rule (`operator`: by an operator).")
@click.option(
    "--cool-down", "cool_down_ms", type=Duration(), default="1d", show_default=True, metavar="DURATION",
    help="How long what would block the number again goes to review instead.",
)  # fmt: skip
@click.option("--since", default="", metavar="TIME", help="Without NUMBER: only blocks that began then or later.")
@click.option("--until", default="", metavar="TIME", help="Without NUMBER: only blocks that began before.")
@click.option("--yes", is_flag=True, help="Without NUMBER: do not ask before all these numbers are released.")
@click.option("--preview", is_flag=True, help="Without NUMBER: only show which numbers it would release.")
@reports_option("unjudged", "`wrong`: the number was reported falsely.")
@options
def command(
    number: str | None,
    rule: str,
    cool_down_ms: int,
    since: str,
    until: str,
    yes: bool,
    preview: bool,
    verdict: str,
    asked: Asked,
) -> None:
    """End the blocks of NUMBER: all of them, or that of one rule. `grayline audit NUMBER` shows why it is blocked.

    Counts stay as they are. What happened up to now blocks the number no more, and until the cool-down is over, what
    would block it again goes to review. The command waits until a worker has obeyed; blockers see it within a second.

    Without NUMBER it ends all blocks by a rule that began in some time: it shows how many, and asks. With --preview it
    ends there, and with --yes it does not ask; --json has all the numbers.

    \b
    Examples:
      grayline release 010-1111-0001 --reason "the holder called; identity checked"
      grayline release 010-1111-0001 --rule pmg-voice --cool-down 7d --reason "a hospital's callback"
      grayline release --rule pmg-voice --since 2026-11-30T02:00:00+09:00 --reason "wrong limit in 3.1" --preview
      grayline release --rule pmg-voice --since 2026-11-30T02:00:00+09:00 --reason "wrong limit in 3.1" --yes
    """
    if number is None and not rule:
        raise click.UsageError("name a NUMBER, or a --rule for all its blocks")
    if number is not None and (since or until or yes or preview):
        raise click.UsageError("--since, --until, --preview and --yes are for releases without NUMBER")
    if preview and yes:
        raise click.UsageError("--preview releases nothing: leave --yes out")
    desk = Desk(asked)
    if number is not None:
        numbers = [desk.published(number)]
    else:
        numbers = _blocked_by(desk.settings, rule, _time("--since", since), _time("--until", until))
        if preview:
            _show(numbers, rule, asked.as_json)
            return
        _ask(numbers, rule, yes, asked.as_json)
    orders = [desk.order("release", one, rule=rule, for_ms=cool_down_ms) for one in numbers]
    decide(desk, orders, verdict, max(asked.timeout_s, len(numbers) / 500))


def _time(option: str, text: str) -> int | None:
    from schemas.times import TimeError, parse_time

    if not text:
        return None
    try:
        return parse_time(int(text) if text.isdigit() else text)
    except TimeError as problem:
        raise click.BadParameter(str(problem), param_hint=option) from problem


def _blocked_by(settings: KafkaSettings, rule: str, since_ms: int | None, until_ms: int | None) -> list[str]:
    """The numbers that a rule blocks now, by a hold that began in this time."""

    def meant(name: str, from_ms: int | None) -> bool:
        begun = from_ms or 0
        return name == rule and (since_ms is None or begun >= since_ms) and (until_ms is None or begun < until_ms)

    blocked = states_in_force(settings)
    return [c.number for c in blocked if c.block is not None and any(meant(h.rule, h.from_) for h in c.block.holds)]


def _show(numbers: list[str], rule: str, as_json: bool) -> None:
    """Shows what a release would be about."""
    if as_json:
        import orjson

        say_json(orjson.dumps({"done": False, "rule": rule, "count": len(numbers), "numbers": numbers}))
    else:
        say(_listed(numbers, rule))


def _listed(numbers: list[str], rule: str) -> str:
    shown = f": {', '.join(numbers[:SAMPLE])}" if numbers else ""
    more = ", ..." if len(numbers) > SAMPLE else ""
    return f"{counted(len(numbers), 'number')} blocked by {rule}{shown}{more}"


def _ask(numbers: list[str], rule: str, yes: bool, as_json: bool) -> None:
    """Shows how many numbers are meant, and asks unless told not to. Raises ClickException where there is nothing to
    release, Abort at a no."""
    if not numbers:
        raise click.ClickException(f"rule {rule!r} blocks no number that began in this time")
    if not as_json or not yes:
        say(_listed(numbers, rule), err=as_json)
    if not yes:
        click.confirm("Release?", abort=True, err=as_json)
