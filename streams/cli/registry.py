"""`grayline registry`: checks registry files before workers read them."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click

from streams.cli.options import home_region
from streams.runtime.saying import say, say_coloured, say_json

CHECK_HELP = """Check registry files: every mistake at once, each with its place.

FILE is YAML or, with a name that ends in .csv, CSV. Several files are checked together, as a worker reads them.

\b
Examples:
  grayline registry check registry.yaml
  grayline registry check --home-region KR senders.csv institutions.yaml
  grayline registry check --json senders.csv | jq .kinds.bulk_sender.expired

Exit codes: 0 no mistakes (entries that are over are no mistake), 1 mistakes, 2 used wrongly.
"""


@click.group("registry")
def command() -> None:
    """Check registry files: registered senders, institutions, the allow list.

    \b
    Example:
      grayline registry check registry.yaml
    """


@command.command("check", help=CHECK_HELP, short_help="Check registry files.")
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@home_region()
def check(paths: tuple[Path, ...], as_json: bool, home_region: str) -> None:
    from rules.diagnostics import render
    from rules.registry_file import check_registry

    registry, diagnostics = check_registry(paths, home_region)
    kinds = {} if registry is None else registry.counts(time.time_ns() // 1_000_000)
    if as_json:
        rows = [
            {"file": d.file, "line": d.line, "column": d.column, "severity": d.severity, "message": d.message,
             "hint": d.hint}
            for d in diagnostics
        ]  # fmt: skip
        version = None if registry is None else registry.version
        say_json(json.dumps({"ok": registry is not None, "version": version, "kinds": kinds, "diagnostics": rows}))
    else:
        for diagnostic in diagnostics:
            say_coloured(render(diagnostic, color=sys.stdout.isatty()))
        for name, counts in kinds.items():
            more = [f"{count} {what}" for what, count in counts.items() if what != "entries" and count]
            say(", ".join([f"{name}: {counts['entries']}", *more]))
        if registry is not None:
            say(f"{len(registry)} entries, version {registry.version or 'none'}: no errors")
        else:
            say(f"{len(diagnostics)} error{'s' * (len(diagnostics) != 1)}")
    sys.exit(0 if registry is not None else 1)
