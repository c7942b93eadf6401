"""A pilot of emergency blocking, scored: three weeks of reports at the published size, against the pack `reports`.

    python -m bench.pilot --seeds 31-33

For each seed it makes 145,027 reports and the traffic of the numbers that they are about (streams/traffic/pilot.py),
runs the rules on them, and says which offenders and which innocents were blocked or left to people, and how long that
took in event time. Bounds are Wilson's, 95 %. Takes about a minute a seed."""

from __future__ import annotations

import heapq
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import click
import numpy as np

from bench.packs.made import batches, epochs_of
from bench.packs.run import Watched
from bench.packs.score import quantile, wilson
from bench.seeds import seeds_of
from rules.load import load, witnesses
from rules.model import RuleSet
from rules.registry import ALWAYS_MS, Entry, InForce, Registry
from schemas.registry import ENTRY_KINDS, REPORT_REJECTED
from streams.holds.firings import ENFORCE, REVIEW
from streams.operators.judging import Verdict, judgements
from streams.traffic.pilot import Pilot, Registered

DAY_MS = 86_400_000
ENOUGH = 3  # different reporters whom the network knows, within a day: fewer never meet the criteria
FOR_EVER_MS = 1 << 50


@dataclass
class Kind:
    """All numbers of one kind. since_first, since_enough: seconds from the number's first report, and from the one that
    made ENOUGH reporters, to its block."""

    innocent: bool
    numbers: int = 0
    enough: int = 0  # of them reported by ENOUGH
    blocked: int = 0
    reviewed: int = 0  # and not blocked
    since_first: list[float] = field(default_factory=list)
    since_enough: list[float] = field(default_factory=list)
    by: Counter[str] = field(default_factory=Counter)


@dataclass
class Tally:
    kinds: dict[str, Kind] = field(default_factory=dict)
    reports: Counter[str] = field(default_factory=Counter)
    records: int = 0
    allowed_blocked: int = 0
    rejected: int = 0  # reporters with a judgement against them

    def sum(self, innocent: bool, name: str) -> int:
        return sum(getattr(kind, name) for kind in self.kinds.values() if kind.innocent == innocent)

    def seconds(self, name: str) -> list[float]:
        return [s for kind in self.kinds.values() if not kind.innocent for s in getattr(kind, name)]


class ReviewDesk:
    """People who see each number that is blocked or in review some hours after that, know the truth, and judge those
    who reported it, as the commands do."""

    def __init__(self, engine: Watched, pilot: Pilot, after_ms: int) -> None:
        self._engine, self._after_ms, self._seen = engine, after_ms, 0
        self._innocent = {person.number: person.story.innocent for person in pilot.people}
        self._due: list[tuple[int, int]] = []  # when, whom
        self._asked: set[int] = set()
        self._entries: list[Entry] = []
        self.doubted: set[int] = set()  # reporters with a judgement against them
        columns = pilot.reports()
        order = np.lexsort((-columns["at"], columns["number"]))
        order = order[columns["known"][order]]
        self._number, self._at, self._reporter = (columns[name][order] for name in ("number", "at", "reporter"))

    def work(self, now_ms: int) -> None:
        for number, *_ in list(self._engine.holds)[self._seen :]:
            self._seen += 1
            if number not in self._asked:
                self._asked.add(number)
                heapq.heappush(self._due, (now_ms + self._after_ms, number))
        before = len(self._entries)
        while self._due and self._due[0][0] <= now_ms:
            self._judge(*heapq.heappop(self._due))
        if len(self._entries) > before:
            self._engine.registry = InForce(self._engine.registry.files, Registry.of(self._entries))

    def _judge(self, at_ms: int, number: int) -> None:
        low, high = np.searchsorted(self._number, [number, number + 1])
        verdict = Verdict(str(number), "wrong" if self._innocent[number] else "right", at_ms, str(number), "desk")
        recent = (self._at[low:high] <= at_ms) & (self._at[low:high] >= verdict.since_ms)
        reporters = list(dict.fromkeys(self._reporter[low:high][recent].tolist()))
        judged = judgements(verdict, reporters, self.doubted)
        self._entries += judged
        self.doubted |= {entry.key for entry in judged if entry.kind is REPORT_REJECTED}


