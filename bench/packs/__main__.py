"""The command: see `bench.packs`."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click

import bench.packs
from bench.packs import DAYS, FEEDS, Scene, compare, report
from bench.packs.kinds import KINDS, Facts
from bench.packs.run import Ran, run
from bench.packs.score import Tally, goals, recall, tally, weighted
from bench.packs.variants import Variant, rules_of
from bench.seeds import seeds_of
from rules.load import packs

QUICK = Scene(hours=4.0, subscribers=3_000, per_kind=2)
MORNING, AFTERNOON = 8.5, 13.0  # odd seeds see businesses open, even ones see the evening


@dataclass(frozen=True)
class Asked:
    """The part of the options that each run needs."""

    paths: list[Path]
    with_variants: bool
    generator: str
    evidence: bool
    cache: Path | None

    def run(self, seed: int, scene: Scene) -> Ran:
        """One run in a process of its own."""
        rules, _ = rules_of(self.paths, self.with_variants)
        return run(rules, seed, scene, self.generator, self.evidence, self.cache)


@click.command(
    help=(bench.packs.__doc__ or "").split("\n\nA GENERATOR")[0].replace("\n    python", "\n\n\b\n    python", 1)
)
@click.option("--seeds", default="1-2", show_default=True, help="Numbers and ranges: 1,2,7-9.")
@click.option("--days", default="weekday,weekend", show_default=True, help="weekday, weekend or both.")
@click.option("--feeds", default="events", show_default=True, help="events, complete, both: as many as are listed.")
@click.option("--quick", is_flag=True, help="Smaller and shorter runs, for work on rules.")
@click.option("--hours", type=click.FloatRange(0.1), help="Event time of each run.")
@click.option("--begin", type=click.FloatRange(0, 23), help="Korean hour.  [default: 8.5 of odd seeds, 13 of even]")
@click.option("--subscribers", type=click.IntRange(1), help="Ordinary subscribers of each run.")
@click.option("--per-kind", type=click.IntRange(1), help="Numbers or gangs of every other kind, about.")
@click.option("--registered", type=click.FloatRange(0, 1), help="Share of businesses that the registry knows.")
@click.option(
    "--rules", "rules_paths", multiple=True, type=click.Path(exists=True, path_type=Path),
    help="[default: the shipped packs]",
)  # fmt: skip
@click.option("--generator", default="bench.packs.built_in", show_default=True, help="Module that makes traffic.")
@click.option("--sensitivity", is_flag=True, help="Also move every limit by a fifth, both ways.")
@click.option(
    "--cache", type=click.Path(path_type=Path), help="Keep the traffic in this folder, and look for it there."
)
@click.option("--explain", default="", help="Kinds, separated by commas, whose numbers are told one by one.")
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Processes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def main(
    seeds: str, days: str, feeds: str, quick: bool, hours: float | None, begin: float | None, subscribers: int | None,
    per_kind: int | None, registered: float | None, rules_paths: tuple[Path, ...], generator: str, sensitivity: bool,
    cache: Path | None, explain: str, jobs: int, as_json: bool,
) -> None:  # fmt: skip
    paths = list(rules_paths) or [packs()]
    try:
        rules, variants = rules_of(paths, sensitivity)
        kinds: dict[str, Facts] = KINDS | dict(getattr(importlib.import_module(generator), "KINDS", {}))
    except (ValueError, OSError, ImportError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    given: dict[str, Any] = {"hours": hours, "subscribers": subscribers, "per_kind": per_kind, "registered": registered}
    scene = replace(QUICK if quick else Scene(), **{name: value for name, value in given.items() if value is not None})
    settings = [
        replace(scene, day=day, feed=feed)
        for feed in _listed(feeds, FEEDS, "--feeds")
        for day in _listed(days, tuple(DAYS), "--days")
    ]
    chosen = seeds_of(seeds)
    try:
        asked = Asked(paths, sensitivity, generator, bool(explain), cache)
        runs = _run_all(asked, chosen, settings, begin, jobs)
    except (ValueError, AttributeError) as error:
        click.echo(f"{generator}: {error}", err=True)
        sys.exit(1)
    names = [rule.name for rule in rules.rules if rule.name not in {v.name for v in variants}]
    _tell(runs, kinds, names, variants, sensitivity, explain, as_json, rules.version, chosen, scene)


def _run_all(
    asked: Asked, seeds: list[int], settings: list[Scene], begin: float | None, jobs: int
) -> dict[str, list[Ran]]:  # fmt: skip
    """All runs by setting, told on standard error as they end."""
    runs: dict[str, list[Ran]] = {f"{scene.day} {scene.feed}": [] for scene in settings}
    begun = time.monotonic()
    with ProcessPoolExecutor(jobs) as pool:
        running = [
            pool.submit(asked.run, seed, replace(scene, begin_hour=hour))
            for seed in seeds
            for hour in [begin if begin is not None else MORNING if seed % 2 else AFTERNOON]
            for scene in settings
        ]
        for done, future in enumerate(as_completed(running), 1):
            ran = future.result()
            runs[f"{ran.scene.day} {ran.scene.feed}"].append(ran)
            about = f"seed {ran.seed}, {ran.scene.day}, {ran.scene.feed}"
            click.echo(
                f"{done} of {len(running)}: {about}: {ran.records:,} records, {ran.cpu_s:.0f} s of CPU; "
                f"{time.monotonic() - begun:.0f} s so far",
                err=True,
            )
    for found in runs.values():
        found.sort(key=lambda ran: ran.seed)
    return runs


def _tell(
    runs: dict[str, list[Ran]], kinds: dict[str, Facts], names: list[str], variants: list[Variant], sensitivity: bool,
    explain: str, as_json: bool, version: str, seeds: list[int], scene: Scene,
) -> None:  # fmt: skip
    same = {name: name for name in names}
    scores = {setting: tally(found, kinds, same) for setting, found in runs.items()}
    every = [ran for found in runs.values() for ran in found]
    without = compare.left_out(every, kinds, names)
    moved = compare.moved(every, kinds, names, variants) if sensitivity else []
    if as_json:
        told = {
            "rules_version": version, "seeds": seeds, "scene": asdict(scene),
            "records": sum(ran.records for ran in every),
            "settings": {setting: _setting(found) for setting, found in scores.items()},
            "leave_one_out": [change.to_dict() for change in without],
            "sensitivity": [change.to_dict() for change in moved],
        }  # fmt: skip
        click.echo(json.dumps(told))
        return
    records = sum(ran.records for ran in every)
    click.echo(f"rules {version}, seeds {', '.join(map(str, seeds))}, {scene.hours:g} h each, {records:,} records\n")
    parts = [report.totals(scores), report.innocents(scores), report.goal_table(scores), report.offenders(scores)]
    parts.append(report.leave_one_out(without))
    if sensitivity:
        parts.append(report.sensitivity(moved))
    click.echo("\n\n".join("\n".join(part) for part in parts))
    _explain(every, explain)


def _setting(scores: Tally) -> dict[str, Any]:
    return {
        "innocents_per_100k": asdict(weighted(scores)),
        "recall": recall(scores),
        "goals": [asdict(goal) | {"met": goal.is_met} for goal in goals(scores)],
        "kinds": {kind: score.to_dict() for kind, score in scores.items()},
    }


def _explain(runs: list[Ran], kinds: str) -> None:
    """The numbers of these kinds one by one, with the evidence of what hit them."""
    wanted, by_kind = set(filter(None, kinds.split(","))), defaultdict(list)
    for ran in runs:
        for number in ran.numbers:
            if number.kind in wanted:
                held = [f"blocked by {rule}: {hold.evidence}" for rule, hold in number.blocked.items()]
                held += [f"for review by {rule}: {hold.evidence}" for rule, hold in number.reviewed.items()]
                about = f"seed {ran.seed} {ran.scene.day} {ran.scene.feed} {number.number}, {number.records} records"
                by_kind[number.kind].append(f"  {about}: {'; '.join(held) or 'nothing'}")
    for kind, lines in by_kind.items():
        click.echo("\n".join(["", kind, *lines]))


def _listed(text: str, among: tuple[str, ...], option: str) -> list[str]:
    chosen = text.split(",")
    for one in chosen:
        if one not in among:
            raise click.BadParameter(f"{one!r} is none of {', '.join(among)}", param_hint=option)
    return chosen


if __name__ == "__main__":
    main()
