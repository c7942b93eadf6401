"""Recorded traffic of many files and days, as the commands that try rules take it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rules.model import RuleSet
from schemas.feed_settings import NO_BOOK, FeedBook
from schemas.feeds import order_topics
from streams.captures.files import files_below
from streams.craft.trial import HoldChange, Trial
from streams.ingest.feed_codes import Feeds


@dataclass(frozen=True)
class Recorded:
    """files: read in the order given, those of a folder by name. topic: of records that do not say theirs. merge: all
    files at once, by time."""

    files: tuple[Path, ...]
    topic: str | None = None
    merge: bool = False
    region: str = "KR"
    feeds: FeedBook = NO_BOOK

    @property
    def names(self) -> str:
        return ", ".join(map(str, self.files))

    def each(self) -> tuple[Path, ...]:
        """The files, in place of each folder those in it. Raises CaptureError."""
        return tuple(files_below(self.files))

    def trial(
        self,
        rules: RuleSet,
        take: Callable[[HoldChange], None],
        answers: Callable[[dict[str, Any]], None] = lambda answer: None,
    ) -> Trial:
        """The rules, ready to run; orders about numbers are obeyed where the traffic has them. take, answers: see
        Trial."""
        return Trial(
            rules, take, region=self.region, also=order_topics(), feeds=Feeds(self.feeds), answers=answers
        )  # fmt: skip

    def run(self, trial: Trial, advance: Callable[[int], None] = lambda count: None) -> None:
        """Runs a trial over all of it. advance: called with the bytes read since its last call. Raises CaptureError,
        OSError."""
        trial.run_files(self.files, self.topic, self.merge, advance)