def registry_of(registered: Registered) -> Registry:
    listed = {"bulk_sender": registered.bulk_senders, "institution": registered.institutions,
              "allowed": registered.allowed}  # fmt: skip
    return Registry.of([
        Entry(ENTRY_KINDS[kind], 0, number, ALWAYS_MS, FOR_EVER_MS, "its owner", "registered")
        for kind, numbers in listed.items()
        for number in sorted(numbers)
    ])  # fmt: skip


def run(rules: RuleSet, pilot: Pilot, tally: Tally, desk_ms: int = 0) -> None:
    """Runs the rules on one pilot, and adds what became of each number. desk_ms: how long after a hold people judge its
    reports; 0 for never."""
    registered = pilot.registered()
    engine = Watched(replace(rules, registry=registry_of(registered)))
    desk = ReviewDesk(engine, pilot, desk_ms)
    for records in epochs_of(pilot.records()):
        tally.records += len(records)
        engine.step([engine.decoders[batch.topic].decode(batch) for batch in batches(records)])
        engine.maintain()
        if desk_ms:
            desk.work(records[-1].timestamp_ms)
    tally.rejected += len(desk.doubted)
    tally.reports.update(label.kind for label in pilot.report_labels())
    first, enough = _reported(pilot)
    holds: dict[tuple[int, int], dict[str, int]] = defaultdict(dict)
    for (number, lane, rule), hold in engine.holds.items():
        holds[number, lane][rule] = hold.from_ms
    for person in pilot.people:
        kind = tally.kinds.setdefault(person.story.kind, Kind(person.story.innocent))
        blocked, reviewed = (holds.get((person.number, lane), {}) for lane in (ENFORCE, REVIEW))
        kind.numbers += 1
        kind.enough += person.number in enough
        kind.reviewed += bool(reviewed and not blocked)
        kind.by.update((blocked or reviewed).keys())
        if blocked:
            at = min(blocked.values())
            kind.blocked += 1
            kind.since_first.append((at - first[person.number]) / 1000)
            kind.since_enough.append(max(0, at - enough.get(person.number, at)) / 1000)
            tally.allowed_blocked += person.number in registered.allowed


def _reported(pilot: Pilot) -> tuple[dict[int, int], dict[int, int]]:
    """By number: the time of its first report, and of the one that made ENOUGH known reporters within a day."""
    columns = pilot.reports()
    order = np.argsort(columns["at"], kind="stable")
    at, number, reporter, known = (columns[name][order].tolist() for name in ("at", "number", "reporter", "known"))
    first: dict[int, int] = {}
    enough: dict[int, int] = {}
    lately: dict[int, dict[int, int]] = defaultdict(dict)
    for when, whom, who, is_known in zip(at, number, reporter, known, strict=True):
        first.setdefault(whom, when)
        if is_known and whom not in enough:
            lately[whom][who] = when
            if sum(when - one < DAY_MS for one in lately[whom].values()) >= ENOUGH:
                enough[whom] = when
    return first, enough


# -- what is said


