"""What the agents of all input topics have in common: from a share of an epoch to a part of it."""

from __future__ import annotations

from typing import Any

from streams.agents.lineup import Lineup
from streams.shares import decode_share


def decoding_agent(app: Any, lineup: Lineup, topic: str, parts: Any) -> Any:
    """Register an agent named `topic` that decodes what is sent to the returned channel and passes it to `parts`.

    Decoding runs on the event loop: an epoch is decoded in milliseconds, most of them outside the interpreter lock, and
    a thread of its own would only move the work, since `step` waits for every part."""
    channel = app.channel(maxsize=1)

    async def decode(stream: Any) -> None:
        async for share in stream:
            try:
                await parts.send(value=lineup.part(share, decode_share(lineup.engine(), share.raw)))
            except Exception as problem:  # a supervisor would restart the agent and lose the epoch; the worker must end
                lineup.fail(problem)

    app.agent(channel, name=topic)(decode)
    return channel
