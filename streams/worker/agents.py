"""Faust agents, made from the engine's topics: one for each has its share of an epoch decoded, one gathers and steps.

They are attached by name, never discovered."""

from __future__ import annotations

from typing import Any

from streams.worker.agent_pipeline import Lineup

STEP = "step"


def attach(app: Any, lineup: Lineup) -> None:
    """Registers all agents that the engine's topics need, and connects the line-up to them."""
    parts = _step(app, lineup)
    lineup.connect({topic: _decoding(app, lineup, topic, parts) for topic in lineup.engine().reads})


def _decoding(app: Any, lineup: Lineup, topic: str, parts: Any) -> Any:
    """Registers an agent named `topic` that passes what is sent to the returned channel, decoded, to `parts`.

    The fetching thread has decoded it already (`Lineup.decode_ahead`), unless the rules have changed since."""
    channel = app.channel(maxsize=1)

    async def decode(stream: Any) -> None:
        async for share in stream:
            try:
                await parts.send(value=lineup.part(share, lineup.decoded(share.raw)))
            except Exception as problem:  # a supervisor would restart the agent and lose the epoch; the worker must end
                lineup.fail(problem)

    app.agent(channel, name=topic)(decode)
    return channel


def _step(app: Any, lineup: Lineup) -> Any:
    """Registers the agent that counts whole epochs; returns its channel, which takes `Part`s."""
    # Room for one part of each topic: no agent waits for another of the same epoch.
    channel = app.channel(maxsize=len(lineup.engine().reads))

    async def step(stream: Any) -> None:
        async for part in stream:
            try:
                lineup.gather(part)
            except Exception as problem:  # as in `decode`
                lineup.fail(problem)

    app.agent(channel, name=STEP)(step)
    return channel
