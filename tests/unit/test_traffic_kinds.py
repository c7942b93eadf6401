"""Every kind of generated traffic: innocents and offenders, labelled, valid, another mixture in each seed."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from statistics import median

import orjson
import pytest

from schemas import numbers
from schemas.decoding import check_all
from schemas.numbers import published
from streams.traffic import businesses, evasions, neighbours, offenders
from streams.traffic.generate import START_MS, Traffic, TrafficSettings
from streams.traffic.hours import DAY_MS, HOUR_MS

SATURDAY_MS = START_MS + 5 * DAY_MS
EVERY_KIND = TrafficSettings(
    seed=11, start_ms=START_MS - 2 * HOUR_MS, duration_ms=10 * HOUR_MS, subscribers=300, every_kind=True,
    offenders_per_kind=1, businesses_per_kind=2,
)  # fmt: skip


def of(seed: int = 11, form: str = "events", start_ms: int = EVERY_KIND.start_ms) -> TrafficSettings:
    return replace(EVERY_KIND, seed=seed, form=form, start_ms=start_ms)


@pytest.fixture(scope="module")
def workday():
    traffic = Traffic(of())
    return list(traffic), traffic.labels()


def test_every_kind_acts_and_is_labelled_once_a_number(workday):
    records, labels = workday
    kinds = {label.kind for label in labels if label.events}
    every = {*businesses.KINDS, *neighbours.KINDS, *offenders.KINDS, *offenders.RARE, *evasions.KINDS, "subscriber"}
    assert every - kinds == {"weekend_dialler"}
    assert len({label.number for label in labels}) == len(labels)
    count = Counter(record.key.decode() for record in records)
    assert {label.number: label.events for label in labels if label.events} == count
    honest = {label.kind for label in labels if label.innocent}
    assert honest == {*businesses.KINDS, *neighbours.KINDS, "subscriber"}


def test_weekend_diallers_work_at_weekends():
    traffic = Traffic(replace(of(start_ms=SATURDAY_MS), duration_ms=4 * HOUR_MS, only={"calls"}))
    for _ in traffic:
        pass
    assert all(label.events for label in traffic.labels() if label.kind == "weekend_dialler")


def test_records_of_every_kind_are_valid_and_in_order_of_time(workday):
    records, labels = workday
    seen = Counter()
    kind_of = {label.number.encode(): label.kind for label in labels}
    for record in records:
        seen[kind_of[record.key]] += 1
        if seen[kind_of[record.key]] <= 30:
            assert check_all(record.topic, record.value) == []
            value = orjson.loads(record.value)
            spelled = value["sender"] if "sender" in value else value["caller"]
            assert published(numbers.normalise(spelled).key) == record.key.decode()
    times = [record.timestamp_ms for record in records]
    assert times == sorted(times)


def test_the_same_seed_gives_the_same_bytes_in_every_kind():
    short = replace(of(), duration_ms=HOUR_MS)
    assert list(Traffic(short)) == list(Traffic(short))


def test_gangs_are_several_numbers_and_a_payment_s_desk_belongs_to_its_senders_gang(workday):
    _, labels = workday
    gangs = defaultdict(list)
    for label in labels:
        if label.gang:
            gangs[label.gang].append(label)
    assert {label.kind for gang in gangs.values() for label in gang} == {
        *evasions.GANGS, "payment_domestic", "desk", "series_member",
    }  # fmt: skip
    for name, gang in gangs.items():
        assert len(gang) == 2 if name.startswith("payment") else 3 <= len(gang) <= 32
        if name.startswith("series"):
            assert len({label.number[:-4] for label in gang}) == 1
            firsts = [label.first_at for label in sorted(gang, key=lambda label: label.number) if label.first_at]
            assert firsts == sorted(firsts)


def test_a_forged_number_is_its_owner_s_and_stays_innocent(workday):
    records, labels = workday
    owner = next(label for label in labels if label.kind == "spoofed_owner")
    assert owner.innocent
    own = [orjson.loads(record.value) for record in records if record.key == owner.number.encode()]
    assert {(value.get("origin"), value.get("verified") == "full") for value in own} == {
        ("domestic", True), ("international", False),
    }  # fmt: skip


def talks_s(records, labels, kind):
    """Talk times in seconds of a kind's answered calls."""
    numbers_of = {label.number.encode() for label in labels if label.kind == kind}
    answered, out = {}, []
    for record in records:
        if record.topic == "cdr" and record.key in numbers_of:
            value = orjson.loads(record.value)
            if value["event"] == "answer":
                answered[value["call_id"]] = value["at"]
            elif value["event"] == "release" and value["call_id"] in answered:
                out.append((value["at"] - answered[value["call_id"]]) / 1000)
    return out


def test_talk_times_of_a_business_are_others_in_each_seed_and_far_from_alike(workday):
    medians = [median(talks_s(*workday, "exchange"))]
    for seed in (12,):
        traffic = Traffic(of(seed))
        medians.append(median(talks_s(list(traffic), traffic.labels(), "exchange")))
    assert all(20 < m < 150 for m in medians)
    assert max(medians) > 1.1 * min(medians)
    talks = sorted(talks_s(*workday, "exchange"))
    assert talks[len(talks) * 9 // 10] > 2.5 * talks[len(talks) // 2]


def test_a_complete_feed_tells_the_same_calls_once_each_when_they_have_ended(workday):
    events, whole = workday[0], list(Traffic(of(form="complete")))

    def calls(records, event):
        values = (orjson.loads(record.value) for record in records if record.topic == "cdr")
        return {value["call_id"]: value for value in values if value["event"] == event}

    planted = {label.number for label in workday[1] if label.kind != "subscriber"}
    ended, told = calls(events, "release"), calls(whole, "complete")
    mine = {call for call, value in told.items() if numbers.normalise(value["caller"]).text in planted}
    assert len(mine) > 1000
    for call in mine & ended.keys():
        assert told[call]["at"] == told[call]["release_at"] == ended[call]["at"]
        assert told[call].get("answer_at", told[call]["setup_at"]) >= told[call]["setup_at"]
    assert all(check_all(record.topic, record.value) == [] for record in whole[::11])


def test_a_feed_may_tell_calls_both_ways():
    traffic = Traffic(TrafficSettings(duration_ms=600_000, rate=2, form="both", only={"calls"}))
    told = defaultdict(set)
    for record in traffic:
        value = orjson.loads(record.value)
        told[value["call_id"]].add(value["event"])
    ended = [events for events in told.values() if "release" in events]
    assert ended
    assert all("complete" in events for events in ended)


def test_a_form_that_is_none_is_refused():
    with pytest.raises(ValueError, match="one of the forms events, complete, both"):
        TrafficSettings(form="whole")
