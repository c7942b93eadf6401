"""For the type checker alone: `make check` has it read this file, and the stand-in with it."""

from __future__ import annotations

from streams.engine.contract import LiveEngine
from streams.engine.engine import Engine
from tests.stand_in import StandIn


def the_engine(it: Engine) -> LiveEngine:
    return it


def the_stand_in(it: StandIn) -> LiveEngine:
    return it
