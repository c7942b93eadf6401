"""The summary of a demonstration as one value: tables for people, JSON for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from rules.model import RuleSet
from schemas.printable import printable
from schemas.topics import BLOCK_EVENTS, REVIEW_QUEUE
from streams.demo.warm import Warmth
from streams.operators.blocks import BlockState
from streams.traffic.labels import KindScore, Label, Score, score

if TYPE_CHECKING:
    from rich.console import Console

KOREA = timezone(timedelta(hours=9))


@dataclass(frozen=True)
class FeedCounts:
    """One input topic's records, counted in three ways; a run is sound when all three agree."""

    produced: int  # acknowledged by the broker
    processed: int  # counted by the worker
    committed: int  # committed by the worker's group

    @property
    def whole(self) -> bool:
        return self.produced == self.processed == self.committed


@dataclass(frozen=True)
class Summary:
    seed: int
    start_ms: int
    end_ms: int  # event time that was to be reached
    reached_ms: int  # event time that was reached
    took_s: float  # wall time from the first record produced to the last one counted
    warmth: Warmth
    feeds: Mapping[str, FeedCounts]
    dead_letters: int
    holds: Mapping[str, int]  # rule -> numbers it blocked
    review: Mapping[str, int]  # rule in review mode -> numbers it points people to
    unverified: Mapping[str, int]  # rule -> numbers it would have blocked had their records been verified
    score: Score
    review_only: Mapping[str, int]  # kind -> numbers that are in the review queue and not blocked
    problems: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def events(self) -> int:
        return sum(feed.processed for feed in self.feeds.values())

    @property
    def events_per_s(self) -> float:
        return self.events / self.took_s if self.took_s > 0 else 0.0

    @property
    def speed(self) -> float:
        """The ratio of event time to wall time."""
        return (self.reached_ms - self.start_ms) / 1000 / self.took_s if self.took_s > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        return {
            "ok": not self.problems,
            "problems": list(self.problems),
            "interrupted": self.interrupted,
            "seed": self.seed,
            "event_time": {"start": self.start_ms, "reached": self.reached_ms, "end": self.end_ms},
            "events": self.events,
            "seconds": round(self.took_s, 3),
            "events_per_s": round(self.events_per_s, 1),
            "times_real_time": round(self.speed, 1),
            "feeds": {
                topic: {"produced": f.produced, "processed": f.processed, "committed": f.committed}
                for topic, f in self.feeds.items()
            },
            "dead_letters": self.dead_letters,
            "kernels": {"compiled": self.warmth.kernels_compiled, "seconds": round(self.warmth.took_s, 3)},
            "blocks_by_rule": dict(self.holds),
            "review_by_rule": dict(self.review),
            "review_unverified_by_rule": dict(self.unverified),
            "score": self.score.to_dict(),
            "review_only_by_kind": dict(self.review_only),
        }

    def print(self, console: Console) -> None:
        """Prints lines and two tables, for people."""
        console.print(
            f"{self.events:,} events in {self.took_s:.1f} s ({self.events_per_s:,.0f}/s), {self._span()}",
            soft_wrap=not console.is_terminal,
        )
        if not self.problems and not self.interrupted:
            console.print("The traffic sets this pace, not the worker; `make bench` measures speed")
        for topic, feed in self.feeds.items():
            line = f"{feed.produced:,} produced, {feed.processed:,} counted, {feed.committed:,} committed"
            console.print(f"  {topic}: {line}")
        if self.warmth.kernels_compiled:
            console.print(
                f"Before that, {self.warmth.took_s:.0f} s to compile {self.warmth.kernels_compiled} kernels; "
                "the next start finds them in the cache",
                soft_wrap=not console.is_terminal,
            )
        if self.dead_letters:
            console.print(f"{self.dead_letters:,} records could not be read and are in dead-letters")
        console.print()
        console.print(_rules_table(self))
        console.print(_kinds_table(self))
        hit = self.score.innocents_hit
        asked = {k.kind: n for k in self.score.kinds if k.innocent and (n := self.review_only.get(k.kind))}
        line = f"Innocents blocked: {_listed(hit)}; for review: {_listed(asked)}"
        console.print(line, style="bold red" if hit else "bold green")
        if self.interrupted:
            console.print("Interrupted: the figures are for what was fed until then")
        for problem in self.problems:
            console.print(cell(f"FAILED: {problem}"), style="bold red", soft_wrap=not console.is_terminal)

    def _span(self) -> str:
        start, reached = (korean_time(ms) for ms in (self.start_ms, self.reached_ms))
        return f"{start:%A %d %B, %H:%M} to {reached:%H:%M} Korean time, {self.speed:,.0f} times as fast as it happened"


