"""`grayline demo`: broker, traffic, worker and a reader of blocks in one process, within a minute."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from streams.runtime.saying import say, say_json, say_problem

EPILOG = """\b
Examples:
  grayline demo
  grayline demo --seconds 20 --seed 7
  grayline demo --rules night.yaml
  grayline demo --json | jq .score

\b
The embedded broker's address is printed, so that kcat or `grayline blocks` can read from it meanwhile. The first start
compiles kernels for a quarter of a minute; later ones find them in the cache. Ctrl-C ends the traffic and shows the
result so far.

\b
Exit codes: 0 done, 1 failed (a record was lost, the worker failed), 2 used wrongly.
"""


@click.command("demo", epilog=EPILOG)
@click.option("--seconds", type=click.FloatRange(2, 3600), default=40, show_default=True,
              help="Time for which traffic is fed; start and end take a few seconds more.")  # fmt: skip
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Seed of the traffic: the same seed gives the same traffic.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object to standard output, and the view to standard error."
)
@click.option("--rules", "rules_path", type=click.Path(exists=True, path_type=Path),
              help="Rule file or folder. [default: the shipped packs]")  # fmt: skip
def command(seconds: float, seed: int, as_json: bool, rules_path: Path | None) -> None:
    """Feed labelled traffic to an embedded broker, run the worker on it, and show what is blocked and why.

    Two hours of a Korean weekday morning pass in `--seconds`: ordinary subscribers, busy businesses, and planted
    offenders of eight kinds. At the end, the blocks read back from the broker are compared with the labels.
    """
    from rules.load import RuleErrors, load, packs

    try:
        rules = load([rules_path or packs()])
    except RuleErrors as error:
        say_problem(error)
        sys.exit(2)

    from rich.console import Console

    from streams.demo.run import ONLY, demonstrate
    from streams.kafka.settings import KafkaProblem

    if not ONLY.keys() & set(rules.topics):
        read, made = ", ".join(rules.topics), ", ".join(sorted(ONLY))
        say(
            f"these rules count {read}, and the demonstration makes traffic of {made} only: nothing would happen",
            err=True,
        )
        sys.exit(2)
    try:
        summary = demonstrate(rules, seconds, seed, Console(stderr=as_json))
    except KafkaProblem as problem:
        say_problem(problem)
        sys.exit(1)
    except KeyboardInterrupt:
        say("interrupted before there was anything to show", err=True)
        sys.exit(1)
    if as_json:
        import orjson

        say_json(orjson.dumps(summary.to_dict()))
    sys.exit(1 if summary.problems else 0)
