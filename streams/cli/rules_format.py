"""`grayline rules fmt` and `grayline rules schema`: help with writing rule files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from rules.diagnostics import Diagnostic
from streams.runtime.saying import say, say_coloured


@click.command("fmt", short_help="Put rule files into one form.")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--check", is_flag=True, help="Write nothing, and end with code 1 if a file has another form.")
def fmt(paths: tuple[Path, ...], check: bool) -> None:
    """Put rule files, and those of folders, into one form. Comments, quotes and line breaks stay.

    The form: two columns a level, one blank line between rules and between sections, no space at the end of a line.
    With - a file is read from standard input and written to standard output.

    \b
    Examples:
      grayline rules fmt rules/
      grayline rules fmt --check rules/ night.yaml
      grayline rules fmt - < night.yaml

    Exit codes: 0 done, 1 a file cannot be read or, with --check, has another form, 2 used wrongly.
    """
    from rules.formatting import Unformatted, formatted
    from rules.load import STDIN, rule_files

    failed = False
    unread: list[Diagnostic] = []
    files = [file for path in paths for file in rule_files(path, unread)]
    for file in files:
        try:
            text = sys.stdin.read() if file == STDIN else file.read_text(encoding="utf-8")
            form = formatted(text, str(file))
            if file == STDIN and not check:
                say_coloured(form, nl=False)
            elif form != text:
                failed |= check
                say(f"{'not in form' if check else 'formatted'}: {file}")
                if not check:
                    file.write_text(form, encoding="utf-8")
        except (OSError, UnicodeDecodeError, Unformatted) as problem:
            failed = True
            say(f"{file}: {problem}", err=True)
    for one in unread:
        say(f"{one.position}: {one.message}", err=True)
    sys.exit(1 if failed or unread else 0)


@click.command("schema", short_help="Print the JSON Schema of rule files.")
def schema() -> None:
    """Print the JSON Schema of rule files, by which editors complete, explain and underline.

    Editors with a YAML language server read it where a file begins with
    `# yaml-language-server: $schema=rule-file.schema.json`.

    \b
    Example:
      grayline rules schema > rule-file.schema.json

    Exit codes: 0 done, 2 used wrongly.
    """
    from rules.file_schema import file_schema

    say_coloured(json.dumps(file_schema(), indent=2))
