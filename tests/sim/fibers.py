"""Threads of which exactly one runs at a time, in an order that the seed decides, on a clock that is not the wall's.

The product blocks in calls to its Kafka client, in threads of its own. Each such thread is a fiber here: it gives the
baton back whenever it would wait, and the scheduler hands it to another one. Two runs of one seed switch at the same
places.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random

NEVER_MS = 1 << 62
SWITCHES_MAX = 1_000_000
STUCK_S = 300.0  # of wall time; kernels may have to be compiled


class SimCrash(SystemExit):
    """kill -9, as far as a fiber can tell. asyncio lets a SystemExit through, and nothing of ours catches one."""


class Stuck(AssertionError):
    """The history does not end: every fiber waits, or they go round in circles."""


class Fiber:
    """One thread of one process. `ready_ms`: when it wants to go on; `frozen` is its process's (SIGSTOP)."""

    def __init__(self, scheduler: Scheduler, process: Process, name: str, work: Callable[[], None]) -> None:
        self.process = process
        self.name = name
        self.ready_ms = scheduler.now_ms
        self.ended = False
        self._scheduler = scheduler
        self._work = work
        self._baton = locked()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    def resume(self) -> None:
        """Called by the scheduler: returns when the fiber waits again or has ended."""
        self._baton.release()
        if not self._scheduler.returned.acquire(timeout=STUCK_S):
            raise Stuck(f"{self.name} has not given the baton back for {STUCK_S:.0f} s of wall time")

    def wait(self, until_ms: int) -> None:
        """Called by the fiber itself: let others run until `until_ms`, or until somebody wakes it."""
        self.ready_ms = until_ms
        if self._scheduler.goes_on_with(self):
            return
        self._scheduler.returned.release()
        self._baton.acquire()
        if self.process.dead:
            raise SimCrash(137)

    def where(self) -> str:
        """The place in which it waits, for whoever has to find out why it does."""
        frames = traceback.extract_stack(sys._current_frames()[self._thread.ident or 0])
        lines = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
        return f"{self.name}'s: " + " < ".join(reversed(lines[-14:]))

    def wake(self) -> None:
        self.ready_ms = min(self.ready_ms, self._scheduler.now_ms)

    def _main(self) -> None:
        self._baton.acquire()
        try:
            if not self.process.dead:
                self._work()
        except SimCrash:
            pass
        except BaseException as problem:  # the scheduler raises it where the history is driven
            self._scheduler.problems.append((self.name, problem))
        self.ended = True
        self._scheduler.returned.release()


def locked() -> threading.Lock:
    """A semaphore of 0: half the cost of threading's, and there are tens of thousands of switches in a history."""
    lock = threading.Lock()
    lock.acquire()
    return lock


class Process:
    """Fibers that share a memory: a crash ends them all at once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.frozen_until_ms = 0


class Scheduler:
    """Hands the baton round. Time passes only when every fiber waits for it."""

    def __init__(self, random: Random, now_ms: int) -> None:
        self.random = random
        self.now_ms = now_ms
        self.started_ms = now_ms
        self.returned = locked()
        self.problems: list[tuple[str, BaseException]] = []
        self.current: Fiber | None = None
        self.switches = 0
        self.tick: Callable[[], int] = lambda: NEVER_MS  # does what is due in the world, returns when it wants to again
        self._fibers: list[Fiber] = []
        self._chosen: Fiber | None = None  # by the fiber that waits, for `run` to resume
        self._until: Callable[[], bool] = lambda: True
        self._limit_ms = NEVER_MS

    def monotonic_s(self) -> float:
        return 1_000 + (self.now_ms - self.started_ms) / 1000

    def start(self, process: Process, name: str, work: Callable[[], None]) -> Fiber:
        fiber = Fiber(self, process, f"{process.name}/{name}", work)
        self._fibers.append(fiber)
        return fiber

    def wait(self, until_ms: int = NEVER_MS) -> None:
        """The running fiber gives the baton back until then."""
        assert self.current is not None, "only a fiber can wait"
        self.current.wait(until_ms)

    def sleep(self, duration_ms: int) -> None:
        """Like `wait`, but being woken does not shorten it."""
        until_ms = self.now_ms + duration_ms
        while self.now_ms < until_ms:
            self.wait(until_ms)

    def run(self, until: Callable[[], bool], limit_ms: int) -> None:
        """Until `until()` holds between two switches. Raises what a fiber raised, or Stuck after `limit_ms`."""
        self._until, self._limit_ms = until, limit_ms
        while not until():
            fiber, self._chosen = self._chosen, None
            if fiber is None:
                self._unwind_the_dead()
                fiber = self._choose()
            if fiber is not None:
                self._resume(fiber)

    def goes_on_with(self, fiber: Fiber) -> bool:
        """Asked by the fiber that waits: whether it is its turn again. Most often it is, and no thread has to be woken:
        that costs more than all the rest."""
        if fiber is not self.current:
            return False
        while not (self._until() or self.problems or self._must_unwind()):
            try:
                self._chosen = self._choose()
            except Exception as problem:
                self.problems.append((fiber.name, problem))
                return False
            if self._chosen is fiber:
                self._chosen = None
                return True
            if self._chosen is not None:
                return False
        return False

    def _choose(self) -> Fiber | None:
        """Whose turn it is; None when time has passed instead."""
        wanted_ms = self.tick()
        now_ms = self.now_ms
        ready = [
            f for f in self._fibers if f.ready_ms <= now_ms and f.process.frozen_until_ms <= now_ms and not f.ended
        ]
        if not ready:
            upcoming = [self._due_ms(f) for f in self._fibers if not f.ended]
            next_ms = min([wanted_ms, *upcoming])
            if next_ms > self._limit_ms:
                raise Stuck(
                    f"nothing happens any more, {(self.now_ms - self.started_ms) / 1000:.1f} s into the history"
                )
            self.now_ms = max(self.now_ms, next_ms)
            return None
        self.switches += 1
        if self.switches > SWITCHES_MAX:
            raise Stuck(f"{SWITCHES_MAX} switches and no end; the last turn is {ready[0].where()}")
        return ready[self.random.randrange(len(ready))] if len(ready) > 1 else ready[0]

    def _must_unwind(self) -> bool:
        return any(fiber.ended or fiber.process.dead for fiber in self._fibers)

    def _unwind_the_dead(self) -> None:
        """A dead process's memory is gone: nothing that its fibers still do has any effect."""
        for fiber in self._fibers:
            while fiber.process.dead and not fiber.ended:
                self._resume(fiber)
        self._fibers = [fiber for fiber in self._fibers if not fiber.ended]

    def _resume(self, fiber: Fiber) -> None:
        before, self.current = self.current, fiber
        fiber.resume()
        self.current = before
        if self.problems:
            name, problem = self.problems[0]
            raise RuntimeError(f"fiber {name} ended with {type(problem).__name__}: {problem}") from problem

    def _due_ms(self, fiber: Fiber) -> int:
        return max(fiber.ready_ms, fiber.process.frozen_until_ms)
