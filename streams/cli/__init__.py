"""The command line `grayline`: one module per command in this folder, imported only when the command is called."""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from types import TracebackType
from typing import Any

import click

from streams.runtime.output import guard_output, output_problems
from streams.runtime.saying import printable_problems, say_coloured

# Each command and its line in the list of commands, which is then shown without importing any of them.
COMMANDS = {
    "demo": "Show it at work: broker, traffic and worker in one process.",
    "run": "Run a worker: read traffic, apply the rules, publish blocks.",
    "replay": "Run the rules over recorded traffic, without Kafka.",
    "traffic": "Generate labelled phone traffic into a file or into Kafka.",
    "record": "Record topics into files, with pseudonyms if you like.",
    "records": "Check samples of records, field by field.",
    "dead-letters": "List, show and redrive the records that could not be understood.",
    "topics": "Make and show Grayline's topics on a broker.",
    "blocks": "List the blocked numbers, and follow changes.",
    "release": "End the blocks of a number, or those by a rule.",
    "block": "Block a number by an operator's order.",
    "suspend": "End the blocks of a line that its carrier has suspended.",
    "export": "Write the blocked numbers to a file, and keep it up to date.",
    "serve": "Answer over HTTP which numbers are blocked.",
    "allow": "The allow list: add a number and end its blocks, remove, list.",
    "review": "List, show and decide what is in review.",
    "reporters": "Show which reporters count less, and judge them.",
    "why": "Ask running workers why a number is blocked, or why not.",
    "shadow": "List whom rules in shadow mode would block.",
    "audit": "Show the whole history of a number.",
    "deadlines": "Show how long blocks took until they were in force.",
    "pause": "Stop new blocks on every worker until `resume`.",
    "paused": "Show whether new blocks are paused, by whom and until when.",
    "resume": "Let rules block again after `pause`.",
    "rules": "Check and test rule files.",
    "text": "Explain what a text says: words, numbers, amounts, links.",
    "registry": "Registered senders, institutions and the allow list.",
    "share": "Share numbers with other carriers, and hear theirs.",
    "report": "Write reports for others about recorded traffic.",
    "state": "Inspect, verify or export the snapshots of a stopped worker.",
    "completion": "Print a shell's completion script.",
}

# Commands whose module has another name; all others are their module's `command`.
_TOGETHER = {"pause": "control", "paused": "control", "resume": "control"}

HELP = """Reads phone traffic from Kafka and publishes which numbers to block, why, and until when.

\b
Examples:
  grayline demo                                    show it at work; needs nothing else
  grayline rules check rules/                      check rule files
  grayline rules test rules/                       run the tests beside them
  grayline traffic --duration 1h --out day.jsonl   generate labelled traffic
  grayline replay day.jsonl                        run the rules over it
  grayline topics create --brokers localhost:9092  make the topics
  grayline run --brokers localhost:9092 --from latest
  grayline blocks --brokers localhost:9092 --follow
  grayline release 010-1111-0001 --reason "the holder called" --brokers localhost:9092

Exit codes: 0 done, 1 failed, 2 used wrongly.
"""


class Commands(click.Group):
    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = import_module(f"streams.cli.{_TOGETHER.get(name, name).replace('-', '_')}")
        command: click.Command = getattr(module, name if name in _TOGETHER else "command")
        return command

    def make_context(self, *given: Any, **more: Any) -> click.Context:
        with output_problems(), printable_problems():
            return super().make_context(*given, **more)

    def invoke(self, context: click.Context) -> Any:
        with output_problems(), printable_problems():
            return super().invoke(context)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    cls=Commands, help=HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}
)
@click.version_option(package_name="grayline", prog_name="grayline")
def command() -> None:
    pass


def main() -> None:
    """Entry point."""
    sys.excepthook = _crashed
    threading.excepthook = lambda crash: _crashed(crash.exc_type, crash.exc_value, crash.exc_traceback)
    guard_output()
    command(prog_name="grayline")


def _crashed(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """Shows the unforeseen error that ended the process or a thread. Its message may hold anything, so it is made
    printable."""
    from streams.runtime.logs import crash_text

    say_coloured(crash_text(error), err=True)
