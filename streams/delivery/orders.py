"""The orders of operators to a running worker: other rules and settings of feeds, a pause of new blocks, entries of
the registry.

An order takes effect between two commits. Each partition's ledger says under which it was last worked, so that a change
is told once, in the first commit that it is in force for."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import TYPE_CHECKING

from rules.registry import InForce, Registry, empty
from schemas.topics import LEDGER
from streams.delivery.outbox import Outbox
from streams.holds.ledger_keys import pause_key, registry_key, rules_key
from streams.ingest.epoch import OutRecord

if TYPE_CHECKING:
    from rules.model import RuleSet
    from schemas.feed_settings import FeedBook
    from streams.holds.pause import Pause

log = logging.getLogger("grayline.flow")


class Orders:
    def __init__(self, outbox: Outbox, group: str) -> None:
        self._outbox = outbox
        self._group = group
        self._next_rules: tuple[RuleSet, FeedBook | None] | None = None
        self._pause: Pause | None = None
        self._next_pause: Pause | None = None
        self._next_told = empty()

    def adopt_rules(self, rules: RuleSet, feeds: FeedBook | None = None) -> None:
        """Goes on with these rules, and these settings of feeds if there are any, from the next commit on."""
        self._next_rules = rules, feeds

    def adopt_pause(self, pause: Pause | None, *, at_once: bool = False) -> None:
        """Obeys an operator's newest order from the next commit on. at_once: obeys it now, before anything was
        counted."""
        self._next_pause = pause
        if at_once:
            self._obey(pause)

    def adopt_registry(self, told: Registry, *, at_once: bool = False) -> None:
        """Goes by these entries, which operators told every worker, from the next commit on; at_once: now."""
        self._next_told = told
        if at_once:
            self._go_by(told)

    def switch_rules(self, live: Collection[int]) -> None:
        """Puts waiting rules, if any, into effect: events counted from here on belong to the next commit."""
        if self._next_rules is None:
            return
        (rules, feeds), self._next_rules = self._next_rules, None
        before, feeds_before = self._outbox.engine.registry, self._outbox.engine.feeds_version
        self._outbox.switch(rules, feeds)
        for partition in live:
            self._outbox.put(self._rules_row(partition))
        self._tell_registry(before, live)
        log.info("rules: version=%s", self._outbox.engine.rules.version)
        if self._outbox.engine.feeds_version != feeds_before:
            log.info("feeds: version=%s", self._outbox.engine.feeds_version)

    def switch_pause(self, live: Collection[int]) -> bool:
        """Puts a waiting pause or its end, if any, into effect. Returns True if there was one."""
        if self._next_pause == self._pause:
            return False
        self._obey(self._next_pause)
        for partition in live:
            self._outbox.put(self._pause_row(partition))
        state = "paused" if self._outbox.engine.breaker.paused else "resumed"
        log.warning("new blocks are %s: %s", state, self._pause or "the record was removed")
        return True

    def switch_registry(self, live: Collection[int]) -> None:
        """Puts waiting entries, if any, into effect."""
        before = self._outbox.engine.registry
        if self._next_told is not before.told:
            self._go_by(self._next_told)
            self._tell_registry(before, live)

    def tell(
        self, partition: int, rules_version: str | None, pause: bytes | None, registry_version: str | None
    ) -> None:
        """Takes on the orders in the ledger of a partition that goes live; orders that differ now are written to it."""
        if rules_version != self._outbox.engine.rules.version:
            self._outbox.put(self._rules_row(partition))
        if pause != self._pause_value():
            self._outbox.put(self._pause_row(partition))
        if (registry_version or "") != self._outbox.engine.registry.version:
            self._outbox.put(self._registry_row(partition))

    def _tell_registry(self, before: InForce, live: Collection[int]) -> None:
        now = self._outbox.engine.registry
        if now.version == before.version:
            return
        for partition in live:
            self._outbox.put(self._registry_row(partition))
        (added, gone), (told, untold) = now.files.difference(before.files), now.told.difference(before.told)
        log.info(
            "registry: version=%s entries=%d files=+%d,-%d told=+%d,-%d",
            now.version or "none", len(now.files) + len(now.told), added, gone, told, untold,
        )  # fmt: skip

    def _go_by(self, told: Registry) -> None:
        engine = self._outbox.engine
        engine.registry = InForce(engine.registry.files, told)

    def _obey(self, pause: Pause | None) -> None:
        self._pause = pause
        self._outbox.engine.breaker.paused = pause is not None and pause.paused

    def _pause_value(self) -> bytes | None:
        return self._pause.row() if self._pause else None

    def _pause_row(self, partition: int) -> OutRecord:
        return OutRecord(LEDGER, pause_key(self._group), self._pause_value(), partition=partition)

    def _registry_row(self, partition: int) -> OutRecord:
        version = self._outbox.engine.registry.version.encode()
        return OutRecord(LEDGER, registry_key(self._group), version or None, partition=partition)

    def _rules_row(self, partition: int) -> OutRecord:
        version = self._outbox.engine.rules.version.encode()
        return OutRecord(LEDGER, rules_key(self._group), version, partition=partition)
