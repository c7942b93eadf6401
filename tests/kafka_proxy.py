"""A proxy between Kafka's clients and a broker that knows requests from answers, and which API each is of.

    with Proxy() as proxy, Broker(proxy_port=proxy.port) as broker:
        proxy.target = broker.behind_proxy
        lost = proxy.once(END_TXN, DROP_ANSWER)      # clients of `proxy.bootstrap` meet it, others do not
        ...
        assert lost.happened.wait(10)

Frames pass unchanged, in order, until a fault that was asked for meets the first frame of its API. `take_away` loses
the broker as a whole, for the clients of the proxy, until `bring_back`.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

PRODUCE = 0
ADD_OFFSETS_TO_TXN = 25
END_TXN = 26
TXN_OFFSET_COMMIT = 28

DROP_ANSWER = "drop the answer"  # the connection stays open
CUT_ANSWER = "cut the connection instead of answering"
HOLD_ANSWER = "hold the answer until release()"
HOLD_REQUEST = "hold the request until release(), even when the client has hung up meanwhile"
CUT = "break every connection and take no new one"
SILENT = "keep connections, and let nothing pass"
REFUSE = "answer with an error"  # of AddOffsetsToTxn only, whose answer has one error and nothing else

UNKNOWN_SERVER_ERROR = -1


@dataclass
class Fault:
    """One thing that goes wrong, once. Events: `happened`, and for what was held `delivered`."""

    api: int
    what: str
    happened: threading.Event = field(default_factory=threading.Event)
    delivered: threading.Event = field(default_factory=threading.Event)
    _released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        self._released.set()

    def hold(self) -> None:
        self.happened.set()
        self._released.wait()


class Proxy:
    """Listens on a free port of loopback from its making on; a context manager."""

    def __init__(self) -> None:
        self.target = ""
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.bootstrap = f"127.0.0.1:{self.port}"
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._all_faults: list[Fault] = []
        self._sockets: list[socket.socket] = []
        self._is_cut = False
        self._flows = threading.Event()
        self._flows.set()

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.bring_back()
        for fault in self._all_faults:
            fault.release()
        self._hang_up_all()

    def take_away(self, how: str) -> None:
        """how: CUT or SILENT."""
        if how == SILENT:
            self._flows.clear()
        else:
            self._is_cut = True
            self._hang_up_all()

    def bring_back(self) -> None:
        """Lets held bytes go on, as from a broker that stood still."""
        self._is_cut = False
        self._flows.set()

    def _hang_up_all(self) -> None:
        with self._lock:
            for each in self._sockets:
                _hang_up(each)
            self._sockets.clear()

    def once(self, api: int, what: str) -> Fault:
        """The next request of `api`, or its answer, meets the fault."""
        fault = Fault(api, what)
        with self._lock:
            self._faults.append(fault)
            self._all_faults.append(fault)
        return fault

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if self._is_cut:
                client.close()
                continue
            host, port = self.target.rsplit(":", 1)
            try:
                broker = socket.create_connection((host, int(port)))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._sockets += [client, broker]
            asked: dict[int, tuple[int, int]] = {}  # correlation id -> (API, its version)
            for pump in (self._requests, self._answers):
                threading.Thread(target=pump, args=(client, broker, asked), name="proxy", daemon=True).start()

    def _requests(self, client: socket.socket, broker: socket.socket, asked: dict[int, tuple[int, int]]) -> None:
        with suppress(OSError):
            while frame := _frame(client):
                api, version, correlation = struct.unpack_from(">hhi", frame, 4)
                asked[correlation] = (api, version)
                fault = self._take(api, HOLD_REQUEST)
                if fault:
                    fault.hold()
                self._flows.wait()
                broker.sendall(frame)
                if fault:
                    fault.delivered.set()
        _hang_up(broker)

    def _answers(self, client: socket.socket, broker: socket.socket, asked: dict[int, tuple[int, int]]) -> None:
        with suppress(OSError):
            while frame := _frame(broker):
                api, version = asked.pop(struct.unpack_from(">i", frame, 4)[0])
                fault = self._take(api, DROP_ANSWER, CUT_ANSWER, HOLD_ANSWER, REFUSE)
                if fault and fault.what == HOLD_ANSWER:
                    fault.hold()
                elif fault:
                    fault.happened.set()
                if fault and fault.what == CUT_ANSWER:
                    break
                if fault and fault.what == DROP_ANSWER:
                    continue
                if fault and fault.what == REFUSE:
                    frame = _refused(frame, version)
                self._flows.wait()
                try:
                    client.sendall(frame)
                finally:
                    if fault:
                        fault.delivered.set()
        _hang_up(client)

    def _take(self, api: int, *kinds: str) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.api == api and fault.what in kinds:
                    self._faults.remove(fault)
                    return fault
        return None


def _refused(frame: bytes, version: int) -> bytes:
    """An answer to AddOffsetsToTxn: length, correlation id, tags from version 3 on, throttling time, error."""
    at = 4 + 4 + (1 if version >= 3 else 0) + 4
    return frame[:at] + struct.pack(">h", UNKNOWN_SERVER_ERROR) + frame[at + 2 :]


def _frame(source: socket.socket) -> bytes:
    """The next frame with its length; empty at the end of the connection."""
    head = _exactly(source, 4)
    body = head and _exactly(source, struct.unpack(">i", head)[0])
    return head + body if body else b""


def _exactly(source: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = source.recv(count - len(parts))
        if not part:
            return b""
        parts += part
    return bytes(parts)


def _hang_up(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
