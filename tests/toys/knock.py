"""A command that the product does not have. Steps as in CONTRIBUTING.md."""

from __future__ import annotations

import click

from streams.runtime.saying import say

HELP = """Knock at a topic.

\b
Example:
  grayline knock pings

Exit codes: 0 done, 1 failed, 2 used wrongly.
"""


@click.command("knock", help=HELP)
@click.argument("topic")
def command(topic: str) -> None:
    from schemas.feeds import FEEDS

    if topic not in FEEDS:
        raise click.BadParameter(f"no such topic: {topic}")
    say(f"{topic}: keyed by {FEEDS[topic].number}")
