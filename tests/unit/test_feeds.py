"""A feed that had records and then none for long is silent, and said to be so once."""

from __future__ import annotations

import pytest

from streams.runtime.silence import FeedWatch, Turn

LONG = 300_000


def test_a_feed_falls_silent_once_and_is_heard_again_once() -> None:
    watch = FeedWatch(LONG)
    assert [watch.note("cdr", n, now) for n, now in ((5, 0), (0, LONG - 1))] == [None, None]
    assert watch.note("cdr", 0, LONG) == Turn("cdr", True, LONG)
    assert watch.note("cdr", 0, 3 * LONG) is None
    assert watch.silent() == {"cdr": True}
    assert watch.quiet_ms(3 * LONG) == {"cdr": 3 * LONG}
    assert watch.note("cdr", 1, 3 * LONG + 7) == Turn("cdr", False, 3 * LONG + 7)
    assert watch.note("cdr", 1, 3 * LONG + 8) is None
    assert watch.silent() == {"cdr": False}
    assert watch.quiet_ms(3 * LONG + 10) == {"cdr": 2}
    assert watch.note("cdr", 0, 4 * LONG + 8) == Turn("cdr", True, LONG)


def test_a_feed_that_was_never_heard_is_not_silent() -> None:
    watch = FeedWatch(LONG)
    assert watch.note("cdr", 0, 0) is None
    assert watch.note("cdr", 0, 10 * LONG) is None
    assert (watch.silent(), watch.quiet_ms(10 * LONG)) == ({}, {})


def test_a_feed_whose_records_come_now_and_then_is_never_silent() -> None:
    watch = FeedWatch(LONG)
    assert watch.note("control", 1, 0) is None
    assert watch.note("control", 0, 10 * LONG) is None
    assert (watch.silent(), watch.quiet_ms(10 * LONG)) == ({}, {})
    assert [watch.note(feed, 1, 0) for feed in ("reports", "traps")] == [None, None]
    assert watch.note("reports", 0, LONG) == Turn("reports", True, LONG)


def test_one_feed_says_nothing_about_another() -> None:
    watch = FeedWatch(LONG)
    for now in range(0, 2 * LONG, LONG // 3):
        assert watch.note("message-relay", 1, now) is None
        turn = watch.note("cdr", now == 0, now)
        assert (turn is not None) == (now == LONG)
    assert watch.silent() == {"cdr": True, "message-relay": False}


def test_time_in_which_nothing_could_be_heard_makes_no_feed_silent_nor_any_heard() -> None:
    watch = FeedWatch(LONG)
    watch.note("cdr", 1, 0)
    watch.note("message-relay", 1, LONG // 2)
    assert watch.note("cdr", 0, LONG) is not None
    watch.restart(5 * LONG)
    assert watch.note("cdr", 0, 5 * LONG) is None
    assert watch.silent() == {"cdr": True, "message-relay": False}
    assert watch.note("message-relay", 0, 6 * LONG - 1) is None
    # How long it was quiet is told from its last record on all the same.
    assert watch.note("message-relay", 0, 6 * LONG) == Turn("message-relay", True, 11 * LONG // 2)


def test_a_worker_that_has_given_up_its_partitions_has_nothing_to_say_of_feeds() -> None:
    watch = FeedWatch(LONG)
    watch.note("cdr", 1, 0)
    watch.note("cdr", 0, LONG)
    watch.forget()
    assert (watch.silent(), watch.quiet_ms(LONG)) == ({}, {})
    assert watch.note("cdr", 0, 9 * LONG) is None


def test_what_the_log_says_of_a_turn() -> None:
    silent, heard = str(Turn("cdr", True, LONG + 999)), str(Turn("cdr", False, LONG))
    assert silent == "feed cdr is silent: no record for 300 s; is whoever delivers still running?"
    assert heard == "feed cdr is heard again, after 300 s"


def test_a_feed_cannot_be_silent_after_no_time_at_all() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        FeedWatch(0)


def test_a_feed_may_have_a_silence_of_its_own() -> None:
    watch = FeedWatch(LONG, {"hourly-files": 3 * LONG})
    for feed in ("cdr", "hourly-files"):
        watch.note(feed, 5, 0)
    assert watch.note("cdr", 0, LONG) == Turn("cdr", True, LONG)
    assert watch.note("hourly-files", 0, 3 * LONG - 1) is None
    assert watch.note("hourly-files", 0, 3 * LONG) == Turn("hourly-files", True, 3 * LONG)


def test_when_its_settings_change_a_feed_has_another_time_and_one_without_any_is_forgotten() -> None:
    watch = FeedWatch(LONG, {"kt": 1_000, "skt": 1_000, "cdr": 1_000})
    for feed in ("kt", "skt", "cdr"):
        watch.note(feed, 1, 0)
    assert watch.note("kt", 0, 2_000) == Turn("kt", True, 2_000)
    watch.expect({"skt": 5_000})
    assert watch.named == {"skt"}
    assert watch.silent() == {"cdr": False, "skt": False}, "a topic is listened to whatever a file says"
    assert (watch.note("skt", 0, 4_999), watch.note("cdr", 0, 5_000)) == (None, None)
    assert watch.note("skt", 0, 5_000) == Turn("skt", True, 5_000)
