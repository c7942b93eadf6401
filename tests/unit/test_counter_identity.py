"""A counter's identity is all of its definition: what a restored image, a change of rules and a digest go by."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest

from rules import kinds
from rules.kinds import KINDS
from rules.load import load_text
from rules.model import Counter, RuleSet
from schemas.feeds import FEEDS
from schemas.topics import CDR, MESSAGE_RELAY
from streams.counting import identity as identities
from streams.counting.identity import identity_of
from streams.counting.kinds.base import Events
from streams.counting.rows import HEADER
from streams.counting.table import ALL, READINGS, VOUCHED
from streams.engine.engine import Engine
from streams.ingest.epoch import RawBatch

AT_MS = 1_794_787_140_000
NUMBER = 821011110001
kinds.all_keys()  # those that ship register themselves

SETUP, WEIGHTS = "on: cdr.setup, per: caller", "{origin: {domestic: 2, web: 1}}"
SHARE = "on: cdr.release, per: caller, at_least: 2"
# Of each kind: a counter, and the same with something else said, by what differs.
VARIANTS: dict[str, tuple[str, dict[str, str]]] = {
    "events": (
        "on: cdr.setup, per: caller, count: events, window: 1m",
        {"window_ms": "on: cdr.setup, per: caller, count: events, window: 2m, resolution: 1s",
         "resolution_ms": "on: cdr.setup, per: caller, count: events, window: 1m, resolution: 2s"},
    ),
    "concurrent": (
        "on: cdr, per: caller, count: concurrent, max_age: 1h",
        {"max_age_ms": "on: cdr, per: caller, count: concurrent, max_age: 2h"},
    ),
    "gray": (
        "on: cdr.setup, per: caller, gray: {short: 1m, long: 1h}",
        {"short_ms": "on: cdr.setup, per: caller, gray: {short: 2m, long: 1h}",
         "long_ms": "on: cdr.setup, per: caller, gray: {short: 1m, long: 2h}"},
    ),
    "distinct": (
        "on: cdr.setup, per: caller, distinct: callee, window: 1h",
        {"window_ms": "on: cdr.setup, per: caller, distinct: callee, window: 2h",
         "field": "on: cdr.setup, per: caller, distinct: carrier, window: 1h"},
    ),
    "credited": (
        "on: cdr.setup, per: caller, credited: callee, window: 1h",
        {"window_ms": "on: cdr.setup, per: caller, credited: callee, window: 2h",
         "field": "on: cdr.setup, per: caller, credited: carrier, window: 1h"},
    ),
    "sum": (
        "on: cdr.release, per: caller, sum: duration, window: 10m",
        {"window_ms": "on: cdr.release, per: caller, sum: duration, window: 20m, resolution: 10s",
         "resolution_ms": "on: cdr.release, per: caller, sum: duration, window: 10m, resolution: 20s"},
    ),
    "weigh": (
        f"{SETUP}, weigh: {WEIGHTS}, window: 10m",
        {"weight_domestic": f"{SETUP}, weigh: {{origin: {{domestic: 3, web: 1}}}}, window: 10m",
         "weight_web": f"{SETUP}, weigh: {{origin: {{domestic: 2, web: 2}}}}, window: 10m",
         "field": f"{SETUP}, weigh: {{verified: {{full: 2}}}}, window: 10m",
         "window_ms": f"{SETUP}, weigh: {WEIGHTS}, window: 20m, resolution: 10s",
         "resolution_ms": f"{SETUP}, weigh: {WEIGHTS}, window: 10m, resolution: 20s"},
    ),
    "mean": (
        "on: cdr.release, per: caller, mean: duration, window: 10m",
        {"window_ms": "on: cdr.release, per: caller, mean: duration, window: 20m, resolution: 10s",
         "resolution_ms": "on: cdr.release, per: caller, mean: duration, window: 10m, resolution: 20s"},
    ),
    "quantile": (
        "on: cdr.release, per: caller, quantile: 0.5, of: duration, window: 1h, at_least: 2",
        {"per_mille": "on: cdr.release, per: caller, quantile: 0.9, of: duration, window: 1h, at_least: 2",
         "window_ms": "on: cdr.release, per: caller, quantile: 0.5, of: duration, window: 2h, at_least: 2"},
    ),
    "peak": (
        "on: cdr, per: caller, peak: concurrent, max_age: 1h, window: 2h",
        {"max_age_ms": "on: cdr, per: caller, peak: concurrent, max_age: 2h, window: 2h",
         "window_ms": "on: cdr, per: caller, peak: concurrent, max_age: 1h, window: 1h"},
    ),
    "ratio": (
        "on: cdr.setup, per: caller, ratio: {recent: 6s, habit: 1m}, at_least: 2",
        {"recent_ms": "on: cdr.setup, per: caller, ratio: {recent: 12s, habit: 1m}, at_least: 2",
         "habit_ms": "on: cdr.setup, per: caller, ratio: {recent: 6s, habit: 2m}, at_least: 2"},
    ),
    "share": (
        f"{SHARE}, share: duration < 20, window: 10m",
        {"condition": f"{SHARE}, share: duration < 10, window: 10m",
         "window_ms": f"{SHARE}, share: duration < 20, window: 20m, resolution: 10s",
         "resolution_ms": f"{SHARE}, share: duration < 20, window: 10m, resolution: 20s"},
    ),
}  # fmt: skip
COMPARED = [field.name for field in dataclasses.fields(Counter) if field.compare]


@pytest.fixture(autouse=True)
def _callees_have_credit(monkeypatch: pytest.MonkeyPatch) -> None:
    """As reporters do, so that calls serve every kind."""
    monkeypatch.setitem(FEEDS, CDR, dataclasses.replace(FEEDS[CDR], judged=("callee", "carrier")))


def rules_of(**counters: str) -> RuleSet:
    """A rule that reads all of them."""
    told = "".join(f"  {name}: {{{said}}}\n" for name, said in counters.items())
    read = [
        f"{name}.{part}" if part else name
        for name, said in counters.items()
        for part in (("short", "long") if "gray:" in said else ("",))
    ]
    return load_text(
        f"counters:\n{told}rules:\n  - name: all\n    summary: reads all\n"
        f"    when: {' and '.join(f'{name} >= 0' for name in read)}\n"
        "    then: {block: [calls], directions: [outgoing], for: 1d}\n    mode: shadow\n"
    )


def counter_of(said: str) -> Counter:
    (rule,) = rules_of(c=said).rules
    return rule.counters["c"]


def identity(counter: Counter) -> str:
    return identity_of(counter, KINDS[counter.kind].state(counter, HEADER))


def variants(kind: str) -> Iterator[tuple[str, Counter]]:
    """The kind's counter ("") and others that differ from it in one thing each."""
    said, others = VARIANTS[kind]
    counter = counter_of(said)
    yield "", counter
    for name, other in others.items():
        yield name, counter_of(other)
    yield "where", counter_of(f'{said}, where: origin == "domestic"')
    yield "other where", counter_of(f'{said}, where: origin == "web"')
    yield "topic", dataclasses.replace(counter, topic=MESSAGE_RELAY)
    yield "per", dataclasses.replace(counter, per="callee")
    yield "events", dataclasses.replace(counter, events=frozenset({"answer"}))
    if "condition" not in others:
        asked = counter_of(VARIANTS["share"][0]).condition
        yield "condition", dataclasses.replace(counter, condition=asked)
    yield "kind", dataclasses.replace(counter, kind={"sum": "mean", "mean": "sum"}.get(kind, "sum"), settings=WINDOW)
    if "field" not in others:
        yield "field", dataclasses.replace(counter, field="carrier")


