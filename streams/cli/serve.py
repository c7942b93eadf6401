"""`grayline serve`: answers over HTTP which numbers are blocked, for blockers without Kafka."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import click

from streams.cli.options import home_region
from streams.cli.reading import reader_of
from streams.cli.topics import kafka_options, load_settings
from streams.runtime.clock import now_ms
from streams.runtime.saying import say

if TYPE_CHECKING:
    from streams.operators.block_copy import BlockCopy

CONNECTIONS, LIFE_S, REQUESTS = 256, 300.0, 100_000  # the bounds of its web server
WATCH_S = 0.2


@click.command("serve")
@kafka_options
@click.option(
    "--web-port", envvar="GRAYLINE_WEB_PORT", type=click.IntRange(0, 65_535), default=8080, show_default=True,
    help="Port; 0 takes a free one.",
)  # fmt: skip
@click.option(
    "--web-bind", envvar="GRAYLINE_WEB_BIND", default="127.0.0.1", show_default=True,
    help="Address. One beyond this machine needs GRAYLINE_WEB_TOKEN.",
)  # fmt: skip
@home_region("a number that is asked for")
def command(brokers: str | None, kafka_config: str | None, web_port: int, web_bind: str, home_region: str) -> None:
    """Answer over HTTP which numbers are blocked: a small service beside a switch that does not speak Kafka. It only
    reads, keeps a copy of the topic block-events in memory, and ends blocks by this machine's clock, also while Kafka
    is away (`current` is false then).

    \b
      /v1/blocks/+821011110001          is it blocked, until when, which announcement
      /v1/blocks/stream?startup=true    all blocked numbers, and a cursor
      /v1/blocks/stream?cursor=...      what changed since; &wait=30 waits for a change
      /v1/openapi.json                  the description
      /health, /ready

    With GRAYLINE_WEB_TOKEN in the environment requests must carry it: `Authorization: Bearer TOKEN`.

    \b
    Examples:
      grayline serve --brokers kafka:9092
      GRAYLINE_WEB_TOKEN=... grayline serve --web-bind 0.0.0.0 --web-port 8080
      curl http://127.0.0.1:8080/v1/blocks/010-1234-5678

    Exit codes: 0 ended by Ctrl-C or SIGTERM, 1 the topic cannot be read or the port not be had, 2 used wrongly.
    """
    from streams.operators.block_copy import BlockCopy
    from streams.runtime.settings import is_loopback

    token = os.environ.get("GRAYLINE_WEB_TOKEN", "")
    if not token and not is_loopback(web_bind):
        raise click.UsageError(f"--web-bind {web_bind} is open to other machines: set GRAYLINE_WEB_TOKEN")
    settings = load_settings(brokers, kafka_config)
    copy = BlockCopy(reader_of(settings), now_ms)
    copy.start()
    try:
        asyncio.run(_serve(copy, web_bind, web_port, token, home_region))
    except OSError as problem:
        raise click.ClickException(f"cannot listen at {web_bind}:{web_port}: {problem.strerror}") from problem
    finally:
        copy.close()
    if copy.problem is not None:
        raise click.ClickException(str(copy.problem))


async def _serve(copy: BlockCopy, host: str, port: int, token: str, region: str) -> None:
    """Until a signal, or until the copy cannot be kept."""
    from streams.operators.block_pages import pages
    from streams.runtime.web_server import Bounds, serving

    ended = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, ended.set)
    async with serving(pages(copy, token, region), host, port, Bounds(CONNECTIONS, LIFE_S, REQUESTS)) as addresses:
        say(*(f"http://{address}" for address in addresses))
        told = False
        while not ended.is_set() and copy.problem is None:
            if copy.is_ready.is_set() and copy.problem is None and not told:
                say(f"{len(copy):,} numbers are blocked")
                told = True
            await asyncio.sleep(WATCH_S)
