"""Starts workers by forking a process that has everything imported and its kernels ready.

A worker's start takes seconds, most of them for loading compiled kernels, and the fault tests start hundreds. Each
child runs the real command line in a process of its own, with its own log file; nothing of the parent's but code is
shared. The parent speaks JSON lines on its standard streams, and ends, with all its children, when its input does.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
POLL_S = 0.02
EXPIRE_INTERVAL_S = 0.01  # a hundred times as often as ever: between any two steps of an epoch


class Zygote:
    """The parent, seen from a test. rules: the file whose kernels the workers will need."""

    def __init__(self, rules: Path) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GRAYLINE_")}
        paths = [str(ROOT), *filter(None, [clean.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote", str(rules)], cwd=ROOT, text=True,
            env=clean | {"PYTHONPATH": os.pathsep.join(paths)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def wait_ready(self) -> None:
        """It imports and compiles in the background from its making on."""
        self._ask({"ready": True})

    def start(self, arguments: list[str], log: Path, environment: Mapping[str, str]) -> Process:
        order = {"arguments": arguments, "log": str(log), "environment": dict(environment)}
        return Process(self, self._ask(order)["pid"], log)

    def exit_code(self, pid: int) -> int | None:
        """None while it runs; -9 after SIGKILL."""
        code: int | None = self._ask({"poll": pid})["code"]
        return code

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the parent of the workers ended with code {self._process.wait()}"
        return dict(json.loads(answer))


class Process:
    """One `grayline` process."""

    def __init__(self, zygote: Zygote, pid: int, log: Path) -> None:
        self._zygote = zygote
        self.pid = pid
        self._log = log
        self._code: int | None = None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; -9 after SIGKILL."""
        if self._code is None:
            self._code = self._zygote.exit_code(self.pid)
        return self._code

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""  # it has only just been forked

    def signal(self, number: int) -> None:
        if self.exit_code is None:
            os.kill(self.pid, number)

    def wait(self, limit_s: float) -> int:
        """Its exit code; fails with its log when it does not end in time."""
        give_up = time.monotonic() + limit_s
        while (code := self.exit_code) is None:
            assert time.monotonic() < give_up, f"process {self.pid} did not end within {limit_s:g} s\n{self.log}"
            time.sleep(POLL_S)
        return code

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait(10)


def main(rules: Path) -> None:
    from rules.load import load
    from streams import cli
    from streams.cli import run  # noqa: F401 (imported here, so that children need not)
    from streams.engine.warm import warm
    from streams.worker import wiring, worker
    from tests.faults import kills

    assert worker
    assert wiring.EXPIRE_INTERVAL_S == 1.0  # under this name, or it would be set in vain
    wiring.EXPIRE_INTERVAL_S = EXPIRE_INTERVAL_S
    warm(load([rules]))
    # As `grayline run` does in its first lines; here, so that a worker has it before anybody knows its pid.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    running: set[int] = set()
    for line in sys.stdin:
        order = json.loads(line)
        if "ready" in order:
            answer: dict[str, Any] = {}
        elif "poll" in order:
            pid = order["poll"]
            ended, status = os.waitpid(pid, os.WNOHANG)
            running.discard(ended)
            answer = {"code": os.waitstatus_to_exitcode(status) if ended else None}
        else:
            pid = os.fork()
            if pid == 0:
                _become_worker(order)
                kills.install(os.environ)
                cli.main()
                return
            running.add(pid)
            answer = {"pid": pid}
        print(json.dumps(answer), flush=True)
    for pid in running:
        os.kill(pid, signal.SIGKILL)


def _become_worker(order: dict[str, Any]) -> None:
    os.setpgid(0, 0)  # Ctrl-C is for the tests, not for the workers
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((0, nothing), (1, log), (2, log)):
        os.dup2(new, old)
    os.environ.update(order["environment"])
    faulthandler.register(signal.SIGUSR1)  # a test that waits in vain shows where the threads are
    sys.argv = ["grayline", *order["arguments"]]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
