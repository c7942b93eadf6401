"""`grayline block`: blocks a number by an operator's order."""

from __future__ import annotations

import click

from streams.cli.options import Duration
from streams.cli.ordering import EXIT_CODES, Asked, Desk, options


@click.command("block", epilog=EXIT_CODES)
@click.argument("number")
@click.option("--for", "for_ms", type=Duration(), required=True, metavar="DURATION", help="How long from now: 7d.")
@options
def command(
    number: str,
    for_ms: int,
    asked: Asked,
) -> None:
    """Block NUMBER: no calls, no messages, neither from it nor to it.

    The hold stands beside those of rules, under the name `operator`; a later order moves its end. A number that is
    protected or on the allow list is refused. The reason is shown to blockers. `grayline release NUMBER` takes it back.

    \b
    Example:
      grayline block 010-1111-0001 --for 7d --reason "joint response team, case 4711"
    """
    desk = Desk(asked)
    desk.give([desk.order("block", desk.published(number), for_ms=for_ms)])
