"""The worker's pages on Faust's web server: /health, /ready and /metrics. Nothing here acts."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Any

from streams.metrics import Metrics

METRICS_TYPE = "text/plain; version=0.0.4"


def attach(app: Any, metrics: Metrics, status: Callable[[], Mapping[str, object]], token: str) -> None:
    """status() gives the body of /ready, with `ready` in it. With a token, all pages but /health ask for it."""

    def allowed(request: Any) -> bool:
        given = request.headers.get("Authorization", "")
        return not token or hmac.compare_digest(given.encode(), f"Bearer {token}".encode())

    def refused(page: Any) -> Any:
        return page.text("send the token: Authorization: Bearer TOKEN\n", status=401)

    @app.page("/health", name="health")
    async def health(page: Any, request: Any) -> Any:
        return page.text("ok\n")

    @app.page("/ready", name="ready")
    async def ready(page: Any, request: Any) -> Any:
        if not allowed(request):
            return refused(page)
        body = dict(status())
        return page.json(body, status=200 if body["ready"] else 503)

    @app.page("/metrics", name="metrics")
    async def show_metrics(page: Any, request: Any) -> Any:
        if not allowed(request):
            return refused(page)
        return page.text(metrics.render().decode(), content_type=METRICS_TYPE)
