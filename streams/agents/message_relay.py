"""The agent that decodes the `message-relay` topic."""

from __future__ import annotations

from typing import Any

from streams.agents.decoding import decoding_agent
from streams.agents.lineup import Lineup

TOPIC = "message-relay"


def attach(app: Any, lineup: Lineup, parts: Any) -> Any:
    """Register the agent under the topic's name; returns its channel, which takes `Share`s."""
    return decoding_agent(app, lineup, TOPIC, parts)