WINDOW = (("resolution_ms", 10_000), ("window_ms", 600_000))


def confused(kind: str) -> list[tuple[str, str]]:
    """Pairs of different definitions with one identity."""
    told = [(name, counter, identity(counter)) for name, counter in variants(kind)]
    return [(a, b) for (a, x, i), (b, y, j) in combinations(told, 2) if i == j and x != y]


@pytest.mark.parametrize("kind", KINDS)
def test_counters_that_differ_in_anything_have_different_identities(kind: str) -> None:
    assert confused(kind) == []


@pytest.mark.parametrize("kind", KINDS)
def test_counters_that_say_the_same_have_one_identity_whatever_their_names_and_spacing(kind: str) -> None:
    said = VARIANTS[kind][0]
    a = rules_of(one=said + ', where: origin == "web"').rules[0].counters["one"]
    b = rules_of(two="where: ( origin=='web'), " + said).rules[0].counters["two"]
    assert a == b
    assert identity(a) == identity(b)


@pytest.mark.parametrize("kind", KINDS)
def test_the_variants_above_differ_in_each_setting_and_each_field_of_a_definition(kind: str) -> None:
    """So that a new setting, or a new field of `Counter`, is not forgotten here."""
    counter, others = counter_of(VARIANTS[kind][0]), dict(variants(kind))
    for name in COMPARED:
        assert any(getattr(other, name) != getattr(counter, name) for other in others.values()), name
    alone = [
        [key for key, value in other.settings if dict(counter.settings).get(key) != value]
        for other in others.values()
        if other.kind == counter.kind
    ]
    for key, _ in counter.settings:
        # A window of another length needs a resolution that divides it, which is given.
        assert [key] in alone, key


def test_every_kind_is_among_the_variants() -> None:
    assert set(VARIANTS) == set(KINDS)


@pytest.mark.parametrize("left_out", COMPARED)
def test_an_identity_that_leaves_out_a_field_of_the_definition_is_noticed(
    left_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identities, "fields", lambda c: [f for f in dataclasses.fields(c) if f.name != left_out])
    assert any(confused(kind) for kind in KINDS)


# -------------------------------------------------------------------------------------------------- what goes by it


