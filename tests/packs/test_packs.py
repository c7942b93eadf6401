"""Every shipped rule fires at its limit and no earlier, in its own lane, and spares the innocents nearest to it.

Those who act share a replay, since an engine costs more to build than a thousand records to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import pytest

from rules.model import Protected
from tests.packs import impostures, messages, traps, voice
from tests.packs.registry import INNOCENTS, OFFENCES, Innocent, Offence
from tests.packs.traffic import (
    NIGHT,
    NOTHING,
    ON_HOLIDAY,
    WORKING_HOURS,
    Hits,
    Line,
    Traffic,
    hits,
    hits_of,
    shipped,
)

STORIES = (impostures, messages, traps, voice)  # importing them fills the registry

# Starts, and whether the limits of the night hold there; each offence is over before the night is.
STARTS = {"working hours": (WORKING_HOURS, False), "holiday": (ON_HOLIDAY, False), "night": (NIGHT, True)}

each_offence = pytest.mark.parametrize("offence", OFFENCES.values(), ids=lambda offence: offence.rule)
each_innocent = pytest.mark.parametrize("innocent", INNOCENTS.values(), ids=lambda innocent: innocent.name)


def test_every_shipped_rule_has_traffic_that_must_fire_it_and_traffic_that_must_not():
    names = {rule.name for rule in shipped().rules}
    assert set(OFFENCES) == names
    assert set().union(*(innocent.spares for innocent in INNOCENTS.values())) == names


@pytest.mark.parametrize("start", STARTS)
@each_offence
def test_a_rule_fires_at_its_limit_in_its_own_lane_and_not_one_event_below(offence: Offence, start: str):
    found = at_limits(start)[offence.rule]
    assert offence.rule in (found.review if offence.mode == "review" else found.blocked)
    assert offence.rule not in (found.blocked if offence.mode == "review" else found.review)
    below = below_limits(start)[offence.rule]
    assert offence.rule not in below.blocked | below.review


@each_innocent
def test_an_innocent_is_never_blocked_nor_shown_to_people_by_the_rules_that_spare_it(innocent: Innocent):
    found = innocents()[innocent.name]
    assert not found.blocked
    assert found.review <= innocent.review - innocent.spares


@each_offence
def test_evidence_that_is_not_verified_asks_people_unless_the_rule_accepts_it(offence: Offence):
    found = unverified()[offence.rule]
    if offence.rule in WITH_ITS_OWN:
        assert offence.rule not in found.blocked | found.review
    elif offence.rule in SPOOFABLE:
        assert offence.rule in found.blocked
    else:
        assert not found.blocked - SPOOFABLE
        assert offence.rule in found.review


@each_offence
def test_a_protected_number_is_hit_in_no_lane(offence: Offence):
    assert protected()[offence.rule] == NOTHING


def test_the_same_traffic_from_a_number_beside_a_protected_one_is_hit():
    offence = OFFENCES["call-rate"]
    traffic = offence.traffic(WORKING_HOURS, offence.limit)
    beside = Protected(frozenset({int(traffic.number[1:]) + 1}))
    assert offence.rule in hits(traffic, replace(shipped(), protected=beside)).blocked


@each_offence
@pytest.mark.parametrize("identity", ["anonymous", "sip:caller@example.org"])
def test_a_withheld_or_unparsed_identity_is_hit_in_no_lane(offence: Offence, identity: str):
    assert from_identity(identity)[offence.rule] == NOTHING


def test_a_landline_of_a_shipped_protected_prefix_is_never_blocked():
    offence = OFFENCES["machine-rate"]
    lines = Line("02-2100-1234"), Line("02-2101-1234")
    found = hits_of([offence.traffic(WORKING_HOURS, offence.limit, line) for line in lines])
    assert found[0] == NOTHING
    assert offence.rule in found[1].blocked


# ------------------------------------------------------------------------------- what the tests above look things up in

SPOOFABLE = {rule.name for rule in shipped().rules if rule.spoofable}
# Those that accept what others saw, and ask for vouched-for calls or messages of the number itself beside it.
WITH_ITS_OWN = {
    rule.name
    for rule in shipped().rules
    if any(c.where is not None and "verified ==" in c.where.source for c in rule.counters.values())
}


@lru_cache
def at_limits(start: str) -> dict[str, Hits]:
    return all_offend(start, 0)


@lru_cache
def below_limits(start: str) -> dict[str, Hits]:
    return all_offend(start, -1)


@lru_cache
def unverified() -> dict[str, Hits]:
    return all_offend("working hours", 0, line_of=lambda offence: offence.line.unverified())


@lru_cache
def protected() -> dict[str, Hits]:
    numbers = frozenset(int(traffic.number[1:]) for traffic in offenders("working hours", 0, lambda o: o.line))
    return all_offend("working hours", 0, protected=Protected(numbers))


@lru_cache
def from_identity(identity: str) -> dict[str, Hits]:
    return all_offend("working hours", 0, line_of=lambda offence: replace(offence.line, number=f"{identity} 0000"))


@lru_cache
def innocents() -> dict[str, Hits]:
    acting = [innocent.traffic(innocent.line.nth(i)) for i, innocent in enumerate(INNOCENTS.values())]
    return dict(zip(INNOCENTS, hits_of(acting), strict=True))


def all_offend(
    start: str, more: int, line_of: Callable[[Offence], Line] = lambda o: o.line, protected: Protected | None = None
) -> dict[str, Hits]:
    """The outcome of each offender, by the rule it must fire; `more` events than the limit."""
    rules = replace(shipped(), protected=protected) if protected else shipped()
    return dict(zip(OFFENCES, hits_of(offenders(start, more, line_of), rules), strict=True))


def offenders(start: str, more: int, line_of: Callable[[Offence], Line]) -> list[Traffic]:
    start_s, night = STARTS[start]
    return [
        offence.traffic(start_s, (offence.at_night if night else offence.limit) + more, line_of(offence).nth(i))
        for i, offence in enumerate(OFFENCES.values())
    ]
