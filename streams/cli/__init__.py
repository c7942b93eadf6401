"""The command line `grayline`: one module per command beside this one, imported only when it is asked for."""

from __future__ import annotations

import sys
from importlib import import_module

import click

COMMANDS = ("demo", "run", "replay", "traffic", "topics", "blocks", "rules", "completion")

HELP = """Reads phone traffic from Kafka and says which numbers to stop, why, and until when.

\b
Examples:
  grayline demo                                    see it work, nothing else needed
  grayline rules check rules/                      check rule files
  grayline traffic --duration 1h --out day.jsonl   labelled synthetic traffic
  grayline replay day.jsonl                        block events from recorded traffic
  grayline topics create --brokers localhost:9092  make the topics
  grayline run --brokers localhost:9092 --from latest
  grayline blocks --brokers localhost:9092 --follow

Exit codes: 0 done, 1 failed, 2 used wrongly.
"""


class Commands(click.Group):
    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"streams.cli.{name}").command
        return command


@click.command(
    cls=Commands, help=HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}
)
@click.version_option(package_name="grayline", prog_name="grayline")
def command() -> None:
    pass


def main() -> None:
    """Entry point. A closed pipe behind us (`| head`) is no failure of ours."""
    try:
        command(prog_name="grayline")
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
