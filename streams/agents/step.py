"""The one agent that counts: it gathers an epoch's parts and runs `Engine.step` over the whole epoch."""

from __future__ import annotations

from typing import Any

from streams.agents.flow import Flow

NAME = "step"


def attach(app: Any, flow: Flow) -> Any:
    """Register the agent; returns its channel, which takes `Part`s."""
    # Room for one part of each topic: no agent waits for another of the same epoch.
    channel = app.channel(maxsize=len(flow.engine.topics))

    async def step(stream: Any) -> None:
        async for part in stream:
            try:
                flow.gather(part)
            except Exception as problem:  # as in `decoding`
                flow.fail(problem)

    app.agent(channel, name=NAME)(step)
    return channel
