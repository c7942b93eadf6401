"""The files that a worker was started with are read again, all of them or none: at SIGHUP, when somebody asks its page,
or when the watch sees that they have changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rules.diagnostics import RuleErrors
from schemas.feed_settings import NO_BOOK, FeedBook
from schemas.printable import printable

if TYPE_CHECKING:
    from rules.model import RuleSet
    from streams.holds.rules_order import RulesOrder
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
        self._followed: str | None = None  # the id of the newest order about rules; None before the first look
        self._wanted = ""  # the version of the rules that it asks for
        self._problems: list[str] = []  # of the last reading
        self._read_version = ""  # of the last rules that were read and taken

    def ask(self, loop: asyncio.AbstractEventLoop) -> None:
        """Files that are being read at the moment may be older than those that this request is about."""
        if self._reading is None and self._wiring.source is not None:
            self._reading = loop.create_task(self._reread())
        else:
            self._again = True

    def follow(self, order: RulesOrder | None) -> None:
        """Obeys an operator's order to every worker, if it is new."""
        is_first, before = self._followed is None, self._followed
        self._followed = "" if order is None else order.id
        if order is None or order.id == before:
            return
        if not is_first:
            self._wanted = order.version
            self.ask(asyncio.get_running_loop())
        elif order.version != self._wiring.engine.rules.version:
            ours = self._wiring.engine.rules.version
            log.warning("operators had every worker go on with rules %s; the files here say %s", order.version, ours)

    async def answer(self) -> tuple[int, Mapping[str, object]]:
        """Reads the files, and says what became of it: the status and body of a page."""
        if self._wiring.source is None:
            return 503, {"ok": False, "problems": ["the worker is still at its start"]}
        while self._reading is not None:  # begun before the question was asked
            await asyncio.wait([self._reading])
        self.ask(asyncio.get_running_loop())
        if self._reading is not None:
            await asyncio.wait([self._reading])
        if self._problems:
            return 422, {"ok": False, "problems": self._problems}
        return 200, {"ok": True, "rules_version": self._read_version}

    def obey(self) -> None:
        """Does what was asked for while it could not be done."""
        if self._again:
            self._again = False
            self.ask(asyncio.get_running_loop())

    async def _reread(self) -> None:
        wanted, self._wanted = self._wanted, ""
        try:
            files = await asyncio.get_running_loop().run_in_executor(None, self._prepared)
            if wanted not in ("", files.rules.version):
                raise ValueError(
                    f"an operator asks every worker for rules {wanted}, and the files here say {files.rules.version}: "
                    "bring the files first, and order it again"
                )
            self._adopt(files)
            self._problems, self._read_version = [], files.rules.version
            self._metrics.rules_read(True)
        except Exception as problem:
            log_lines = problem.lines if isinstance(problem, RuleErrors) else [str(problem)]
            self._problems = [printable(line) for line in log_lines]
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
        if unread := set(rules.reads) - set(wiring.engine.reads):
            added = ",".join(sorted(unread))
            raise ValueError(
                f"the new rules count {added}, which this worker does not read: every member of the group must "
                f"read it first, so restart one after the other with --topics {added}, and then change the rules"
            )
        before = getattr(wiring.engine.rules, "protected", None)
        wiring.fetcher.count(rules.reads)
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


class FileWatch:
    """Asks for a reading when files have changed, and are the same at two looks, so that one that is being written is
    not read. look: what is seen of them now, equal while they stay as they are; may take a moment. known: what was seen
    before they were read at the start."""

    def __init__(self, look: Callable[[], object], known: object, rereading: Rereading) -> None:
        self._look, self._rereading = look, rereading
        self._known = known  # as of the last reading
        self._seen = known  # at the last look

    async def turn(self) -> None:
        """One look, to be taken every now and then."""
        loop = asyncio.get_running_loop()
        now = await loop.run_in_executor(None, self._look)
        is_settled, self._seen = now == self._seen, now
        if is_settled and now != self._known:
            self._known = now
            log.info("the files have changed")
            self._rereading.ask(loop)


def seen(paths: Sequence[Path]) -> object:
    """Equal while the files of these paths, and those in these folders, stay as they are."""
    found = []
    for path in paths:
        try:
            files = sorted(path.iterdir()) if path.is_dir() else [path]
            for file in files:
                status = file.stat()
                found.append((str(file), status.st_mtime_ns, status.st_size, status.st_ino))
        except OSError as problem:
            found.append((str(path), problem.errno or 0, 0, 0))
    return found


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
