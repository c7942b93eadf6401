"""The command line as a whole: what it lists, and what it leaves unimported so that it starts at once."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from streams.cli import COMMANDS, command

# None of them is needed to show help or to check a rule file, and each costs milliseconds, the first four seconds.
HEAVY = ("numba", "faust", "numpy", "holidays", "phonenumbers", "confluent_kafka", "prometheus_client", "rich",
         "msgspec", "orjson", "asyncio", "importlib.metadata")  # fmt: skip


@pytest.mark.parametrize("arguments", [["--help"], ["rules", "check"]], ids=" ".join)
def test_what_must_start_at_once_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from streams.cli import command\n"
        "try: command(sys.argv[1:], prog_name='grayline')\n"
        "except SystemExit as end: assert not end.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout
    assert done.stderr.strip() == "[]"


def test_listing_the_commands_imports_none_of_them() -> None:
    code = (
        "import sys\n"
        "from streams.cli import command\n"
        "try: command(['--help'], prog_name='grayline')\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith('streams.cli.')], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_every_command_is_listed_with_its_line_and_has_help_of_its_own() -> None:
    listed = CliRunner().invoke(command, ["--help"]).output
    context = click.Context(command)
    for name, line in COMMANDS.items():
        assert f"  {name} " in listed
        assert line in listed
        assert command.get_command(context, name) is not None
        own = CliRunner().invoke(command, [name, "--help"])
        assert own.exit_code == 0
        assert f"grayline {name}" in own.output, "an example"


def test_a_command_that_does_not_exist_is_wrong_use() -> None:
    result = CliRunner().invoke(command, ["rule"])
    assert result.exit_code == 2
    assert "No such command" in result.output