def call(n: int, event: str, at_s: int, **more: object) -> bytes:
    told = {"call_id": f"c{n}", "event": event, "at": AT_MS + 1000 * at_s, "caller": f"+{NUMBER}"}
    told |= {"callee": f"+82109999{n:04d}", "carrier": f"c{n}", "origin": "domestic", "verified": "full"}
    return json.dumps(told | more).encode()


def calls(verified: str = "full", id: str = "c") -> list[bytes]:
    return [
        call(n, event, 10 * n + after_s, verified=verified, call_id=f"{id}{n}")
        for n in range(4)
        for event, after_s in (("setup", 0), ("answer", 2), ("release", 9))
        if (n, event) != (3, "release")
    ]


def engine_of(rules: RuleSet, values: list[bytes] | None = None) -> Engine:
    engine = Engine(rules)
    engine.partitions = 1
    if values:
        order = np.arange(len(values))
        zeros = np.zeros(len(values), np.int32)
        times = np.full(len(values), AT_MS + 100_000)
        engine.count([engine.decoders[CDR].decode(RawBatch(CDR, order, zeros, order, times, values))])
    return engine


def read(engine: Engine, reading: str = ALL) -> list[float]:
    ((_, _, _, columns),) = engine.readings(0, reading)
    return [float(column[0]) for column in columns.values() if len(column)]


def restored(said: str, other: str) -> list[float]:
    """The reading of a counter in a worker that loads the image of one with another counter."""
    whole, fresh = engine_of(rules_of(c=said), calls()), engine_of(rules_of(c=other))
    for piece in whole.image(0, whole=True):
        fresh.load(0, piece)
    return read(fresh)


PAIRS = [
    (kind, what, said, other)
    for kind, (said, others) in VARIANTS.items()
    for what, other in {**others, "where": f'{said}, where: origin == "web"'}.items()
]
EVENTS_PAIR = ("events", "events", VARIANTS["events"][0], VARIANTS["events"][0].replace("setup", "release"))


@pytest.mark.parametrize(("kind", "what", "said", "other"), [*PAIRS, EVENTS_PAIR], ids=lambda told: told[:13])
def test_an_image_is_loaded_into_its_own_counters_alone(kind: str, what: str, said: str, other: str) -> None:
    same = restored(said, said)
    assert all(value > 0 for value in same)
    assert all(value == 0 or np.isnan(value) for value in restored(said, other))


@pytest.mark.parametrize(
    ("left_out", "said", "other"),
    [("settings", *next((s, o) for k, w, s, o in PAIRS if (k, w) == ("gray", "long_ms"))),
     ("where", *next((s, o) for k, w, s, o in PAIRS if (k, w) == ("gray", "where"))),
     ("field", *next((s, o) for k, w, s, o in PAIRS if (k, w) == ("distinct", "field"))),
     ("events", *EVENTS_PAIR[2:])],
)  # fmt: skip
def test_without_the_field_a_worker_would_take_another_counters_state_for_its_own(
    left_out: str, said: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not any(value > 0 for value in restored(said, other))
    monkeypatch.setattr(identities, "fields", lambda c: [f for f in dataclasses.fields(c) if f.name != left_out])
    assert any(value > 0 for value in restored(said, other))


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_of_rules_keeps_what_a_counter_has_when_nothing_of_it_differs_and_only_then(kind: str) -> None:
    said, others = VARIANTS[kind]
    engine = engine_of(rules_of(c=said), calls())
    before = read(engine)
    assert all(value > 0 for value in before)
    assert read(engine.with_rules(rules_of(renamed=said))) == before
    for other in others.values():
        changed = engine_of(rules_of(c=said), calls()).with_rules(rules_of(c=other))
        assert all(value == 0 or np.isnan(value) for value in read(changed))


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_digest_covers_every_counter_in_both_readings(kind: str, reading: str) -> None:
    """One event that a counter alone has counted, in one reading alone, is another digest."""
    everything = rules_of(**{name: said for name, (said, _) in VARIANTS.items()})

    def engine() -> Engine:
        made = engine_of(everything, calls())
        for n, value in enumerate(calls("none", "forged-"), start=100):
            order, zero = np.arange(1), np.zeros(1, np.int32)
            raw = RawBatch(CDR, order, zero, order + n, np.full(1, AT_MS + 100_000), [value])
            made.count([made.decoders[CDR].decode(raw)])
        return made

    one, other = engine(), engine()
    assert one.digest(0) == other.digest(0)
    assert read(one, VOUCHED) != read(one, ALL)
    state = other._counted.states[CDR]
    store = state.stores[reading]
    (counter,) = [counter for counter in state.counters if counter.kind == kind]
    row, newest = store.rows_of(np.array([NUMBER]), False), store.rows[:, 1].max(keepdims=True)
    yes, no = np.ones(1, np.bool_), np.zeros(1, np.bool_)
    batch = Events(row, newest, newest, yes, no, np.full(1, 123_456), np.ones(1, np.uint8), no)
    state.counters[counter].process(store.rows, batch)
    assert one.digest(0) != other.digest(0)
