"""The worker's pages: /health, /ready, /metrics, /why, and /reload, by which the worker reads its files again.

The number that /why is asked about stands in the request's body: an address is kept in the logs of proxies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec
import orjson
from aiohttp import web

from schemas.json_reading import JsonReader, Unreadable
from schemas.printable import printable
from streams.runtime.metrics import Metrics
from streams.runtime.web_server import Answer, has_token

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
JSON_TYPE = "application/json; charset=utf-8"

NO_TOKEN = "set GRAYLINE_WEB_TOKEN: without a token no number is spoken of, and no file is read again\n"
SEND_TOKEN = "send the token: Authorization: Bearer TOKEN\n"
BODY_MAX = 1024  # bytes of a question

# Asked about a number, masked in the answer or not; gives the status and the body.
Why = Callable[[str, bool], tuple[int, Mapping[str, object]]]
# Reads the files again; gives the same.
Reload = Callable[[], Awaitable[tuple[int, Mapping[str, object]]]]


class Question(msgspec.Struct):
    """The body of a request to /why."""

    number: str
    unmasked: bool = False


_question = JsonReader(Question)


def knows_nothing(number: str, unmasked: bool) -> tuple[int, Mapping[str, object]]:
    """The answer of a worker that counts nothing."""
    return 404, {"problem": "this worker counts no number"}


async def reloads_nothing() -> tuple[int, Mapping[str, object]]:
    """The answer of a worker that has no files."""
    return 404, {"ok": False, "problems": ["this worker was started without files"]}


def pages(
    metrics: Metrics,
    status: Callable[[], Mapping[str, object]],
    token: str,
    why: Why = knows_nothing,
    reload: Reload = reloads_nothing,
) -> Answer:
    """status() gives the body of /ready, with `ready` in it. With a token, all pages but /health ask for it; /why and
    /reload have no answer without one."""

    def health() -> web.Response:
        return web.Response(text="ok\n")

    def ready() -> web.Response:
        body = status()
        return _typed(JSON_TYPE, orjson.dumps(body), 200 if body["ready"] else 503)

    def show_metrics() -> web.Response:
        return _typed(METRICS_TYPE, metrics.render())

    answers = {"/health": health, "/ready": ready, "/metrics": show_metrics}

    async def ask(request: web.BaseRequest) -> web.Response:
        if request.method != "POST":
            return web.Response(text="405: Method Not Allowed", status=405, headers={"Allow": "POST"})
        if not token:
            return web.Response(text=NO_TOKEN, status=403)
        if not has_token(request, token):
            return web.Response(text=SEND_TOKEN, status=401)
        body = await _body(request)
        if len(body) > BODY_MAX:
            return web.Response(text="413: Content Too Large", status=413)
        if request.path == "/reload":
            code, found = await reload()
            return _typed(JSON_TYPE, orjson.dumps(found), code)
        try:
            question = _question.read(body)
        except Unreadable as problem:
            return web.Response(text=f"400: {printable(str(problem))}\n", status=400)
        code, found = why(question.number, question.unmasked)
        return _typed(JSON_TYPE, orjson.dumps(found), code)

    async def answer(request: web.BaseRequest) -> web.Response:
        if request.path in ("/why", "/reload"):
            return await ask(request)
        if request.path not in answers:
            return web.Response(text="404: Not Found", status=404)
        if request.method not in ("GET", "HEAD"):
            return web.Response(text="405: Method Not Allowed", status=405, headers={"Allow": "GET,HEAD"})
        if token and request.path != "/health" and not has_token(request, token):
            return web.Response(text=SEND_TOKEN, status=401)
        return answers[request.path]()

    return answer


async def _body(request: web.BaseRequest) -> bytes:
    """The whole body, which may come in pieces; of one that is too large a byte more than may be."""
    body = b""
    while piece := await request.content.read(BODY_MAX + 1 - len(body)):
        body += piece
    return body


def _typed(content_type: str, body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, headers={"Content-Type": content_type})
