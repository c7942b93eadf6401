"""Faust agents: one per input topic decodes, one steps. They are attached by name, never discovered."""

from __future__ import annotations

from typing import Any

from streams.agents import cdr, message_relay, rekeyed, step
from streams.agents.lineup import Lineup

BY_TOPIC = {module.TOPIC: module for module in (message_relay, cdr, rekeyed)}


def attach(app: Any, lineup: Lineup) -> None:
    """Register all agents that the engine's topics need and connect the line-up to them."""
    parts = step.attach(app, lineup)
    topics = (*lineup.engine().topics, rekeyed.TOPIC)
    lineup.connect({topic: BY_TOPIC[topic].attach(app, lineup, parts) for topic in topics})
