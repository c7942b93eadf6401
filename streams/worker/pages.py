"""The worker's pages: /health, /ready and /metrics. Nothing here acts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson
from aiohttp import web

from streams.runtime.metrics import Metrics
from streams.runtime.web_server import Answer, has_token

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
JSON_TYPE = "application/json; charset=utf-8"


def pages(metrics: Metrics, status: Callable[[], Mapping[str, object]], token: str) -> Answer:
    """status() gives the body of /ready, with `ready` in it. With a token, all pages but /health ask for it."""

    def health() -> web.Response:
        return web.Response(text="ok\n")

    def ready() -> web.Response:
        body = status()
        return _typed(JSON_TYPE, orjson.dumps(body), 200 if body["ready"] else 503)

    def show_metrics() -> web.Response:
        return _typed(METRICS_TYPE, metrics.render())

    answers = {"/health": health, "/ready": ready, "/metrics": show_metrics}

    async def answer(request: web.BaseRequest) -> web.Response:
        if request.path not in answers:
            return web.Response(text="404: Not Found", status=404)
        if request.method not in ("GET", "HEAD"):
            return web.Response(text="405: Method Not Allowed", status=405, headers={"Allow": "GET,HEAD"})
        if token and request.path != "/health" and not has_token(request, token):
            return web.Response(text="send the token: Authorization: Bearer TOKEN\n", status=401)
        return answers[request.path]()

    return answer


def _typed(content_type: str, body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, headers={"Content-Type": content_type})
