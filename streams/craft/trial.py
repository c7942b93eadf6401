"""Trials: rules run over records or captures, without Kafka, and every change of a hold handed out as it happens.

    trial = Trial(load([path]), changes.append)
    trial.run(lines, "my records")            # lines of kcat, or
    trial.run_files(files, advance=bar)       # files and folders in any form that `replay` takes, in order or merged
    trial.engine, trial.summary               # what was counted, and what was read

The engine is that of `replay`, so a trial blocks what a worker would. What rules, tests, differences and sweeps have
to say about rules, they say by changes: who, by which rule, in which lane, from when until when, with which evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rules.model import MODES, RuleSet
from schemas import topics
from schemas.json_reading import JsonReader
from streams.captures.replay import BATCH_LINES, Replay, ReplaySummary
from streams.captures.sources import replay_files
from streams.engine.engine import Engine
from streams.holds.firings import LANES
from streams.holds.output import LANE_TOPICS
from streams.ingest.epoch import OutRecord
from streams.ingest.feed_codes import Feeds

_json: JsonReader[dict[str, Any]] = JsonReader(dict)
# Where a lane's own topic shows the holds in force, and no row for each change.
_STATES = {LANE_TOPICS[lane]: MODES[lane] for lane in LANES if MODES[lane] != "enforce"}


@dataclass(frozen=True, slots=True)
class HoldChange:
    """One change of one hold. hold: its fields as they are published (schemas/records.py)."""

    mode: str  # the lane, from rules.model.MODES: what a rule enforces may be for review
    change: str  # opened, extended, reduced, released, expired
    number: str
    hold: dict[str, Any] = field(repr=False)
    order: dict[str, Any] | None = None  # of an operator, that made an enforced hold's change

    @property
    def rule(self) -> str:
        return str(self.hold["rule"])

    @property
    def from_ms(self) -> int:
        return int(self.hold["from"])

    @property
    def until_ms(self) -> int:
        return int(self.hold["until"])


class Trial:
    """Rules at work on records; `take` gets every change in order. also: topics read besides those that rules count.
    dead: gets every dead letter. answers: gets the answer to every order about a number, as `block-history` has it."""

    def __init__(
        self,
        rules: RuleSet,
        take: Callable[[HoldChange], None],
        *,
        region: str = "KR",
        also: Collection[str] = (),
        feeds: Feeds | None = None,
        batch_lines: int = BATCH_LINES,
        dead: Callable[[OutRecord], None] = lambda letter: None,
        answers: Callable[[dict[str, Any]], None] = lambda answer: None,
    ) -> None:
        self.engine = Engine(rules, also=also, region=region, expire_by_clock=True, feeds=feeds)
        self._take, self._dead, self._answers = take, dead, answers
        self._replay = Replay(self.engine, self._produced, batch_lines)
        self._in_force: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}  # holds by mode, number and block id

    @property
    def summary(self) -> ReplaySummary:
        return self._replay.summary

    def run(self, lines: Iterable[bytes], name: str, placed: bool = True) -> None:
        """Runs the rules over lines of kcat. name, placed: see Replay.run."""
        self._replay.run(lines, name, placed)

    def run_files(
        self,
        given: Sequence[Path],
        topic: str | None = None,
        merge: bool = False,
        advance: Callable[[int], None] = lambda count: None,
    ) -> None:
        """Runs the rules over files and folders: see replay_files. Raises CaptureError, OSError."""
        replay_files(self._replay, given, topic, merge, advance)

    def _produced(self, record: OutRecord) -> None:
        if record.topic == topics.DEAD_LETTERS:
            self._dead(record)
        elif record.topic == topics.BLOCK_HISTORY and record.value is not None:
            row = _json.read(record.value)
            if "hold" in row:
                self._take(HoldChange("enforce", row["change"], row["number"], row["hold"], row.get("order")))
            else:
                self._answers(row)
        elif record.topic in _STATES and record.value is not None:
            self._state(_STATES[record.topic], _json.read(record.value))

    def _state(self, mode: str, state: dict[str, Any]) -> None:
        """Hands out what differs between two states of a number, of which only the first change is named."""
        known = self._in_force.pop((mode, state["number"]), {})
        now = {hold["block_id"]: hold for hold in state["holds"]}
        if now:
            self._in_force[mode, state["number"]] = now
        named = state["hold"]["block_id"]
        if named in known and named not in now:
            self._take(HoldChange(mode, state["change"], state["number"], state["hold"]))
        for block_id, hold in now.items():
            before = known.get(block_id)
            if before is None:
                self._take(HoldChange(mode, "opened", state["number"], hold))
            elif before["until"] != hold["until"]:
                change = "extended" if before["until"] < hold["until"] else "reduced"
                self._take(HoldChange(mode, change, state["number"], hold))
