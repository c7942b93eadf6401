"""By how much feeds are ahead of their log."""

from __future__ import annotations

import numpy as np

from schemas.topics import REPORTS
from streams.ingest.skew import SAMPLE, skews
from tests.unit.test_topics import AT_MS, HOUR, engine_of, report, step

LOG_MS = 1_795_312_800_000


def told(*parts: tuple[int, list[int], int]) -> dict[int, int]:
    """(feed, by how much each of its events is ahead, Kafka's timestamp of all)"""
    feed = np.concatenate([np.full(len(ahead), code, np.int32) for code, ahead, _ in parts])
    timestamp = np.concatenate([np.full(len(ahead), ts, np.int64) for _, ahead, ts in parts])
    return skews(feed, LOG_MS + np.concatenate([ahead for _, ahead, _ in parts]).astype(np.int64), timestamp)


def test_each_feed_has_the_middle_of_its_events_so_that_one_wrong_record_says_nothing() -> None:
    month = 30 * 86_400_000
    assert told((3, [-500, -400, month], LOG_MS), (7, [90_000, 90_200, 89_000], LOG_MS)) == {3: -400, 7: 90_000}


def test_events_whose_timestamp_is_unknown_say_nothing() -> None:
    assert told((3, [5, 6], 0), (4, [5], -1), (5, [7], LOG_MS)) == {5: 7}
    assert told((3, [], LOG_MS)) == {}


def test_of_a_large_epoch_a_sample_is_enough() -> None:
    assert told((3, [1000] * (3 * SAMPLE), LOG_MS), (9, [-7] * (2 * SAMPLE), LOG_MS)) == {3: 1000, 9: -7}


def test_an_epoch_tells_it_by_topic_and_feed() -> None:
    outcome = step(engine_of(), REPORTS, [report(i) | {"at": AT_MS} for i in range(5)])
    assert outcome.skew_ms == {(REPORTS, REPORTS): -HOUR}
