"""Generated traffic: the same for the same seed, true to its labels, records valid, figures near the published."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import replace

import orjson
import pytest

from schemas import numbers
from schemas.codes import NUMBER_TYPES
from schemas.decoding import check_all
from streams.kafka.partition import murmur2, partition_of
from streams.traffic.generate import START_MS, Traffic, TrafficSettings, generate
from streams.traffic.hours import DAY_MS, HOUR_MS, KOREA_MS, activity, is_weekend
from streams.traffic.labels import Label, score
from streams.traffic.offenders import KINDS

SMALL = TrafficSettings(seed=7, duration_ms=1_800_000, rate=20)


@pytest.fixture(scope="module")
def demo():
    traffic = Traffic(TrafficSettings())
    return list(traffic), traffic.labels()


@pytest.fixture(scope="module")
def many_messages():
    """Two weeks of many offenders who send, and hardly anybody else."""
    settings = TrafficSettings(
        duration_ms=14 * DAY_MS, rate=0.05, offenders_per_kind=20, businesses_per_kind=0, only={"messages"}
    )
    traffic = Traffic(settings)
    return list(traffic), traffic.labels()


# murmur2 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "java"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_gives_what_kafkas_own_tests_expect_of_java(key, java):
    assert murmur2(key) == java & 0xFFFFFFFF


def test_a_partition_is_never_negative_and_needs_at_least_one():
    assert partition_of(b"21", 4) == (-973932308 & 0x7FFFFFFF) % 4
    with pytest.raises(ValueError, match="at least 1 partition"):
        partition_of(b"21", 0)


# Records ----------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not():
    first = list(generate(SMALL))
    assert first == list(generate(SMALL))
    other = list(generate(TrafficSettings(seed=8, duration_ms=1_800_000, rate=20)))
    assert {r.value for r in first}.isdisjoint(r.value for r in other)


def test_records_are_valid_and_keyed_by_the_number_they_are_about(demo):
    records, labels = demo
    planted = {label.number.encode() for label in labels if label.kind != "subscriber"}
    for record in [*records[::7], *(r for r in records[::3] if r.key in planted)]:
        assert check_all(record.topic, record.value) == []
        value = orjson.loads(record.value)
        spelled = value["sender"] if record.topic == "message-relay" else value["caller"]
        assert numbers.normalise(spelled).text.encode() == record.key
        assert value["at"] == record.timestamp_ms


def test_records_come_in_time_order_within_the_duration_at_about_the_rate(demo):
    records, _ = demo
    times = [r.timestamp_ms for r in records]
    assert times == sorted(times)
    assert times[0] >= START_MS
    assert times[-1] < START_MS + 7_200_000
    assert len(records) == pytest.approx(20 * 7200, rel=0.05)


def test_ids_are_unique_and_calls_go_from_set_up_to_answer_to_release(demo):
    records, _ = demo
    calls, seen = defaultdict(list), set()
    for record in records:
        value = orjson.loads(record.value)
        if record.topic == "cdr":
            calls[value["call_id"]].append((value["event"], value["caller"], value["callee"]))
        else:
            assert value["message_id"] not in seen
            seen.add(value["message_id"])
    whole = (["setup", "answer", "release"], ["setup", "release"])
    cut_by_the_end = (["setup"], ["setup", "answer"])
    shapes = Counter(tuple(event for event, _, _ in call) for call in calls.values())
    assert all(list(shape) in (*whole, *cut_by_the_end) for shape in shapes), shapes
    assert shapes["setup", "answer", "release"] > 0.5 * len(calls)
    assert all(len({parties[1:] for parties in call}) == 1 for call in calls.values())


def test_an_ordinary_subscriber_holds_one_call_at_a_time(demo):
    records, labels = demo
    ordinary = {label.number.encode() for label in labels if label.kind == "subscriber"}
    live = Counter()
    for record in records:
        if record.topic == "cdr" and record.key in ordinary:
            event = orjson.loads(record.value)["event"]
            live[record.key] += {"setup": 1, "answer": 0, "release": -1}[event]
            assert live[record.key] <= 1


def test_some_feeds_lack_optional_fields_and_some_write_numbers_the_domestic_way(demo):
    values = [orjson.loads(r.value) for r in demo[0][:20_000]]
    for name in ("carrier", "origin", "verified"):
        assert {name in v for v in values} == {True, False}
    messages = [v for v in values if "message_id" in v]
    assert {("text" in m, "content_hash" in m) for m in messages} >= {(True, True), (True, False), (False, True)}
    assert any(m["sender"].startswith("010") for m in messages)


@pytest.mark.parametrize(("only", "topic"), [("messages", "message-relay"), ("calls", "cdr")])
def test_only_one_topic_when_asked(only, topic):
    records = list(generate(TrafficSettings(duration_ms=600_000, only={only})))
    assert {r.topic for r in records} == {topic}


def test_calls_that_last_past_midnight_are_released_the_next_day():
    midnight = START_MS + 14 * 3_600_000
    records = list(generate(TrafficSettings(start_ms=midnight - 1_200_000, duration_ms=3_600_000)))
    after = [orjson.loads(r.value) for r in records if r.topic == "cdr" and r.timestamp_ms >= midnight]
    set_up_after = {v["call_id"] for v in after if v["event"] == "setup"}
    assert any(v["event"] == "release" and v["call_id"] not in set_up_after for v in after)


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"start_ms": 1_794_790_800}, {"duration_ms": 10}, {"rate": 0.0}, {"only": {"faxes"}}]
)
def test_settings_that_make_no_traffic_are_refused(wrong):
    with pytest.raises(ValueError):
        TrafficSettings(**wrong)


# Labels and behaviour ---------------------------------------------------------------------------------------------


def test_labels_name_every_caller_and_sender_with_first_time_and_count(demo):
    records, labels = demo
    count, first = Counter(r.key.decode() for r in records), {}
    for record in records:
        first.setdefault(record.key.decode(), record.timestamp_ms)
    by_number = {label.number: label for label in labels}
    assert len(by_number) == len(labels)
    assert {n: (label.events, label.first_at) for n, label in by_number.items() if label.events} == {
        number: (count[number], first[number]) for number in count
    }


def test_the_demo_shows_every_kind_of_offender_early_enough_to_be_caught(demo):
    _, labels = demo
    wanted = Counter(label.kind for label in labels if label.wanted)
    assert set(wanted) == set(KINDS)
    assert min(wanted.values()) >= 4
    assert all(label.first_at < START_MS + 4_500_000 for label in labels if label.wanted)


def test_offenders_behave_as_their_kind_does(demo):
    records, labels = demo
    kind_of = {label.number.encode(): label.kind for label in labels}
    set_ups, live, peak = defaultdict(list), Counter(), Counter()
    for record in records:
        if record.topic == "cdr":
            event = orjson.loads(record.value)["event"]
            if event == "setup":
                set_ups[record.key].append(record.timestamp_ms)
            live[record.key] += {"setup": 1, "answer": 0, "release": -1}[event]
            peak[record.key] = max(peak[record.key], live[record.key])

    def busiest_minute(times):
        return max(bisect_left(times, t + 60_000) - i for i, t in enumerate(times))

    for number, kind in kind_of.items():
        if kind == "burst_dialler":
            assert busiest_minute(set_ups[number]) >= 25
        elif kind == "patient_dialler":
            assert busiest_minute(set_ups[number]) <= 3
            assert len(set_ups[number]) >= 30
            assert peak[number] == 1
        elif kind == "simultaneous_dialler":
            assert peak[number] >= 7
        elif kind == "call_centre":
            assert 15 <= peak[number] <= 30
        elif kind == "courier":
            assert 15 <= len(set_ups[number]) <= 70
            assert peak[number] == 1


def test_members_of_the_bulk_bought_series_follow_each_other_in_ascending_order(demo):
    _, labels = demo
    members = [label for label in labels if label.kind == "series_member"]
    assert all(m.number.startswith("+82707893") for m in members)
    by_time = sorted(members, key=lambda m: m.first_at)
    assert [m.number for m in by_time] == sorted(m.number for m in members)


def test_sender_types_of_fake_payments_and_relatives_follow_the_published_shares(many_messages):
    _, labels = many_messages

    def shares(kind):
        types = Counter(NUMBER_TYPES[numbers.normalise(m.number).type] for m in labels if m.kind == kind)
        return {name: n / types.total() for name, n in types.items()}

    fake = shares("fake_payment")
    assert fake["international"] == pytest.approx(0.67, abs=0.03)
    assert fake["landline"] == pytest.approx(0.20, abs=0.03)
    assert fake["voip"] == pytest.approx(0.11, abs=0.02)
    assert shares("trusted_relative")["mobile"] == pytest.approx(0.99, abs=0.02)


def test_offenders_keep_office_hours_and_rest_at_weekends(many_messages):
    records, labels = many_messages
    offenders = {label.number.encode() for label in labels if not label.innocent}
    times = [r.timestamp_ms for r in records if r.key in offenders]
    hours = Counter((t + KOREA_MS) // 3_600_000 % 24 for t in times)
    total = hours.total()
    assert sum(hours[h] for h in range(9, 18)) > 0.85 * total
    assert sum(hours[h] for h in range(9, 13)) > 0.5 * total
    assert hours.most_common(1)[0][0] == 10
    per_day = Counter((t + KOREA_MS) // DAY_MS for t in times)
    weekend = [n for day, n in per_day.items() if is_weekend(day * DAY_MS)]
    weekday = [n for day, n in per_day.items() if not is_weekend(day * DAY_MS)]
    assert (sum(weekend) / 4) / (sum(weekday) / 10) == pytest.approx(0.42, abs=0.15)


def test_texts_follow_the_published_words_amounts_and_messenger_shares(many_messages):
    records, labels = many_messages
    kind_of = {label.number.encode(): label.kind for label in labels}
    by_kind = defaultdict(list)
    for record in records:
        text = orjson.loads(record.value).get("text")
        if text is not None:
            by_kind[kind_of[record.key]].append(text)
    relatives, payments = by_kind["trusted_relative"], by_kind["fake_payment"]
    assert sum("카톡" in t for t in relatives) / len(relatives) == pytest.approx(952 / 2821, abs=0.03)
    assert all(("엄마" in t or "아빠" in t) for t in relatives)
    assert len(set(relatives)) > 0.3 * len(relatives)
    won = Counter(re.search(r"([\d,]+)원", t)[1] for t in payments)
    assert won.most_common(1)[0][0] == "959,000"
    assert won["959,000"] / won.total() == pytest.approx(29 / 470, abs=0.01)
    assert 50 <= len(won) <= 57
    assert not any(r.key.startswith(b"+8250") for r in records)  # a safe number never sends


def test_a_weekday_has_the_activity_of_one_day_and_nights_are_quiet():
    midnight = START_MS - 10 * 3_600_000
    assert activity(midnight, midnight + DAY_MS) == pytest.approx(1.0)
    assert activity(midnight + 3 * 3_600_000, midnight + 4 * 3_600_000) < 0.01
    assert activity(midnight - DAY_MS, midnight) == pytest.approx(0.75)  # a Sunday


# Score ------------------------------------------------------------------------------------------------------------


def _block(number, *begins):
    holds = [{"from": begin} for begin in begins]
    return orjson.dumps({"number": number, "state": "active", "hold": holds[0], "holds": holds})


def test_score_counts_what_was_caught_how_fast_and_which_innocents_were_hit():
    labels = [
        Label("+821000000001", "burst_dialler", False, 1_000_000, 100),
        Label("+821000000002", "burst_dialler", False, 1_000_000, 100),
        Label("+821000000003", "burst_dialler", False, 1_000_000, 100),
        Label("+821000000004", "burst_dialler", False, 1_000_000, 2),  # shown too little to be wanted
        Label("+821000000005", "courier", True, 1_000_000, 80),
        Label("+821000000006", "subscriber", True, 1_000_000, 3),
    ]
    events = [
        _block("+821000000001", 1_010_000),
        _block("+821000000002", 1_090_000, 1_030_000),
        _block("+821000000005", 1_500_000),
        _block("+829999999999", 5_000_000),
    ]
    result = score(labels, events)
    offenders, courier, subscriber = result.kinds
    assert (offenders.planted, offenders.caught, offenders.median_s, offenders.p95_s) == (3, 2, 20.0, 30.0)
    assert (courier.planted, courier.caught) == (1, 1)
    assert (subscriber.planted, subscriber.caught, subscriber.median_s) == (1, 0, None)
    assert (result.planted, result.caught, result.innocents_hit, result.unknown) == (3, 2, {"courier": 1}, 1)
    assert orjson.loads(orjson.dumps(result.to_dict()))["caught"] == 2


# What others say ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reported():
    """Three days with many offenders."""
    traffic = Traffic(TrafficSettings(seed=5, duration_ms=3 * DAY_MS, rate=0.5, offenders_per_kind=8, reports=True))
    return list(traffic), traffic.labels(), traffic.report_labels()


def test_reports_and_traps_lie_between_the_same_calls_and_messages_in_order_of_time():
    settings = TrafficSettings(seed=7, duration_ms=3_600_000, rate=20)
    both = list(generate(replace(settings, reports=True)))
    assert [record for record in both if record.topic not in ("reports", "traps")] == list(generate(settings))
    assert {record.topic for record in both} == {"message-relay", "cdr", "reports", "traps"}
    times = [record.timestamp_ms for record in both]
    assert times == sorted(times)
    assert times[-1] < settings.end_ms
    assert both == list(generate(replace(settings, reports=True)))


def test_every_report_and_every_hit_is_a_record_of_its_topic_under_its_numbers_key(reported):
    records, _, _ = reported
    for record in records:
        if record.topic in ("reports", "traps"):
            assert check_all(record.topic, record.value) == []
            told = orjson.loads(record.value)
            assert record.key.decode() == told["number" if record.topic == "reports" else "sender"]


def test_every_report_has_its_label_and_offenders_have_as_many_as_was_published(reported):
    records, labels, told = reported
    reports = [(r.timestamp_ms, orjson.loads(r.value)) for r in records if r.topic == "reports"]
    assert [(at, r["report_id"], r["number"], r["reporter"]) for at, r in reports] == [
        (label.at, label.report_id, label.number, label.reporter) for label in told
    ]
    kinds = Counter(label.kind for label in told)
    share = {kind: count / len(told) for kind, count in kinds.items()}
    assert share["duplicate"] == pytest.approx(0.15, abs=0.03)
    assert share["mistake"] == pytest.approx(0.06, abs=0.02)
    assert share["malicious"] == pytest.approx(0.03, abs=0.015)
    busy = {label.number for label in labels if not label.innocent and label.events > 600}
    about = Counter(label.number for label in told)
    assert len(busy) > 30
    # 145,027 reports to 5,249 numbers; those who reach few people have fewer.
    assert sum(about[number] for number in busy) / len(busy) == pytest.approx(27.6, rel=0.3)


def test_true_reports_come_from_people_who_were_reached_and_false_ones_name_others(reported):
    records, labels, told = reported
    guilty = {label.number for label in labels if not label.innocent}
    reached = defaultdict(dict)
    for record in records:
        if record.topic in ("cdr", "message-relay"):
            value = orjson.loads(record.value)
            reached[record.key.decode()].setdefault(value.get("callee") or value["recipient"], record.timestamp_ms)
    seen = set()
    for label in told:
        if label.kind == "true":
            assert label.number in guilty
            assert reached[label.number][label.reporter] <= label.at
        elif label.kind == "malicious":
            assert label.number not in guilty
        elif label.kind == "duplicate":
            assert (label.number, label.reporter) in seen
        seen.add((label.number, label.reporter))
    delays = sorted(label.at - reached[label.number][label.reporter] for label in told if label.kind == "true")
    assert delays[len(delays) // 2] < HOUR_MS
    assert delays[-1] > HOUR_MS


def test_traps_are_numbers_of_their_own_and_offenders_hit_them(reported):
    records, labels, _ = reported
    hits = [orjson.loads(record.value) for record in records if record.topic == "traps"]
    guilty = {label.number for label in labels if not label.innocent}
    assert {hit["depth"] for hit in hits} == {"record", "limited", "full"}
    assert len({(hit["trap"], hit["depth"]) for hit in hits}) == len({hit["trap"] for hit in hits})
    assert sum(hit["sender"] in guilty for hit in hits) > 0.9 * len(hits) > 20
    assert not {hit["trap"] for hit in hits} & {label.number for label in labels}
    assert {numbers.normalise(hit["trap"]).type for hit in hits} == {NUMBER_TYPES.index("landline")}
