"""An HTTP server for small read-only pages, with bounds that no client can widen.

A connection ends after a while, however slowly its client writes or reads. The number of connections is bounded, and
one beyond the bound ends the oldest: a process keeps its descriptors for Kafka and the disk, and a client that asks at
once is answered while others dawdle."""

from __future__ import annotations

import asyncio
import hmac
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Bounds:
    """connections: open at once. life_s: of a connection, its answers included. requests: that one may carry."""

    connections: int = 64
    life_s: float = 10.0
    requests: int = 1


PAGES = Bounds()  # of pages that are asked for now and then
ACCEPTED_AT_ONCE = 16  # beyond the bound, for the few turns of the loop until the oldest ones are ended
UNACCEPTED_MAX = 128  # wait in the kernel, at no cost to us
HEADERS_MAX = 64
LINE_BYTES_MAX = 4096  # of the request line, and of each header

log = logging.getLogger("grayline.web")


@asynccontextmanager
async def serving(answer: Answer, host: str, port: int, bounds: Bounds | None = None) -> AsyncIterator[list[str]]:
    """Serves until the block ends, at the `host:port` that it yields. Raises OSError when the port cannot be had."""
    runner = web.ServerRunner(_Server(answer, bounds or PAGES), shutdown_timeout=1.0)
    await runner.setup()
    heard = []
    try:
        for family, _, _, _, address in await _addresses(host, port):
            listening = socket.create_server(address, family=family)
            at, taken = listening.getsockname()[:2]
            heard.append(f"[{at}]:{taken}" if family == socket.AF_INET6 else f"{at}:{taken}")
            await web.SockSite(runner, listening, backlog=ACCEPTED_AT_ONCE).start()
            listening.listen(UNACCEPTED_MAX)  # asyncio has one word for both
        yield heard
    finally:
        await runner.cleanup()


def has_token(request: web.BaseRequest, token: str) -> bool:
    """True if the request carries `Authorization: Bearer TOKEN`."""
    given, right = request.headers.get("Authorization", ""), f"Bearer {token}"
    # Bytes that are no UTF-8 come as surrogates, from a header as from the environment.
    return hmac.compare_digest(given.encode(errors="surrogateescape"), right.encode(errors="surrogateescape"))


async def _addresses(host: str, port: int) -> list[Any]:
    """The addresses of a name. It may have several; `localhost` usually has two."""
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)


class _Server(web.Server):
    """aiohttp's protocol of requests and answers; how many connections there are, and for how long, is told here."""

    def __init__(self, answer: Answer, bounds: Bounds) -> None:
        async def bounded(request: web.BaseRequest) -> web.StreamResponse:
            handler = request.protocol
            self._requests[handler] = self._requests.get(handler, 0) + 1
            response = await answer(request)
            if self._requests.get(handler, bounds.requests) >= bounds.requests:
                response.force_close()
            return response

        super().__init__(
            bounded,
            access_log=None,
            logger=log,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
            max_headers=HEADERS_MAX,
        )
        self._bounds = bounds
        self._requests: dict[object, int] = {}  # so far, by open connection
        self._open: dict[object, tuple[asyncio.Transport, asyncio.TimerHandle]] = {}  # oldest first

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self._open) >= self._bounds.connections:
            self._end(next(iter(self._open)))
        self._open[handler] = transport, self._loop.call_later(self._bounds.life_s, transport.abort)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._end(handler)

    def pre_shutdown(self) -> None:
        """Waits for no client: one that does not read would delay the worker's end."""
        for handler in list(self._open):
            self._end(handler)
        super().pre_shutdown()

    def _end(self, handler: object) -> None:
        self._requests.pop(handler, None)
        if handler in self._open:
            transport, timer = self._open.pop(handler)
            timer.cancel()
            transport.abort()


def _ours(record: logging.LogRecord) -> bool:
    """Answers a request that is no HTTP with 400, without a log line: anybody can send such requests."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


log.addFilter(_ours)
