"""The outbox: gathers all that the engine returns for the next commit, and the records that must leave with it."""

from __future__ import annotations

import logging
from collections import Counter, deque
from typing import TYPE_CHECKING

from schemas.topics import BLOCK_EVENTS
from streams.ingest.decode import RECORDS
from streams.ingest.derived import pack
from streams.ingest.epoch import OutRecord
from streams.runtime.metrics import Metrics

if TYPE_CHECKING:
    from rules.model import RuleSet
    from schemas.feed_settings import FeedBook
    from streams.engine.contract import Awaited, LiveEngine, Outcome
    from streams.ingest.decode import Decoded
    from streams.ingest.merge import Merged

log = logging.getLogger("grayline.flow")

RECENT_BLOCKS = 100


class Outbox:
    """The engine, and its outputs since the last commit began.

    What the engine returns is gathered here, where it is returned: a timer may run at every `await`, so outcomes that
    wait for their caller could change places, and a number's `expired` would leave before its `opened`."""

    def __init__(self, engine: LiveEngine, metrics: Metrics) -> None:
        self.engine = engine
        self.size_bytes = 0
        self.has_blocks = False  # among its records are block events, for which somebody waits
        self.is_due = False  # something was counted or made since the last commit began
        self.recent: deque[OutRecord] = deque(maxlen=RECENT_BLOCKS)
        self.delivered: Counter[str] = Counter()  # records by feed, until somebody takes them
        self._metrics = metrics
        self._records: list[OutRecord] = []
        self._derived: dict[str, list[Merged]] = {}  # by subject, events on their way to others than their number
        self._awaited: list[Awaited] = []

    def step(self, decoded: list[Decoded]) -> None:
        """Counts the parts of one epoch."""
        self._gather(self.engine.step(decoded))

    def expire(self, now_ms: int) -> None:
        """Ends the holds that are over by wall time."""
        self._gather(self.engine.expire(now_ms))

    def switch(self, rules: RuleSet, feeds: FeedBook | None = None) -> None:
        """Goes on under other rules, and other settings of feeds if there are any."""
        self.engine = self.engine.with_rules(rules, feeds)

    def put(self, record: OutRecord) -> None:
        self._records.append(record)
        self.size_bytes += len(record.value or b"")
        self.is_due = True
        if record.topic == BLOCK_EVENTS:
            self.has_blocks = True
            self.recent.append(record)

    def ask_for_a_commit(self) -> None:
        """True if there is something to commit, be it offsets alone."""
        self.is_due = True

    def take(self) -> list[OutRecord]:
        """Takes out all records, for a commit that begins; nothing is due after that."""
        records, self._records = self._records, []
        derived, self._derived = self._derived, {}
        records += pack(derived, self.engine.partitions, self.engine.group, self.engine.names.of)
        self.size_bytes, self.is_due, self.has_blocks = 0, False, False
        return records

    def take_awaited(self) -> list[Awaited]:
        """The changes that somebody waits for among the records of the next `take`."""
        awaited, self._awaited = self._awaited, []
        return awaited

    def take_delivered(self) -> Counter[str]:
        """The records that each feed has delivered since the last call."""
        delivered, self.delivered = self.delivered, Counter()
        return delivered

    def _gather(self, outcome: Outcome) -> None:
        for record in (*outcome.records, *outcome.ledger):
            self.put(record)
        self._awaited += outcome.awaited
        for subject, events in outcome.derived.items():
            self._derived.setdefault(subject, []).append(events)
            self.size_bytes += sum(column.nbytes for column in events.columns.values())
        self._metrics.outcome(outcome)
        self.delivered.update({told[1]: n for told, n in outcome.by_feed.items() if told[2] == RECORDS})
        for trip in outcome.trips:
            log.error("%s", trip)
