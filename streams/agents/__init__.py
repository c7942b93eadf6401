"""Faust agents: one per input topic decodes, one steps. They are attached by name, never discovered."""

from __future__ import annotations

from typing import Any

from streams.agents import cdr, message_relay, step
from streams.agents.flow import Flow

BY_TOPIC = {module.TOPIC: module for module in (message_relay, cdr)}


def attach(app: Any, flow: Flow) -> None:
    """Register all agents that the engine's topics need and connect the flow to them."""
    parts = step.attach(app, flow)
    flow.connect({topic: BY_TOPIC[topic].attach(app, flow, parts) for topic in flow.engine.topics})
