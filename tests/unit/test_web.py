"""The worker's pages over real sockets: what they answer, and that no client holds them up."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from streams.runtime import web_server as server
from streams.runtime.metrics import Metrics
from streams.runtime.web_server import Answer, Bounds, serving
from streams.worker.pages import pages
from tests.kafka_broker import free_ports

LONG_S = 60.0
LARGE = 64_000_000  # bytes that no buffer of a socket takes
LISTENING = "0A"
TOKEN = "secret-1"
WITH_TOKEN = f"Authorization: Bearer {TOKEN}\r\n".encode()


class Site:
    """A server on a loop and a thread of its own."""

    def __init__(self, answer: Answer, host: str = "127.0.0.1") -> None:
        self._host = host
        (self.port,) = free_ports(1)
        self._answer = answer
        self._up = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def __enter__(self) -> Site:
        self._thread.start()
        assert self._up.wait(LONG_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(LONG_S)
        assert not self._thread.is_alive()

    async def _serve(self) -> None:
        self._done = asyncio.Event()
        async with serving(self._answer, self._host, self.port):
            self._up.set()
            await self._done.wait()

    def connect(self, sent: bytes = b"", receive_bytes: int = 0) -> socket.socket:
        client = socket.socket()
        client.settimeout(LONG_S)
        if receive_bytes:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        client.connect(("127.0.0.1", self.port))
        client.sendall(sent)
        return client

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """The status and the whole of one answer, up to the end of the connection."""
        with self.connect(request) as client:
            got = _to_the_end(client)
        assert got.startswith(b"HTTP/1."), got
        return int(got.split(b" ", 2)[1]), got

    def get(self, path: str, headers: bytes = b"", method: str = "GET") -> tuple[int, bytes]:
        return self.ask(f"{method} {path} HTTP/1.1\r\nHost: here\r\n".encode() + headers + b"\r\n")


def _to_the_end(client: socket.socket) -> bytes:
    got = b""
    while more := client.recv(65536):
        got += more
    return got


def _wait_for_the_end(client: socket.socket) -> None:
    """Returns once the server has ended the connection, without reading what it sent before."""
    watch = select.poll()
    watch.register(client, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
    assert watch.poll(LONG_S * 1000), "the server keeps the connection open"


STATUS = {"ready": True, "partitions": [0, 1], "restoring": {}}


@pytest.fixture
def site() -> Iterator[Site]:
    with Site(pages(Metrics(), lambda: STATUS, TOKEN)) as made:
        yield made


def test_each_page_has_its_type(site: Site) -> None:
    status, answer = site.get("/health")
    assert (status, answer.split(b"\r\n\r\n")[1]) == (200, b"ok\n")
    status, answer = site.get("/ready", WITH_TOKEN)
    assert status == 200
    assert b"Content-Type: application/json; charset=utf-8\r\n" in answer
    assert json.loads(answer.split(b"\r\n\r\n")[1]) == STATUS
    status, answer = site.get("/metrics", WITH_TOKEN)
    assert status == 200
    assert b"Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n" in answer
    assert b"grayline_records_total" in answer


def test_a_worker_that_is_not_ready_says_503() -> None:
    with Site(pages(Metrics(), lambda: {"ready": False}, "")) as site:
        assert site.get("/ready")[0] == 503


@pytest.mark.parametrize("path", ["/ready", "/metrics"])
@pytest.mark.parametrize(
    "given",
    [b"", b"Bearer secret-2", b"Bearer secret-", b"Bearer secret-12", b"Bearer", b"secret-1", b"Basic secret-1",
     b"Bearer \xff\xfe", b"\xed\xa0\x80", "Bearer sécret-1".encode(), b"Bearer " + b"s" * 4000],
)  # fmt: skip
def test_anything_but_the_token_is_401(site: Site, path: str, given: bytes) -> None:
    status, answer = site.get(path, b"Authorization: " + given + b"\r\n" if given else b"")
    assert status == 401
    assert b"grayline_" not in answer
    assert b"partitions" not in answer
    assert TOKEN.encode() not in answer


def test_a_token_may_hold_any_bytes() -> None:
    token = b"gr\xc3\xbcn-\xff".decode(errors="surrogateescape")  # as os.environ has it
    with Site(pages(Metrics(), lambda: STATUS, token)) as site:
        assert site.get("/ready", b"Authorization: Bearer gr\xc3\xbcn-\xff\r\n")[0] == 200
        assert site.get("/ready", b"Authorization: Bearer gr\xc3\xbcn-\xfe\r\n")[0] == 401


def test_tokens_are_compared_in_constant_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[Any, Any]] = []
    right = hmac.compare_digest

    def compare(given: Any, expected: Any) -> bool:
        compared.append((given, expected))
        return right(given, expected)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert site.get("/ready", b"Authorization: Bearer guess\r\n")[0] == 401
    assert compared == [(b"Bearer guess", b"Bearer secret-1")]


@pytest.mark.parametrize(
    "path",
    ["/", "/health/", "//health", "/router/", "/graph", "/metrics/../etc/passwd", "/x/../metrics", "/..%2fmetrics",
     "/%2e%2e/metrics", "/metrics%00", "/metrics;x", "/METRICS", "/metrics%0d%0aSet-Cookie:x", "/" + "a/" * 1000],
)  # fmt: skip
def test_a_path_that_is_no_page_is_404(site: Site, path: str) -> None:
    assert site.get(path)[0] == 404
    assert site.get(path, WITH_TOKEN)[0] == 404


@pytest.mark.parametrize("path", ["/metrics?a=b", "/%6detrics", "http://elsewhere/metrics", "/metrics#health"])
def test_another_spelling_of_a_page_asks_for_the_token_too(site: Site, path: str) -> None:
    assert site.get(path)[0] == 401
    assert site.get(path, WITH_TOKEN)[0] == 200


def test_head_answers_as_get_without_the_body(site: Site) -> None:
    status, answer = site.get("/health", method="HEAD")
    assert status == 200
    assert b"Content-Length: 3\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")
    assert site.get("/metrics", method="HEAD")[0] == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_a_method_that_would_act_is_405(site: Site, method: str) -> None:
    status, answer = site.get("/metrics", WITH_TOKEN, method)
    assert status == 405
    assert b"Allow: GET,HEAD\r\n" in answer


ASKED = b'{"number":"+821011110001"}'


def asked(body: bytes, headers: bytes = WITH_TOKEN, method: str = "POST") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return method.encode() + b" /why HTTP/1.1\r\nHost: x\r\n" + headers + length + b"\r\n" + body


@pytest.fixture
def knowing() -> Iterator[Site]:
    with Site(pages(Metrics(), lambda: STATUS, TOKEN, lambda number, unmasked: (200, {number: unmasked}))) as made:
        yield made


def test_a_question_about_a_number_is_answered_to_who_has_the_token(knowing: Site) -> None:
    status, answer = knowing.ask(asked(ASKED))
    assert (status, answer.split(b"\r\n\r\n")[1]) == (200, b'{"+821011110001":false}')
    assert knowing.ask(asked(ASKED[:-1] + b',"unmasked":true}'))[1].endswith(b'{"+821011110001":true}')
    for wrong in (b"", b"Authorization: Bearer secret-2\r\n"):
        status, answer = knowing.ask(asked(ASKED, wrong))
        assert status == 401
        assert b"+8210" not in answer


def test_without_a_token_set_no_number_is_spoken_of() -> None:
    with Site(pages(Metrics(), lambda: STATUS, "", lambda number, unmasked: (200, {"number": number}))) as site:
        status, answer = site.ask(asked(ASKED, b"Authorization: Bearer \r\n"))
    assert status == 403
    assert b"+8210" not in answer


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b"[]", 400), (b'{"number":7}', 400), (b'{"number":"' + b"9" * 1100 + b'"}', 413)],
    ids=["empty", "half", "list", "no text", "too large"],
)
def test_a_question_that_is_none_is_refused(knowing: Site, body: bytes, status: int) -> None:
    assert knowing.ask(asked(body))[0] == status


def test_a_question_may_come_in_pieces(knowing: Site) -> None:
    whole = asked(ASKED)
    with knowing.connect(whole[: -len(ASKED)]) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in ASKED:
            client.sendall(bytes([byte]))
        got = _to_the_end(client)
    assert got.startswith(b"HTTP/1.1 200 ")
    assert got.endswith(b'{"+821011110001":false}')


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_question_is_posted(knowing: Site, method: str) -> None:
    status, answer = knowing.ask(asked(b"", method=method))
    assert status == 405
    assert b"Allow: POST\r\n" in answer


def test_old_http_is_spoken_too(site: Site) -> None:
    status, answer = site.ask(b"GET /health HTTP/1.0\r\n\r\n")
    assert (status, answer.split(b"\r\n\r\n")[1]) == (200, b"ok\n")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"rubbish\r\n\r\n",
        b"BREW /health HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET /health HTTP/9.9\r\nHost: here\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: here\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100) + b"\r\n\r\n",  # somebody speaks TLS
        b"GET /health HTTP/1.1\r\nHost: here\r\nX: " + b"y" * 9000 + b"\r\n\r\n",
        b"GET /" + b"y" * 9000 + b" HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: here\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"GET /health HTTP/1.1\r\nHost: here\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /health HTTP/1.1\r\nHost: here\r\nContent-Length: -1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: here\r\nA\x00B: c\r\n\r\n",
    ],
)
def test_what_is_no_http_is_400_and_says_nothing_in_the_log(
    site: Site, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert site.ask(request_bytes)[0] == 400
        assert site.get("/health")[0] == 200
    assert [r.getMessage() for r in caplog.records if not r.name.startswith("asyncio")] == []


def test_a_fault_of_ours_is_500_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> dict[str, object]:
        raise RuntimeError("no status today")

    with Site(pages(Metrics(), broken, "")) as site:
        status, answer = site.get("/ready")
        assert status == 500
        assert b"no status today" not in answer
        assert "no status today" in caplog.text
        assert site.get("/health")[0] == 200


def test_a_connection_is_for_one_request(site: Site) -> None:
    asked = b"GET /health HTTP/1.1\r\nHost: here\r\nConnection: keep-alive\r\n\r\n"
    status, answer = site.ask(asked * 100)  # pipelined
    assert status == 200
    assert answer.count(b"HTTP/1.1") == 1
    assert b"Connection: close\r\n" in answer


@pytest.mark.parametrize("upgrade", [b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"Expect: 100-continue\r\n"])
def test_nothing_else_is_negotiated(site: Site, upgrade: bytes) -> None:
    assert site.get("/health", upgrade)[0] == 200


BEGUN = {
    "nothing": b"",
    "half a line": b"GET /hea",
    "half the headers": b"GET /health HTTP/1.1\r\nHost: here\r\nX: y",
    "half a body": b"POST /health HTTP/1.1\r\nHost: here\r\nContent-Length: 100000\r\n\r\nabc",
    "half a chunked body": b"POST /health HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\nabc",
}


@pytest.mark.parametrize("begun", BEGUN.values(), ids=BEGUN.keys())
def test_a_client_that_dawdles_is_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    monkeypatch.setattr(server, "PAGES", Bounds(life_s=0.05))
    with site.connect(begun) as client:
        _wait_for_the_end(client)


def test_a_client_that_sends_byte_after_byte_is_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PAGES", Bounds(life_s=0.2))
    # It may show in the writing, too.
    with site.connect(b"GET /health HTTP/1.1\r\nX:") as client, suppress(ConnectionError):
        while not select.select([client], [], [], 0.01)[0]:
            client.sendall(b"y")


async def _large(request: web.BaseRequest) -> web.Response:
    return web.Response(body=bytes(LARGE))


def test_a_client_that_never_reads_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PAGES", Bounds(life_s=0.2))
    with Site(_large) as site, site.connect(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", receive_bytes=4096) as client:
        assert client.recv(9) == b"HTTP/1.1 "
        while _server_sockets(site.port):
            time.sleep(0.01)  # between two looks
        assert len(_to_the_end(client)) < LARGE


def test_a_client_that_never_reads_does_not_hold_up_the_end() -> None:
    with Site(_large) as site, site.connect(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", receive_bytes=4096) as client:
        assert client.recv(9) == b"HTTP/1.1 "
        site.end()
        assert not _server_sockets(site.port)
        assert len(_to_the_end(client)) < LARGE


def _server_sockets(port: int) -> int:
    """The number of connections of this port for which the server still has a descriptor; the kernel shows inode 0 for
    others."""
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] != LISTENING and row[9] != "0" for row in rows)


def test_one_connection_too_many_ends_the_oldest(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PAGES", Bounds(connections=3))
    clients = []
    for _ in range(4):  # each is accepted before the next one comes: it is answered, and its body waited for
        clients.append(site.connect(BEGUN["half a body"]))
        assert clients[-1].recv(12) == b"HTTP/1.1 405"
    _wait_for_the_end(clients[0])
    assert site.get("/health")[0] == 200
    _wait_for_the_end(clients[1])
    for client in clients:
        client.close()


def test_an_end_frees_a_place(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PAGES", Bounds(connections=2))
    with site.connect(BEGUN["half a body"]) as waiting:
        assert waiting.recv(12) == b"HTTP/1.1 405"
        for _ in range(10):
            assert site.get("/health")[0] == 200
        waiting.setblocking(False)
        assert waiting.recv(1000).endswith(b"Method Not Allowed")
        with pytest.raises(BlockingIOError):  # not ended
            waiting.recv(1)


IPV6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", pytest.param("::1", marks=IPV6)])
def test_it_listens_where_it_is_told_to(host: str) -> None:
    site = Site(pages(Metrics(), lambda: STATUS, ""), host)
    with site, socket.create_connection((host, site.port)) as client:
        client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert b"200 OK" in _to_the_end(client)


def test_a_crowd_of_clients_that_dawdle_leaves_a_page_to_others(site: Site) -> None:
    crowd = [site.connect(BEGUN["half the headers"]) for _ in range(300)]
    assert site.get("/health")[0] == 200
    for client in crowd[: -server.PAGES.connections]:
        _wait_for_the_end(client)
    for client in crowd:
        client.close()


def test_files_are_read_again_for_who_has_the_token_alone() -> None:
    async def reload() -> tuple[int, dict[str, object]]:
        return 200, {"ok": True}

    def posted(headers: bytes, path: bytes = b"/reload", method: bytes = b"POST") -> bytes:
        return method + b" " + path + b" HTTP/1.1\r\nHost: x\r\n" + headers + b"Content-Length: 0\r\n\r\n"

    right = b"Authorization: Bearer " + TOKEN.encode() + b"\r\n"
    with Site(pages(Metrics(), lambda: STATUS, TOKEN, reload=reload)) as site:
        status, answer = site.ask(posted(right))
        assert (status, answer.split(b"\r\n\r\n")[1]) == (200, b'{"ok":true}')
        assert site.ask(posted(b""))[0] == 401
        assert site.ask(posted(right, method=b"GET"))[0] == 405
    with Site(pages(Metrics(), lambda: STATUS, "", reload=reload)) as site:
        assert site.ask(posted(right))[0] == 403
    with Site(pages(Metrics(), lambda: STATUS, TOKEN)) as site:
        assert site.ask(posted(right))[0] == 404
