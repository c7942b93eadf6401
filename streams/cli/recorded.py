"""The options by which commands take recorded traffic, and the rules that they run over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.cli.options import Zone, feeds_file, home_region
from streams.runtime.saying import say

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from rules.model import RuleSet
    from streams.captures.replay import ReplaySummary
    from streams.craft.recorded import Recorded

EXISTING = click.Path(exists=True, allow_dash=True, path_type=Path)


class Given:
    """The options as they were given."""

    def __init__(self, files: tuple[Path, ...], given: dict[str, Any]) -> None:
        self.files = files
        self.topic: str | None = given.pop("topic")
        self.merge: bool = given.pop("merge")
        self.region: str = given.pop("home_region")
        self.protected: tuple[Path, ...] = given.pop("protected")
        self.registry: tuple[Path, ...] = given.pop("registry")
        self.feeds_path: Path | None = given.pop("feeds_path")

    def rules(self, path: Path | None) -> RuleSet:
        """The rules of a file or folder; those that ship without one. Raises ClickException with every mistake."""
        from rules.load import RuleErrors, load, packs

        try:
            return load([path or packs()], self.protected, self.region, self.registry)
        except RuleErrors as problem:
            raise click.ClickException(str(problem)) from problem

    def recorded(self) -> Recorded:
        from rules.feeds_file import load_feeds
        from rules.load import RuleErrors
        from schemas.feed_settings import NO_BOOK
        from streams.cli.replay import check_reading
        from streams.craft.recorded import Recorded

        check_reading(self.files, self.topic, self.merge)
        try:
            feeds = NO_BOOK if self.feeds_path is None else load_feeds(self.feeds_path)
        except RuleErrors as problem:
            raise click.ClickException(str(problem)) from problem
        return Recorded(self.files, self.topic, self.merge, self.region, feeds)

    def complain(self, summary: ReplaySummary) -> None:
        """Says what of the traffic was not counted. Raises ClickException where that is all, or more than half."""
        if summary.seen_before:
            skipped = f"{summary.seen_before:,} of {summary.lines:,} records were skipped"
            say(f"warning: {skipped}: their topic, partition and offset had been read before", err=True)
        if complaint := summary.complaint(", ".join(map(str, self.files)), self.merge):
            raise click.ClickException(complaint)


def recorded_traffic(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds FILE... and the options that say how it is read; the command gets them as `traffic`."""

    @wraps(command)
    def with_traffic(files: tuple[Path, ...], **given: Any) -> Any:
        return command(traffic=Given(files, given), **given)

    called: Callable[..., Any] = with_traffic
    for option in (
        click.argument("files", metavar="FILE...", nargs=-1, required=True, type=EXISTING),
        click.option("--topic", help="Topic of records that do not say it. [default: guessed from the fields]"),
        click.option("--merge", is_flag=True, help="Read all files at once, in the order of the records' times."),
        click.option(
            "--protected", multiple=True, metavar="FILE", type=click.Path(path_type=Path),
            help="File of numbers that no rule blocks, in addition to the shipped list. Repeatable.",
        ),
        click.option(
            "--registry", multiple=True, metavar="FILE", type=click.Path(path_type=Path),
            help="File of registered senders, institutions and allow-listed numbers. Repeatable.",
        ),
        feeds_file,
        home_region(),
    ):  # fmt: skip
        called = option(called)
    return called


rules_option = click.option(
    "--rules", "rules_path", metavar="PATH", type=click.Path(exists=True, path_type=Path),
    help="Rule file or folder. [default: the shipped packs]",
)  # fmt: skip
zone_option = click.option(
    "--zone", type=Zone(), metavar="NAME", help="Time zone of the days. [default: that of the rules' hours, else UTC]"
)


@contextmanager
def capture_problems() -> Iterator[None]:
    """Says in words that a file cannot be read."""
    from streams.captures.rows import CaptureError

    try:
        yield
    except (CaptureError, OSError) as problem:
        raise click.ClickException(str(problem)) from problem


def day_zone(named: ZoneInfo | None, rules: RuleSet) -> ZoneInfo:
    """The zone by whose days results are told: that of the rules' hours unless one is named."""
    from rules.hours import zone

    hours = (hours for rule in rules.rules for limit in rule.limits.values() for _, hours, _ in limit.during)
    own = next((interval.location for one in hours for interval in one.intervals), "UTC")
    return named or zone(own)


def write_file(path: Path, content: bytes) -> None:
    """Raises ClickException."""
    try:
        path.write_bytes(content)
    except OSError as problem:
        raise click.ClickException(f"{path} cannot be written: {problem.strerror}") from problem
