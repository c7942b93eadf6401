"""The score of rules on labelled traffic: the offenders caught, how fast, and the innocents hit by each rule.

    python -m bench.packs
    python -m bench.packs --seeds 1-10 --duration 8h --day weekend --rules night.yaml
    python -m bench.packs --explain --json

Traffic and replay are those of `grayline traffic` and `grayline replay`, without a broker. Recall and times are over
all seeds of a day together. Exit codes: 0 done, 2 used wrongly; a poor score is no failure.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import click
import orjson

from rules.load import RuleErrors, load, packs
from rules.model import RuleSet
from schemas.topics import BLOCK_EVENTS, REVIEW_QUEUE, SHADOW_EVENTS
from streams.captures.replay import Replay
from streams.engine.engine import Engine
from streams.ingest.epoch import OutRecord
from streams.traffic.generate import START_MS, Traffic, TrafficSettings
from streams.traffic.labels import Label
from streams.traffic.outlets import write_lines

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
STARTS_MS = {"weekday": START_MS, "weekend": START_MS + 5 * DAY_MS}  # Monday and Saturday, 10:00 in Korea
PARTITIONS = 4
LANES = (BLOCK_EVENTS, REVIEW_QUEUE, SHADOW_EVENTS)
UNITS_MS = {"m": 60_000, "h": HOUR_MS, "d": DAY_MS}


@dataclass
class Hit:
    """A number's first hold by one rule in one lane."""

    rule: str
    at_ms: int
    evidence: list[dict[str, Any]]


@dataclass
class Kind:
    """All numbers of one kind, over all seeds."""

    innocent: bool
    numbers: int = 0  # innocents that acted, offenders that showed enough
    blocked: int = 0
    review_only: int = 0
    delays_s: list[float] = field(default_factory=list)  # first record to block, event time
    rules: Counter[str] = field(default_factory=Counter)  # numbers blocked, by every rule that did
    review_rules: Counter[str] = field(default_factory=Counter)
    shadow_rules: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)  # innocents hit, missed offenders

    def to_dict(self) -> dict[str, Any]:
        delays = sorted(self.delays_s)
        return {
            "innocent": self.innocent,
            "numbers": self.numbers,
            "blocked": self.blocked,
            "review_only": self.review_only,
            "median_s": median(delays) if delays else None,
            "p90_s": delays[-(-len(delays) * 90 // 100) - 1] if delays else None,
            "blocked_by": dict(self.rules.most_common()),
            "review_by": dict(self.review_rules.most_common()),
            "shadow_by": dict(self.shadow_rules.most_common()),
            "examples": self.examples,
        }


@click.command(help=__doc__.replace("\n    python", "\n\n\b\n    python", 1) if __doc__ else None)
@click.option("--seeds", default="1-3", show_default=True, help="Numbers and ranges: 1,2,7-9.")
@click.option("--duration", default="2h", show_default=True, help="Event time of each run: 90m, 2h, 1d.")
@click.option("--day", type=click.Choice([*STARTS_MS, "both"]), default="both", show_default=True)
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), default=20.0, show_default=True, help="Records/s, mean."
)
@click.option(
    "--rules", "rules_path", type=click.Path(exists=True, path_type=Path), help="[default: the shipped packs]"
)
@click.option("--explain", is_flag=True, help="Show evidence for each innocent hit and each business under review.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def main(
    seeds: str, duration: str, day: str, rate: float, rules_path: Path | None, explain: bool, as_json: bool
) -> None:
    try:
        rules = load([rules_path or packs()])
    except RuleErrors as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    chosen, duration_ms = _seeds(seeds), _duration_ms(duration)
    report: dict[str, Any] = {"rules_version": rules.version, "seeds": chosen, "duration_ms": duration_ms, "days": {}}
    for name in STARTS_MS if day == "both" else [day]:
        kinds: dict[str, Kind] = {}
        begun, records = time.monotonic(), 0
        for seed in chosen:
            settings = TrafficSettings(
                seed=seed, start_ms=STARTS_MS[name], duration_ms=duration_ms, rate=rate, every_kind=True
            )
            labels, holds, count = run(rules, settings)
            tally(kinds, labels, holds, seed)
            records += count
        took_s = time.monotonic() - begun
        report["days"][name] = {"records": records, "kinds": {kind: found.to_dict() for kind, found in kinds.items()}}
        if not as_json:
            click.echo(f"\n{name}, {len(chosen)} seeds of {duration}: {records:,} records in {took_s:.0f} s")
            _show(kinds, explain)
    if as_json:
        click.echo(json.dumps(report))


