"""`grayline suspend`: ends the blocks of a line that its carrier has suspended."""

from __future__ import annotations

import click

from streams.cli.ordering import EXIT_CODES, Asked, Desk, options


@click.command("suspend", epilog=EXIT_CODES)
@click.argument("number")
@options
def command(number: str, asked: Asked) -> None:
    """End the blocks of NUMBER because its carrier has told that the line is suspended.

    The blocks were right and are no longer needed: the history says `suspended`, not `released`, and there is no
    cool-down. Whoever gets the number next begins free; what it then does is judged as ever.

    \b
    Example:
      grayline suspend 010-1111-0001 --reason "KT, ticket 4711: suspended this morning"
    """
    desk = Desk(asked)
    desk.give([desk.order("suspend", desk.published(number))])
