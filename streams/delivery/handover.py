"""The bridge from the fetching thread to the flow, which lives on the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from streams.delivery.flow import Flow
from streams.ingest.epoch import Place
from streams.kafka.consumer_calls import Group
from streams.kafka.ownership import Start

REVOKE_LIMIT_S = 30.0


class HandoverFailed(Exception):
    """The epoch in hand could not be finished in time when partitions came or went. The offsets are as committed."""

    exit_code = 1


class FlowOwner:
    """The fetching thread's view of the flow: every call waits for the event loop to have done the work."""

    def __init__(self, flow: Flow, loop: asyncio.AbstractEventLoop, group: Group) -> None:
        self._flow = flow
        self._loop = loop
        self._group = group

    def assigned(self, start: Start) -> list[Place]:
        return self._done(self._flow.assigned(start))

    def revoked(self, lost: bool) -> None:
        self._done(self._flow.revoked(lost))

    def _done(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The commit inside a revoke may need the consumer, which this thread holds. Raises HandoverFailed."""
        answer = asyncio.run_coroutine_threadsafe(work, self._loop)
        until = time.monotonic() + REVOKE_LIMIT_S
        while not answer.done() and time.monotonic() < until:
            self._group.serve(0.005)
        try:
            return answer.result(0)
        except TimeoutError:
            raise HandoverFailed(
                f"what was in hand when partitions came or went was not finished within {REVOKE_LIMIT_S:.0f} s: the "
                "broker does not answer, or this process stood still; start it again"
            ) from None
