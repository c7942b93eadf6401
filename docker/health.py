"""The image's health check: whether the worker's own /health answers. Nothing to ask where no web server is on."""

import http.client
import os

port = int(os.environ.get("GRAYLINE_WEB_PORT") or 0)
if port:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    connection.request("GET", "/health")
    answer = connection.getresponse().status
    if answer != 200:
        raise SystemExit(f"/health says {answer}")
