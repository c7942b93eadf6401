"""Notes the changes that somebody waits for, with the times since when: for the metric of how long blocks took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from schemas.feeds import order_topics, topic_of
from schemas.topics import REVIEW_QUEUE
from streams.engine.contract import Awaited
from streams.engine.evaluate import Fired
from streams.holds.firings import ENFORCE
from streams.holds.hold import Change
from streams.holds.number_order import Answer
from streams.ingest.merge import Merged
from streams.kernels.clocks import KNOWN_FROM_MS

(ORDERS,) = order_topics()
AFTER_REVIEW = ("approved", "unreviewed")  # behind which a block may follow, of what was in review since its `from`
Told = tuple[int, Change | Answer]


def noted(changes: Iterable[Told], awaited: list[Awaited], counting: Merged, fired: Fired) -> Iterator[Told]:
    """The same (line, change or answer), noting those that somebody waits for in `awaited`. counting: the events that
    firings are of."""
    proposed_ms: int | None = None  # by the change before
    for line, change in changes:
        if isinstance(change, Answer):
            proposed_ms = None
        elif change.hold.lane != ENFORCE:
            proposed_ms = change.hold.from_ms if change.change in AFTER_REVIEW else None
        else:
            awaited += _of(change, proposed_ms, counting, fired)
        yield line, change


def _of(change: Change, proposed_ms: int | None, counting: Merged, fired: Fired) -> Iterator[Awaited]:
    order, k, what = change.order, change.firing, change.change
    if order is not None and what in ("opened", "released"):
        yield _since(ORDERS, what, order.recorded_ms, order.at_ms)
    if k < 0 and what == "opened" and proposed_ms is not None:
        yield _since(REVIEW_QUEUE, what, -1, proposed_ms)
    if k >= 0 and what == "opened":
        event = int(fired.firings.event[k])
        topic, recorded_ms, at_ms = (int(counting[name][event]) for name in ("topic", "timestamp", "at"))
        yield _since(topic_of(topic), what, recorded_ms, at_ms)


def _since(topic: str, change: str, recorded_ms: int, at_ms: int) -> Awaited:
    return Awaited(topic, change, recorded_ms if recorded_ms >= KNOWN_FROM_MS else None, at_ms)
