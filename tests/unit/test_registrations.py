"""Registrations of senders by order: obeyed once, in event time, and read by rules whatever the epochs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.load import check_texts, load_text
from schemas.topics import BLOCK_EVENTS, BLOCK_HISTORY, CONTROL
from streams.captures.replay import Replay
from streams.engine.engine import Engine
from streams.holds.registrations import REGISTRATIONS_MAX
from streams.ingest.epoch import OutRecord
from tests.unit.test_number_orders import DAY, HOUR, MINUTE, NUMBER, OTHER, T0, Traffic

RULES = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1m}
rules:
  - name: unregistered
    summary: nobody registered the sender
    when: sent >= 1 and registered == "false"
    then: {block: [messages], directions: [outgoing], for: 1m}
    mode: enforce
  - name: spoofed-sender
    summary: through another account or relay than the sender's
    when: sent >= 1 and spoofed == "true"
    then: {block: [messages], directions: [outgoing], for: 1m}
    mode: enforce
"""


def run(traffic: Traffic, batch_lines: int = 10_000) -> list[OutRecord]:
    out: list[OutRecord] = []
    engine = Engine(load_text(RULES), also=(CONTROL,), expire_by_clock=True)
    Replay(engine, out.append, batch_lines).run(traffic.lines, "lines")
    return out


