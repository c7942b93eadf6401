"""The one agent that counts: it gathers an epoch's parts and runs `Engine.step` over the whole epoch."""

from __future__ import annotations

from typing import Any

from streams.agents.lineup import Lineup

NAME = "step"


def attach(app: Any, lineup: Lineup) -> Any:
    """Register the agent; returns its channel, which takes `Part`s."""
    # Room for one part of each topic and of `rekeyed`: no agent waits for another of the same epoch.
    channel = app.channel(maxsize=len(lineup.engine().topics) + 1)

    async def step(stream: Any) -> None:
        async for part in stream:
            try:
                lineup.gather(part)
            except Exception as problem:  # as in `decoding`
                lineup.fail(problem)

    app.agent(channel, name=NAME)(step)
    return channel