def text(tally: Tally, seeds: Sequence[int], version: str) -> str:
    made, pilots = tally.reports, len(seeds)
    true, false = tally.sum(False, "blocked"), tally.sum(True, "blocked")
    offenders, enough = tally.sum(False, "numbers"), tally.sum(False, "enough")
    lines = [
        f"rules {version}, seeds {', '.join(map(str, seeds))}, {tally.records:,} records",
        f"{sum(made.values()):,} reports: " + ", ".join(f"{count:,} {kind}" for kind, count in made.most_common()),
        "",
        f"blocked            {true + false:,} numbers, {(true + false) / pilots:,.0f} a pilot",
        _share("precision", true, true + false),
        _share("recall", true, offenders),
        _share(f"  of those whom {ENOUGH} report", true, enough),
        _share("  or left to people", true + tally.sum(False, "reviewed"), offenders),
        f"innocents blocked  {false} of {tally.sum(True, 'numbers'):,}, {tally.allowed_blocked} on the allow list",
        f"reporters          {tally.rejected / pilots:,.0f} a pilot with a report that people rejected",
        f"left to people     {tally.sum(True, 'reviewed') / pilots / 21:,.1f} innocents a day",
        _seconds("first report to block", tally.seconds("since_first")),
        _seconds(f"{ENOUGH} reporters to block", tally.seconds("since_enough")),
        "",
        f"{'kind':<20} {'numbers':>8} {'by ' + str(ENOUGH):>7} {'blocked':>8} {'review':>7}  rules",
    ]
    for name, kind in sorted(tally.kinds.items(), key=lambda item: (item[1].innocent, -item[1].numbers)):
        by = ", ".join(f"{rule} {count}" for rule, count in kind.by.most_common(3))
        lines.append(f"{name:<20} {kind.numbers:>8,} {kind.enough:>7,} {kind.blocked:>8,} {kind.reviewed:>7,}  {by}")
    return "\n".join(lines)


def _share(what: str, hit: int, n: int) -> str:
    low, high = wilson(hit, n)
    return f"{what:<32} {hit / max(n, 1):.4f}  ({low:.4f} - {high:.4f}), {hit:,} of {n:,}"


def _seconds(what: str, values: Sequence[float]) -> str:
    middle, late = (quantile(values, share) or 0.0 for share in (0.5, 0.99))
    within = sum(value <= 600 for value in values)
    return f"{what:<32} p50 {middle:,.0f} s, p99 {late:,.0f} s, {within / max(len(values), 1):.1%} within 10 minutes"


def as_json(tally: Tally) -> str:
    kinds = {
        name: {"innocent": k.innocent, "numbers": k.numbers, "enough": k.enough, "blocked": k.blocked,
               "reviewed": k.reviewed, "by": dict(k.by)}
        for name, k in tally.kinds.items()
    }  # fmt: skip
    spans = {
        name: {str(share): quantile(tally.seconds(name), share) for share in (0.5, 0.99)}
        for name in ("since_first", "since_enough")
    }
    return json.dumps({"reports": tally.reports, "records": tally.records, "kinds": kinds, "seconds": spans,
                       "allowed_blocked": tally.allowed_blocked})  # fmt: skip


def _made(rules: RuleSet, seeds: Iterable[int], size: float, desk_ms: int) -> Tally:
    tally = Tally()
    for seed in seeds:
        run(rules, Pilot(seed, size), tally, desk_ms)
    return tally


@click.command(help=(__doc__ or "").replace("\n    python", "\n\n\b\n    python", 1))
@click.option("--seeds", "asked", default="1", show_default=True, help="Numbers and ranges: 1,2,7-9.")
@click.option("--size", default=1.0, show_default=True, help="Of the published number of reports.")
@click.option(
    "--desk", "desk_h", default=12.0, show_default=True,
    help="Hours after a hold at which people judge those who reported the number; 0: never.",
)  # fmt: skip
@click.option("--rules", "paths", multiple=True, type=click.Path(path_type=Path), help="[default: the pack of reports]")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object.")
def main(asked: str, size: float, desk_h: float, paths: tuple[Path, ...], is_json: bool) -> None:
    began, rules, seeds = time.monotonic(), load(paths or [witnesses() / "reports.yaml"]), seeds_of(asked)
    tally = _made(rules, seeds, size, round(desk_h * 3_600_000))
    click.echo(as_json(tally) if is_json else text(tally, seeds, rules.version))
    click.echo(f"took {time.monotonic() - began:,.0f} s", err=True)


if __name__ == "__main__":
    main()
