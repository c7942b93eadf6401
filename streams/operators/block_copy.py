"""A copy of `block-events` in memory, kept up to date by a thread of its own, with a memory of what changed.

A block ends in the copy by its own clock, also while Kafka is away: `is_current` says whether the copy may lack
changes."""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import NamedTuple

from streams.kafka.settings import KafkaProblem
from streams.operators.blocks import BlockChange, BlockReader, BlockState, is_blocked

CHANGES_MAX = 100_000  # that are remembered for those who ask what is new


class CursorGone(LookupError):
    """The changes since then are not remembered; the caller has to read everything anew."""


class Delta(NamedTuple):
    """Brings a list up to date. cursor: where the next delta goes on."""

    cursor: str
    new: list[BlockState]  # blocked now: to be added, or to replace what the list has of the number
    deleted: list[str]  # numbers that are not blocked


class BlockCopy:
    """now_ms: this machine's clock, ms since the epoch. reader: not yet entered; the thread enters and leaves it."""

    def __init__(self, reader: BlockReader, now_ms: Callable[[], int]) -> None:
        self.problem: KafkaProblem | None = None  # that ended the thread
        self.is_ready = threading.Event()  # the copy is whole, or the thread has ended
        self._reader, self._now_ms = reader, now_ms
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="blocks", daemon=True)
        self._lock = threading.Lock()  # of all below
        self._states: dict[str, BlockState] = {}
        self._name = uuid.uuid4().hex[:12]  # another process counts its changes anew
        self._count = 0  # of changes so far
        self._changed: deque[str] = deque(maxlen=CHANGES_MAX)  # the numbers, the newest last

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Ends the thread and closes the reader."""
        self._stopping.set()
        self._thread.join()

    @property
    def is_current(self) -> bool:
        """False while no broker answers."""
        return self.problem is None and self._reader.is_answered

    def __len__(self) -> int:
        return len(self._states)

    def lookup(self, number: str) -> BlockState | None:
        """The state of a number (E.164) that is blocked now, None for any other."""
        state = self._states.get(number)
        return state if is_blocked(state, self._now_ms()) else None

    def everything(self) -> Delta:
        """All that is blocked now, by number."""
        with self._lock:
            cursor, states = self._cursor(), sorted(self._states.items())
        now_ms = self._now_ms()
        return Delta(cursor, [state for _, state in states if is_blocked(state, now_ms)], [])

    def since(self, cursor: str) -> Delta:
        """The changes since a cursor that this copy gave out. Raises CursorGone."""
        name, _, count = cursor.partition("-")
        with self._lock:
            if name != self._name or not (count.isascii() and count.isdigit() and len(count) < 19):
                raise CursorGone("this cursor is not of this process")
            behind = self._count - int(count)
            if not 0 <= behind <= len(self._changed):
                raise CursorGone(f"more than {CHANGES_MAX:,} changes have passed since this cursor")
            changed = sorted(set(islice(reversed(self._changed), behind)))
            found = [(number, self._states.get(number)) for number in changed]
            cursor = self._cursor()
        now_ms = self._now_ms()
        new = [state for _, state in found if state is not None and is_blocked(state, now_ms)]
        return Delta(cursor, new, [number for number, state in found if not is_blocked(state, now_ms)])

    def _cursor(self) -> str:
        return f"{self._name}-{self._count}"

    def _run(self) -> None:
        try:
            with self._reader as reader:
                self._take(reader.snapshot())
                self.is_ready.set()
                for changes in reader.changes():
                    if self._stopping.is_set():
                        return
                    self._take(changes)
        except KafkaProblem as problem:
            self.problem = problem
        finally:
            self.is_ready.set()

    def _take(self, changes: Iterable[BlockChange]) -> None:
        with self._lock:
            for change in changes:
                if change.kind == "state" and change.block is not None and change.block.state == "active":
                    self._states[change.number] = change.block
                elif self._states.pop(change.number, None) is None:
                    continue
                self._changed.append(change.number)
                self._count += 1
