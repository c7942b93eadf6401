"""The way of an epoch through the Faust agents: one per topic has its share decoded, one gathers them and counts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streams.ingest.decode_share import decode_ahead, decode_share, taken_ahead
from streams.ingest.epoch import RawBatch

if TYPE_CHECKING:
    from streams.engine.contract import LiveEngine
    from streams.ingest.decode import Decoded
    from streams.ingest.epoch import Epoch


@dataclass(slots=True)
class Share:
    """One topic's part of an epoch, on its way to that topic's agent."""

    epoch: int
    raw: RawBatch


@dataclass(slots=True)
class Part:
    """The same, decoded, on its way to `step`."""

    epoch: int
    of: int  # how many parts this epoch has
    decoded: list[Decoded]  # one per topic that the share's records are about


class Lineup:
    """One epoch at a time; the caller waits until it is counted before it hands in the next."""

    def __init__(self, engine: Callable[[], LiveEngine], step: Callable[[list[Decoded]], None]) -> None:
        """engine: asked for at every use, since a rule change replaces it. step: counts a whole epoch and takes what
        the engine returns, before anybody else may ask the engine for something (Outbox.step)."""
        self.engine = engine
        self._step = step
        self._send: Mapping[str, Any] = {}  # topic -> its agent's channel
        self._number = 0
        self._shares = 0
        self._parts: list[Part] = []
        self._done: asyncio.Future[None] | None = None
        self._decoding = threading.Lock()  # an engine's decoders serve one thread at a time

    def connect(self, channels: Mapping[str, Any]) -> None:
        """channels: per input topic, the Faust channel of its agent."""
        self._send = channels

    def decode_ahead(self, epoch: Epoch) -> None:
        """From the fetching thread: decodes an epoch while the one before is counted. The rules that are in force now
        need not be those that count it."""
        with self._decoding:
            engine = self.engine()
            for raw in epoch.batches:
                decode_ahead(engine, raw)

    def decoded(self, raw: RawBatch) -> list[Decoded]:
        """From the event loop: a share under the rules in force, which was decoded ahead or is decoded now."""
        ahead = taken_ahead(self.engine(), raw)
        if ahead is not None:  # nobody waits for the fetching thread, which may be at the next epoch
            return ahead
        with self._decoding:
            return decode_share(self.engine(), raw)

    async def count(self, epoch: Epoch) -> None:
        """Runs `step` on one epoch, decoded. Raises what an agent raised."""
        self._number += 1
        self._shares = len(epoch.batches)
        self._done = asyncio.get_running_loop().create_future()
        for raw in epoch.batches:
            await self._send[raw.topic].send(value=Share(self._number, raw))
        await self._done

    def part(self, share: Share, decoded: list[Decoded]) -> Part:
        return Part(share.epoch, self._shares, decoded)

    def gather(self, part: Part) -> None:
        """Called by the step agent for every part; the last one of an epoch makes it run."""
        self._parts.append(part)
        if len(self._parts) < part.of:
            return
        decoded = [each for gathered in self._parts for each in gathered.decoded]
        self._parts = []
        self._step(decoded)
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def fail(self, problem: BaseException) -> None:
        """Passes on what an agent raised: the epoch will never be whole, and its caller must not wait for it."""
        if self._done is not None and not self._done.done():
            self._done.set_exception(problem)