def blocks(traffic: Traffic) -> list[tuple[int, str]]:
    """(minutes after T0, rule) of each hold that was opened."""
    out = run(traffic)
    assert [r.value for r in out] == [r.value for r in run(traffic, 1)], "where epochs end changes nothing"
    states = [json.loads(r.value or b"") for r in out if r.topic == BLOCK_EVENTS]
    opened = {(hold["from"], hold["rule"]) for state in states for hold in state["holds"]}
    return sorted(((at - T0) // MINUTE, rule) for at, rule in opened)


def answers(traffic: Traffic) -> list[tuple[str, str | None]]:
    rows = [json.loads(r.value or b"") for r in run(traffic) if r.topic == BLOCK_HISTORY]
    return [(row["order"]["action"], row["why"]) for row in rows if "hold" not in row]


def sends(traffic: Traffic, *minutes: int, **more: Any) -> Traffic:
    for minute in minutes:
        traffic.messages(T0 + minute * MINUTE, 1, **more)
    return traffic


def test_a_registered_sender_is_registered_from_its_beginning_until_before_its_end() -> None:
    traffic = Traffic().order(T0, "register", since=T0 + 10 * MINUTE, until=T0 + 30 * MINUTE)
    assert blocks(sends(traffic, 5, 10, 29, 30)) == [(5, "unregistered"), (30, "unregistered")]


def test_without_a_beginning_it_holds_from_the_order_on_late_events_included() -> None:
    traffic = Traffic().order(T0 + 10 * MINUTE, "register", until=T0 + DAY)
    assert blocks(sends(traffic, 11, 8)) == [(8, "unregistered")]


def test_an_event_is_judged_by_the_orders_that_came_before_it() -> None:
    traffic = sends(Traffic(), 5).order(T0 + 5 * MINUTE, "register", since=T0, until=T0 + DAY)
    assert blocks(sends(traffic, 5, 6)) == [(5, "unregistered")]


def test_an_end_cuts_the_registration_at_its_time_and_covers_what_was_sent_before() -> None:
    traffic = Traffic().order(T0, "register", until=T0 + DAY).order(T0 + 10 * MINUTE, "unregister")
    assert blocks(sends(traffic, 9, 11)) == [(11, "unregistered")]
    assert answers(traffic) == [("register", None), ("unregister", None)]


def test_another_account_or_relay_than_the_registered_one_is_spoofed() -> None:
    def told(**more: Any) -> list[tuple[int, str]]:
        traffic = Traffic().order(T0, "register", until=T0 + DAY, account="a1", relay="r1")
        return blocks(sends(traffic, 1, **more))

    assert told() == told(account="a1", relay="r1") == told(relay="r1") == []
    assert told(account="a2") == told(account="a1", relay="r2") == told(account="A1") == [(1, "spoofed-sender")]


def test_a_sender_may_be_registered_for_several_accounts_and_one_of_them_may_end() -> None:
    traffic = Traffic().order(T0, "register", until=T0 + DAY, account="a1")
    traffic.order(T0, "register", until=T0 + DAY, account="a2").order(T0 + MINUTE, "unregister", account="a1")
    sends(sends(traffic, 2, account="a2"), 4, account="a1")
    assert blocks(traffic) == [(4, "spoofed-sender")]


def test_a_domestic_number_from_abroad_is_spoofed_and_a_foreign_one_is_not() -> None:
    traffic = sends(Traffic(), 1, origin="international")
    traffic.order(T0, "register", until=T0 + DAY).order(T0, "register", "+12025550123", until=T0 + DAY)
    sends(sends(traffic, 3, origin="international"), 5, origin="international", sender="+12025550123")
    assert blocks(traffic) == []  # nobody vouches for such events: they go to review
    reviewed = [json.loads(r.value or b"") for r in run(traffic) if r.topic == "review-queue"]
    spoofed = [state for state in reviewed if state["hold"]["rule"] == "spoofed-sender"]
    assert {state["number"] for state in spoofed} == {NUMBER}


def test_a_number_has_a_bounded_count_of_registrations() -> None:
    traffic = Traffic()
    for i in range(REGISTRATIONS_MAX + 1):
        traffic.order(T0, "register", until=T0 + DAY, account=f"a{i}")
    traffic.order(T0, "register", until=T0 + 2 * DAY, account="a0")
    said = answers(traffic)
    assert said == [("register", None)] * REGISTRATIONS_MAX + [("register", "too_many"), ("register", None)]


@pytest.mark.parametrize("more", [{"account": "a2"}, {"relay": "r1"}])
def test_what_is_not_registered_cannot_end(more: dict[str, str]) -> None:
    traffic = Traffic().order(T0, "register", until=T0 + DAY, account="a1").order(T0 + 1, "unregister", **more)
    assert answers(traffic)[-1] == ("unregister", "not_registered")


def test_a_registration_outlives_the_worker_and_goes_with_its_partition() -> None:
    rules = load_text(RULES)
    engine = Engine(rules, also=(CONTROL,))
    engine.partitions = 1
    out: list[OutRecord] = []
    Replay(engine, out.append).run(
        Traffic().order(T0, "register", until=T0 + DAY, account="a1", owner="a clinic").lines, "lines"
    )
    row = engine.ledger.row(int(NUMBER[1:]))
    assert row is not None
    assert json.loads(row)["registrations"] == [
        {"since": T0, "until": T0 + DAY, "id": "o0", "owner": "a clinic", "account": "a1"}
    ]
    other = Engine(rules, also=(CONTROL,))
    other.partitions = 1
    other.load_ledger([(NUMBER.encode(), row)])
    assert other.ledger.numbers_of(0, 1) == [int(NUMBER[1:])]
    other = other.with_rules(rules)
    assert other.ledger.row(int(NUMBER[1:])) == row
    other.drop(0)
    assert not other.ledger.registrations
    engine.expire(T0 + 9 * DAY)
    assert engine.ledger.row(int(NUMBER[1:])) is None, "a week after its end it is forgotten"


def test_thousands_of_registrations_do_not_make_each_other_slow() -> None:
    engine = Engine(load_text(RULES), also=(CONTROL,))
    traffic = Traffic()
    for i in range(3000):
        traffic.order(T0, "register", f"+8210{i:08d}", until=T0 + DAY)
    Replay(engine, lambda record: None).run(traffic.lines, "lines")
    assert len(engine.ledger.registrations) == 3000
    assert engine.ledger.waiting == 3000


def test_only_records_that_have_an_account_can_be_asked_about_it() -> None:
    asks = RULES.replace('registered == "false"', 'account_registered == "false"')
    assert load_text(asks)
    (found,) = check_texts([("r.yaml", asks.replace("on: message-relay, per: sender", "on: cdr, per: caller"))])[1]
    assert found.message == "when: unknown name `account_registered`"


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_where_epochs_end_changes_no_output(data: st.DataObject) -> None:
    traffic, at = Traffic(), T0
    for _ in range(data.draw(st.integers(1, 14))):
        at += data.draw(st.sampled_from([0, 1000, MINUTE, HOUR]))
        number = data.draw(st.sampled_from([NUMBER, OTHER]))
        through = {"account": data.draw(st.sampled_from(["a1", "a2"]))} if data.draw(st.booleans()) else {}
        match data.draw(st.sampled_from(["sends", "sends", "register", "unregister"])):
            case "sends":
                traffic.messages(at, 2, number, **through)
            case "register":
                traffic.order(at, "register", number, until=at + data.draw(st.sampled_from([1000, HOUR])), **through)
            case _:
                traffic.order(at, "unregister", number, **through)
    one, few, all_ = ([(r.topic, r.key, r.value) for r in run(traffic, size)] for size in (1, 3, 10_000))
    assert one == few == all_
