"""Prints what commands say. No other module prints to a terminal: the linter bans click's own `echo` from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from schemas.printable import printable, printable_json

# Only for our own lines, and for text that is already printable and coloured.
say_coloured = click.echo


def say(*lines: str, err: bool = False) -> None:
    """Prints lines. Each stays one line, whatever its text holds."""
    click.echo("\n".join(map(printable, lines)), err=err)


def say_json(text: str | bytes, err: bool = False) -> None:
    """Prints JSON as one line."""
    click.echo(printable_json(text.decode() if isinstance(text, bytes) else text), err=err)


def counted(count: int, one: str, several: str = "") -> str:
    """So many of something, in words. several: the plural where it is not `one` with an s."""
    return f"{count} {one if count == 1 else several or one + 's'}"


def say_problem(problem: Exception) -> None:
    """Prints an error's message on standard error."""
    lines = getattr(problem, "lines", None)  # of RuleErrors, printable as they are rendered
    say(*(lines or [str(problem)]), err=True)


@contextmanager
def printable_problems() -> Iterator[None]:
    """Makes errors that click shows itself printable: they repeat file names and arguments."""
    try:
        yield
    except click.ClickException as problem:
        text = printable(problem.format_message())
        shown: Any = problem
        shown.format_message = lambda: text
        raise
