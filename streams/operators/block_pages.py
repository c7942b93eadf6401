"""The pages of `grayline serve`: is a number blocked, and what has changed. Read only; openapi.json describes them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from importlib.resources import files
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson
from aiohttp import web

from schemas.numbers import normalise
from streams.operators.block_copy import BlockCopy, CursorGone, Delta
from streams.operators.blocks import BlockState
from streams.runtime.web_server import Answer, has_token

WAIT_MAX_S = 30.0
POLL_S = 0.1
PIECE = 1_000  # numbers of a long answer that are written at once
NUMBER_BYTES_MAX = 64
OPEN = ("/health", "/v1/openapi.json")  # pages that ask for no token
JSON_TYPE = "application/json; charset=utf-8"


class Refusal(Exception):
    """status: the HTTP status; the message says what to do."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def pages(copy: BlockCopy, token: str, region: str) -> Answer:
    """region: of numbers that come without a country code. With a token, all pages but OPEN ask for it."""
    served = _Served(copy, region)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        try:
            if request.method not in ("GET", "HEAD"):
                raise Refusal(405, "only GET and HEAD are answered")
            if token and request.path not in OPEN and not has_token(request, token):
                raise Refusal(401, "send the token: Authorization: Bearer TOKEN")
            return await served.answer(request)
        except Refusal as refusal:
            headers = {405: {"Allow": "GET, HEAD"}, 401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}
            return _json({"error": str(refusal)}, refusal.status, headers.get(refusal.status, {}))

    return answer


class _Served:
    def __init__(self, copy: BlockCopy, region: str) -> None:
        self._copy, self._region = copy, region
        self._openapi = files("streams.operators").joinpath("openapi.json").read_bytes()
        self._pages: Mapping[str, Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]] = {
            "/health": self._health,
            "/ready": self._ready,
            "/v1/openapi.json": self._description,
            "/v1/blocks/stream": self._stream,
        }

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        page = self._pages.get(request.path)
        if page is not None:
            return await page(request)
        before, _, text = request.raw_path.partition("?")[0].rpartition("/")
        if before != "/v1/blocks" or not text:
            raise Refusal(404, "no such page; /v1/openapi.json describes those there are")
        return self._number(text)

    async def _health(self, request: web.BaseRequest) -> web.Response:
        return web.Response(text="ok\n")

    async def _description(self, request: web.BaseRequest) -> web.Response:
        return web.Response(body=self._openapi, headers={"Content-Type": JSON_TYPE})

    async def _ready(self, request: web.BaseRequest) -> web.Response:
        copy = self._copy
        is_ready = copy.is_ready.is_set() and copy.problem is None
        told = {"ready": is_ready, "current": copy.is_current, "numbers": len(copy)}
        return _json(told, 200 if is_ready else 503)

    def _number(self, quoted: str) -> web.Response:
        self._check_ready()
        text = unquote_to_bytes(quoted)
        if len(text) > NUMBER_BYTES_MAX:
            raise Refusal(400, "this is no telephone number")
        number = normalise(text.decode(errors="replace"), self._region)
        if number.key <= 0:
            raise Refusal(400, "this is no telephone number that could be blocked")
        block = self._copy.lookup(number.text)
        told = shown(block) if block is not None else {"number": number.text, "blocked": False}
        return _json(told | {"current": self._copy.is_current})

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        """All that is blocked with `startup=true`, or what changed since `cursor`; `wait` seconds for a change."""
        self._check_ready()
        query = request.query
        if unknown := query.keys() - {"startup", "cursor", "wait"}:
            raise Refusal(400, f"unknown: {', '.join(sorted(map(ascii, unknown)))}; there are startup, cursor and wait")
        if len(query) > len(set(query)):
            raise Refusal(400, "each of startup, cursor and wait may be said once")
        startup, cursor, wait_s = query.get("startup", "false"), query.get("cursor"), _seconds(query.get("wait", "0"))
        if startup not in ("true", "false") or (startup == "true") == (cursor is not None):
            raise Refusal(400, "say startup=true to get all, or cursor=... to get what is new since an earlier answer")
        if cursor is None:
            return await self._send(request, self._copy.everything())
        return await self._send(request, await self._news(cursor, wait_s))

    async def _news(self, cursor: str, wait_s: float) -> Delta:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + wait_s
        while True:
            try:
                delta = self._copy.since(cursor)
            except CursorGone as gone:
                raise Refusal(410, f"{gone}: ask again with startup=true") from gone
            if delta.cursor != cursor or loop.time() >= until_s:
                return delta
            await asyncio.sleep(min(POLL_S, wait_s))

    async def _send(self, request: web.BaseRequest, delta: Delta) -> web.StreamResponse:
        """In pieces: all that is blocked may be hundreds of megabytes."""
        response = web.StreamResponse(headers={"Content-Type": JSON_TYPE})
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        for piece in _pieces(delta, self._copy.is_current):
            await response.write(piece)
        await response.write_eof()
        return response

    def _check_ready(self) -> None:
        if not self._copy.is_ready.is_set() or self._copy.problem is not None:
            raise Refusal(503, "the blocked numbers are still being read")


def shown(block: BlockState) -> dict[str, Any]:
    """A blocked number as a blocker needs it."""
    return {
        "number": block.number,
        "blocked": True,
        "until": block.until,
        "directions": block.directions,
        "actions": block.actions,
        "announcement": next((hold.announcement for hold in block.holds if hold.announcement is not None), None),
        "rules": [hold.rule for hold in block.holds],
        "event_id": block.event_id,
    }


def _pieces(delta: Delta, is_current: bool) -> Iterator[bytes]:
    head = orjson.dumps({"cursor": delta.cursor, "current": is_current, "deleted": delta.deleted})
    yield head[:-1] + b',"new":['
    for start in range(0, len(delta.new), PIECE):
        shown_now = [orjson.dumps(shown(block)) for block in delta.new[start : start + PIECE]]
        yield (b"," if start else b"") + b",".join(shown_now)
    yield b"]}"


def _seconds(text: str) -> float:
    if not (text.isascii() and text.isdigit() and len(text) < 4 and int(text) <= WAIT_MAX_S):
        raise Refusal(400, f"wait is a whole number of seconds, {WAIT_MAX_S:.0f} at most")
    return float(text)


def _json(told: Mapping[str, object], status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        body=orjson.dumps(told), status=status, headers={"Content-Type": JSON_TYPE} | dict(headers or {})
    )
