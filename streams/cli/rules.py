"""`grayline rules`: checks and tests rule files before they are switched on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from streams.cli.options import home_region
from streams.cli.rules_diff import diff
from streams.cli.rules_explain import explain
from streams.cli.rules_format import fmt, schema
from streams.cli.rules_reload import reload
from streams.cli.rules_test import test
from streams.cli.rules_tune import tune
from streams.runtime.saying import counted, say, say_coloured, say_json

CHECK_HELP = """Check rule files: every mistake at once, each with its place and the valid choices.

PATH is a rule file, a folder of them, or - for standard input; without one, the shipped packs are checked. So are the
lexicons by which texts are read.

\b
Examples:
  grayline rules check
  grayline rules check rules/ night.yaml
  sed 's/12}/10}/' night.yaml | grayline rules check -
  grayline rules check rules/ --protected institutions.yaml
  grayline rules check --lexicon own-words.yaml
  grayline rules check --json rules/ | jq '.diagnostics[].line'

Exit codes: 0 no errors (warnings are allowed, unless --strict), 1 errors, 2 used wrongly.
"""


@click.group("rules")
def command() -> None:
    """Check and test rule files, and try them on recorded traffic.

    \b
    Examples:
      grayline rules check night.yaml
      grayline rules fmt rules/
      grayline rules test night.test.yaml
      grayline rules explain 010-1111-0001 day.jsonl
      grayline rules diff rules/ night.yaml day.jsonl
    """


command.add_command(fmt)
command.add_command(reload)
command.add_command(schema)
command.add_command(test)
command.add_command(explain)
command.add_command(diff)
command.add_command(tune)


@command.command("check", help=CHECK_HELP, short_help="Check rule files.")
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@click.option("--strict", is_flag=True, help="End with code 1 on warnings too.")
@click.option(
    "--feed",
    type=click.Choice(["events", "complete"]),
    default="events",
    show_default=True,
    help="Records of the cdr feed: set-up, answer and release as they happen, or `complete` records only.",
)
@click.option(
    "--protected",
    "own",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="File of protected numbers to check with the rules, as workers read it. Repeatable.",
)
@click.option(
    "--lexicon",
    "lexicons",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Lexicon to check, together with those that ship. Repeatable.",
)
@home_region()
def check(
    paths: tuple[Path, ...],
    as_json: bool,
    strict: bool,
    feed: str,
    own: tuple[Path, ...],
    lexicons: tuple[Path, ...],
    home_region: str,
) -> None:
    from rules.diagnostics import render
    from rules.lexicon_file import check_lexicons
    from rules.load import check as check_rules
    from rules.load import packs
    from rules.protected import check_protected

    ruleset, diagnostics = check_rules(list(paths) or [packs()], feed=feed)
    protected, wrong = check_protected(own, home_region) if own else (None, [])
    lexicon, strange = check_lexicons(lexicons) if lexicons or not paths else (None, [])
    diagnostics = [*diagnostics, *wrong, *strange]
    errors = [d for d in diagnostics if d.severity == "error"]
    if as_json:
        rows = [
            {"file": d.file, "line": d.line, "column": d.column, "severity": d.severity, "message": d.message,
             "hint": d.hint}
            for d in diagnostics
        ]  # fmt: skip
        names = [] if ruleset is None else [rule.name for rule in ruleset.rules]
        version = None if ruleset is None else ruleset.version
        counts = None if protected is None else {"numbers": len(protected.numbers), "prefixes": len(protected.prefixes)}
        shown = {"ok": not errors, "version": version, "rules": names, "diagnostics": rows}
        words = {} if lexicon is None else {"lexicon": {"words": len(lexicon.words), "version": lexicon.version}}
        say_json(json.dumps(shown | ({"protected": counts} if own else {}) | words))
    else:
        for diagnostic in diagnostics:
            say_coloured(render(diagnostic, color=sys.stdout.isatty()))
        if protected is not None:
            numbers, prefixes = len(protected.numbers), len(protected.prefixes)
            say(f"protected: {counted(numbers, 'number')} and {prefixes} {'prefix' if prefixes == 1 else 'prefixes'}")
        if lexicon is not None:
            say(f"lexicon: {counted(len(lexicon.words), 'word')}, version {lexicon.version}")
        if ruleset is not None and not errors:
            say(f"{counted(len(ruleset.rules), 'rule')}, version {ruleset.version}: no errors")
        else:
            say(counted(len(errors), "error"))
    sys.exit(1 if errors or (strict and diagnostics) else 0)
