"""`grayline rules test`: runs the tests that lie beside rule files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.options import home_region
from streams.cli.recorded import write_file
from streams.runtime.saying import say, say_coloured, say_json

if TYPE_CHECKING:
    from rules.model import RuleSet
    from streams.craft.rule_tests import RuleTest, TestVerdict

TEST_HELP = """Test rules: records at given times, who must be blocked, and which limits are in force when.

PATH is a file of tests, or a folder with some (*.test.yaml); without one, the tests of the shipped packs are run.
docs/rules.md says how they are written.

\b
Examples:
  grayline rules test
  grayline rules test rules/
  grayline rules test night.test.yaml --junit report.xml
  grayline rules test --complete rules/         fail if a rule lacks a test
  grayline rules test --json rules/ | jq '.tests[] | select(.passed | not)'

Exit codes: 0 all passed, 1 a test failed or a file is wrong, 2 used wrongly.
"""


@click.command("test", help=TEST_HELP, short_help="Test rules on virtual time.")
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option("--junit", "junit_path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
              help="Write JUnit's XML for a build server.")  # fmt: skip
@click.option("--complete", is_flag=True,
              help="Fail if a rule has no test in which it must fire, none in which it must not, or a limit that "
                   "hours change has no test in each of them.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@home_region()
def test(paths: tuple[Path, ...], junit_path: Path | None, complete: bool, as_json: bool, home_region: str) -> None:
    from rules.diagnostics import ERROR, render
    from rules.load import packs
    from streams.craft.rule_test_file import files_of_tests, read_tests
    from streams.craft.rule_tests import run_test, untested

    files, wrong = files_of_tests(list(paths) or [packs()])
    tests: list[RuleTest] = []
    rulesets: list[RuleSet] = []
    for file in files:
        found, rules, diagnostics = read_tests(file, home_region)
        tests += found
        rulesets += [rules] if rules is not None else []
        wrong += diagnostics
    if any(diagnostic.severity == ERROR for diagnostic in wrong):
        for diagnostic in wrong:
            say_coloured(render(diagnostic, color=sys.stderr.isatty()), err=True)
        sys.exit(1)
    verdicts = [run_test(test, home_region) for test in tests]
    lacking = untested(tests, rulesets) if complete else []
    if junit_path is not None:
        from streams.craft.junit import junit

        write_file(junit_path, junit(verdicts))
    if as_json:
        say_json(json.dumps(_shown(verdicts, lacking)))
    else:
        _say(verdicts, lacking)
    sys.exit(1 if lacking or any(verdict.failures for verdict in verdicts) else 0)


def _say(verdicts: list[TestVerdict], lacking: list[tuple[str, str]]) -> None:
    failed = [verdict for verdict in verdicts if verdict.failures]
    for verdict in failed:
        say(f"FAILED {verdict.test.file}:{verdict.test.line}: {verdict.test.name}")
        say(*(f"  {verdict.test.file}:{failure.line}: {failure.message}" for failure in verdict.failures))
    for rule, what in lacking:
        say(f"INCOMPLETE {rule}: {what}")
    passed = f"{len(verdicts) - len(failed)} of {len(verdicts)} tests passed"
    say(passed + (f"; {len({rule for rule, _ in lacking})} rules lack a test" if lacking else ""))


def _shown(verdicts: list[TestVerdict], lacking: list[tuple[str, str]]) -> dict[str, object]:
    return {
        "ok": not lacking and not any(verdict.failures for verdict in verdicts),
        "tests": [
            {
                "file": verdict.test.file,
                "line": verdict.test.line,
                "name": verdict.test.name,
                "passed": not verdict.failures,
                "failures": [{"line": failure.line, "message": failure.message} for failure in verdict.failures],
            }
            for verdict in verdicts
        ],
        "incomplete": [{"rule": rule, "lacks": what} for rule, what in lacking],
    }
