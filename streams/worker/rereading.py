"""SIGHUP: the files that a worker was started with are read again, all of them or none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rules.diagnostics import RuleErrors
from schemas.feed_settings import NO_BOOK, FeedBook
from schemas.printable import printable

if TYPE_CHECKING:
    from rules.model import RuleSet
    from streams.runtime.metrics import Metrics
    from streams.runtime.silence import FeedWatch
    from streams.worker.wiring import Wiring

log = logging.getLogger("grayline.worker")


@dataclass(frozen=True)
class Files:
    """The content of a worker's files: its rules, with protected numbers and registry, and its settings of feeds."""

    rules: RuleSet
    feeds: FeedBook = NO_BOOK


class Rereading:
    """Reads the files when asked to, one reading after the other. If anything is wrong with any of them, all stay as
    they are: a carrier's feed may have come with the rules that count it."""

    def __init__(self, read: Callable[[], Files], wiring: Wiring, metrics: Metrics, watch: FeedWatch) -> None:
        """read: raises rules.diagnostics.RuleErrors. watch: goes by the new settings of feeds."""
        self._read = read
        self._wiring = wiring
        self._metrics = metrics
        self._watch = watch
        self._reading: asyncio.Task[None] | None = None
        self._again = False

    def ask(self, loop: asyncio.AbstractEventLoop) -> None:
        """Files that are being read at the moment may be older than those that this request is about."""
        if self._reading is None and self._wiring.source is not None:
            self._reading = loop.create_task(self._reread())
        else:
            self._again = True

    def obey(self) -> None:
        """Does what was asked for while it could not be done."""
        if self._again:
            self._again = False
            self.ask(asyncio.get_running_loop())

    async def _reread(self) -> None:
        try:
            files = await asyncio.get_running_loop().run_in_executor(None, self._prepared)
            self._adopt(files)
            self._metrics.rules_read(True)
        except Exception as problem:
            log_lines = problem.lines if isinstance(problem, RuleErrors) else [str(problem)]
            log.error("the files were not read again, the old ones stay: %s", log_lines[0])
            for line in log_lines[1:]:
                log.error("%s", line)
            self._metrics.rules_read(False)
        finally:
            self._reading = None
            self.obey()

    def _adopt(self, files: Files) -> None:
        wiring, rules = self._wiring, files.rules
        assert wiring.flow is not None
        if unread := set(rules.topics) - set(wiring.engine.topics):
            added = ",".join(sorted(unread))
            raise ValueError(
                f"the new rules count {added}, which this worker does not read: every member of the group must "
                f"read it first, so restart one after the other with --topics {added}, and then change the rules"
            )
        before = getattr(wiring.engine.rules, "protected", None)
        wiring.fetcher.count(rules.topics)
        wiring.orders.adopt_rules(rules, files.feeds)
        self._watch.expect(files.feeds.own_silence_ms)
        later = " that follows the restore under way" if wiring.flow.partitions.restoring else ""
        lines = said(files)
        if before is not None and rules.protected is not None:
            came, gone = rules.protected.difference(before)
            lines.append(f"protected numbers and prefixes: came={came} gone={gone}")
        for line in lines:
            log.info("%s: in force from the next commit on%s", line, later)

    def _prepared(self) -> Files:
        from streams.engine.warm import warm

        files = self._read()
        warm(files.rules)
        return files


def said(files: Files) -> list[str]:
    """The files in lines of the log."""
    rules, feeds = files.rules, files.feeds
    named = ",".join(rule.name for rule in rules.rules)
    lines = [f"rules read: version={rules.version} topics={','.join(rules.topics)} rules={named}"]
    if rules.protected is not None:
        lines.append(f"protected: numbers={len(rules.protected.numbers)} prefixes={len(rules.protected.prefixes)}")
    if feeds.version:
        lines.append(f"feeds read: version={feeds.version} feeds={','.join(map(printable, sorted(feeds.feeds)))}")
    return lines