def run(rules: RuleSet, settings: TrafficSettings) -> tuple[list[Label], dict[str, dict[str, list[Hit]]], int]:
    """(labels, lane -> number -> its holds in the order they opened, records) of one run."""
    holds: dict[str, dict[str, list[Hit]]] = {lane: defaultdict(list) for lane in LANES}
    seen: set[str] = set()

    def take(record: OutRecord) -> None:
        if record.topic not in holds or record.value is None:
            return
        state = orjson.loads(record.value)
        for hold in (state["hold"], *state["holds"]):
            if (where := record.topic + hold["block_id"]) not in seen:
                seen.add(where)
                holds[record.topic][state["number"]].append(Hit(hold["rule"], hold["from"], hold["evidence"]))

    traffic = Traffic(settings)
    replay = Replay(Engine(rules, expire_by_clock=True), take)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "traffic.jsonl")
        with file.open("wb") as out:
            count = sum(1 for _ in write_lines(traffic, out, PARTITIONS))
        replay.run_file(file)
    return traffic.labels(), holds, count


def tally(kinds: dict[str, Kind], labels: Iterable[Label], holds: dict[str, dict[str, list[Hit]]], seed: int) -> None:
    for label in sorted(labels, key=lambda label: label.innocent):
        blocked, review, shadow = (holds[lane].get(label.number, []) for lane in LANES)
        if not (label.events if label.innocent else label.wanted or blocked):
            continue
        kind = kinds.setdefault(label.kind, Kind(label.innocent))
        kind.numbers += 1
        for hits, counter in ((blocked, kind.rules), (review, kind.review_rules), (shadow, kind.shadow_rules)):
            counter.update({hit.rule for hit in hits})
        if blocked:
            kind.blocked += 1
            kind.delays_s.append((min(hit.at_ms for hit in blocked) - label.first_at) / 1000)
        elif review:
            kind.review_only += 1
        about = f"seed {seed} {label.number} ({label.events} records)"
        if label.innocent:
            kind.examples += [f"{about} blocked by {_told(hit)}" for hit in blocked]
            kind.examples += [f"{about} for review by {_told(hit)}" for hit in review]
        elif not blocked:
            kind.examples.append(f"{about} missed" + "".join(f"; for review by {_told(hit)}" for hit in review))


def _told(hit: Hit) -> str:
    counters = ", ".join(
        f"{e['counter']}={e['value']:g}" + ("" if e["limit"] is None else f" (limit {e['limit']:g})")
        for e in hit.evidence
    )
    return f"{hit.rule}: {counters}"


def _show(kinds: dict[str, Kind], explain: bool) -> None:
    click.echo(f"{'kind':<22} {'numbers':>8} {'blocked':>8} {'share':>6} {'review':>7} {'median':>8} {'p90':>8}  by")
    for name, kind in kinds.items():
        told = kind.to_dict()
        by = ", ".join(f"{rule} {count}" for rule, count in kind.rules.most_common())
        asked = ", ".join(f"{rule} {count}" for rule, count in kind.review_rules.most_common())
        shadow = ", ".join(f"{rule} {count}" for rule, count in kind.shadow_rules.most_common())
        times = "".join(f" {_seconds(told[which]):>8}" for which in ("median_s", "p90_s"))
        click.echo(
            f"{name + (' *' if kind.innocent else ''):<22} {kind.numbers:>8,} {kind.blocked:>8,} "
            f"{kind.blocked / kind.numbers:>6.0%} {kind.review_only:>7,}{times}  {by}"
            + (f" | review: {asked}" if asked else "")
            + (f" | shadow: {shadow}" if shadow else "")
        )
        if explain:
            for line in kind.examples:
                click.echo(f"    {line}")
    wanted = [kind for kind in kinds.values() if not kind.innocent]
    hit = sum(kind.blocked for kind in kinds.values() if kind.innocent)
    caught, planted = sum(kind.blocked for kind in wanted), sum(kind.numbers for kind in wanted)
    asked = sum(kind.review_only for kind in wanted)
    click.echo(
        f"blocked {caught} of {planted} offenders, {asked} more for review; innocents blocked {hit} "
        "(* innocent kinds; review: only there)"
    )


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f} s"


def _seeds(text: str) -> list[int]:
    try:
        parts = [[int(end) for end in part.split("-")] for part in text.split(",")]
        return [seed for ends in parts for seed in range(ends[0], ends[-1] + 1)]
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of seeds; write 1,2,7-9", param_hint="--seeds") from None


def _duration_ms(text: str) -> int:
    if not text[:-1].isdigit() or text[-1] not in UNITS_MS:
        raise click.BadParameter(f"{text!r} is no duration; write 90m, 2h or 1d", param_hint="--duration")
    return int(text[:-1]) * UNITS_MS[text[-1]]


if __name__ == "__main__":
    main()
