"""The agent that decodes `rekeyed`: records that came to the wrong partition, each under its original topic."""

from __future__ import annotations

from typing import Any

from schemas.topics import REKEYED
from streams.agents.decoding import decoding_agent
from streams.agents.lineup import Lineup

TOPIC = REKEYED


def attach(app: Any, lineup: Lineup, parts: Any) -> Any:
    """Register the agent under the topic's name; returns its channel, which takes `Share`s."""
    return decoding_agent(app, lineup, TOPIC, parts)
