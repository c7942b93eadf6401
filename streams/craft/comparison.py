"""Runs two versions of rules over the same recorded traffic."""

from __future__ import annotations

from collections.abc import Callable

from rules.model import RuleSet
from streams.craft.recorded import Recorded
from streams.craft.side_by_side import side_by_side
from streams.craft.standing import Decided
from streams.engine.evaluate import Watch
from streams.engine.warm import warm


def decided(
    recorded: Recorded,
    rules: RuleSet,
    watch: Watch | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> Decided:
    """The decisions of one version. Raises CaptureError, OSError."""
    out = Decided()
    trial = recorded.trial(rules, out.take)
    if watch is not None:
        trial.engine.watch(watch)
    recorded.run(trial, advance)
    out.summary = trial.summary
    return out


def both(
    recorded: Recorded,
    old: RuleSet,
    new: RuleSet,
    watch: Watch | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> tuple[Decided, Decided]:
    """The decisions of both, made at once on two cores. watch, advance: of the new one. Raises CaptureError, OSError,
    RunBroken."""
    for rules in (old, new):  # what is compiled now is in both processes
        warm(rules, region=recorded.region)
    return side_by_side(lambda: decided(recorded, old), lambda: decided(recorded, new, watch, advance))