def lost(feeds: Mapping[str, FeedCounts]) -> list[str]:
    """A message for each topic that was not counted whole."""
    return [
        f"{topic}: {feed.produced:,} records were produced, {feed.processed:,} counted and {feed.committed:,} "
        "committed; these must be the same"
        for topic, feed in feeds.items()
        if not feed.whole
    ]


def blocked_by_rule(states: Iterable[BlockState]) -> Counter[str]:
    """The numbers that each rule has blocked. Every state shows all holds in force, so that one record may open
    several."""
    held = {(hold.rule, s.number) for s in states for hold in (*s.holds, *((s.hold,) if s.hold else ()))}
    return Counter(rule for rule, _ in sorted(held))


def review_by_reason(states: Iterable[BlockState], rules: RuleSet) -> tuple[Counter[str], Counter[str]]:
    """(rules in review mode, enforcing rules whose evidence somebody could have forged) -> numbers."""
    modes = {rule.name: rule.mode for rule in rules.rules}
    by_rule = blocked_by_rule(states)
    asked = Counter({rule: count for rule, count in by_rule.items() if modes.get(rule) == "review"})
    return asked, by_rule - asked


def score_all(labels: list[Label], values: Mapping[str, list[bytes]]) -> tuple[Score, dict[str, int]]:
    """(how well the blocks fit the truth, by kind how many numbers only the review queue names)."""
    blocks = score(labels, values[BLOCK_EVENTS])
    either = score(labels, [*values[BLOCK_EVENTS], *values[REVIEW_QUEUE]])
    blocked = {(k.kind, k.innocent): k.caught for k in blocks.kinds}
    extra = {k.kind: k.caught - blocked.get((k.kind, k.innocent), 0) for k in either.kinds}
    return blocks, {kind: count for kind, count in extra.items() if count}


def korean_time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, KOREA)


def cell(text: str) -> Any:
    """A text as rich must show it: without markup, names of emoji or control characters taking effect."""
    from rich.text import Text

    return Text(printable(text))


def _rules_table(summary: Summary) -> Any:
    from rich.table import Table

    table = _table("Numbers blocked, by rule")
    table.add_column("rule", no_wrap=True)
    for name in ("blocked", "for review", "unverified"):
        table.add_column(name, justify="right")
    lanes = (summary.holds, summary.review, summary.unverified)
    for rule in dict.fromkeys(rule for lane in lanes for rule in lane):
        table.add_row(cell(rule), *(f"{lane[rule]:,}" if rule in lane else "" for lane in lanes))
    if not table.rows:
        table.add_row("no rule fired")
    if summary.unverified:
        table.caption = (
            "unverified: would have been blocked, but the caller id may have been forged; people look at these"
        )
    assert isinstance(table, Table)
    return table


def _kinds_table(summary: Summary) -> Any:
    found = summary.score
    asked = sum(summary.review_only.get(kind.kind, 0) for kind in found.kinds if not kind.innocent)
    table = _table(f"{found.caught} of {found.planted} planted offenders blocked, {asked} more for review")
    table.add_column("kind", no_wrap=True)
    for name in ("numbers", "blocked", "only review", "event time to block"):
        table.add_column(name, justify="right")
    for kind in found.kinds:
        only = summary.review_only.get(kind.kind, 0)
        cells = (f"{kind.planted:,}", f"{kind.caught:,}", f"{only:,}" if only else "", _delay(kind))
        name = f"{kind.kind} (innocent)" if kind.innocent else kind.kind
        table.add_row(name, *cells, style=_style(kind, only))
    table.caption = "event time to block: median, from a number's first record"
    return table


def _table(title: str) -> Any:
    from rich import box
    from rich.table import Table

    return Table(
        title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", caption_justify="left",
        padding=(0, 1), pad_edge=False,
    )  # fmt: skip


def _style(kind: KindScore, only_review: int) -> str:
    if kind.innocent:
        return "red" if kind.caught else "dim"
    return "" if kind.caught or only_review else "yellow"


def _listed(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "none"


def _delay(kind: KindScore) -> str:
    if kind.median_s is None:
        return ""
    return f"{kind.median_s:.0f} s" if kind.median_s < 180 else f"{kind.median_s / 60:.0f} min"
