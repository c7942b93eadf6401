"""The outcomes of an epoch's events, by topic and by feed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from streams.engine.contract import Outcome
from streams.ingest.admission import Accepted
from streams.ingest.feed_codes import Feeds, present
from streams.ingest.merge import Merged
from streams.ingest.skew import skews

REUSED = "reused_ids"


def account(outcome: Outcome, events: Merged, accepted: Accepted, topics: Iterable[str], feeds: Feeds) -> None:
    """Adds to an outcome, which knows of the epoch's topics by now, how its events were judged."""
    for topic in outcome.feeds.keys() & set(topics):  # damaged records of `rekeyed` are of no topic
        tally, mine = outcome.feeds[topic], events.of_topic(topic)
        every = slice(None) if mine.all() else mine
        for code, ahead_ms in skews(*(events[name][every] for name in ("feed", "at", "timestamp"))).items():
            outcome.skew_ms[topic, feeds.name(code, topic)] = ahead_ms
        found = {name: mine & (accepted.verdict == v) for v, name in enumerate(("accepted", "late", "duplicate"))}
        found |= {"future": mine & accepted.future, REUSED: mine & accepted.reused}
        for name, which in found.items():
            tally[name] += (total := int(np.count_nonzero(which)))
            if not total:
                continue
            what = (REUSED, "") if name == REUSED else ("events", name)
            for code, count in zip(*present(events["feed"][which]), strict=True):
                outcome.by_feed[(topic, feeds.name(code, topic), *what)] += count
