"""The pack for feeds of `complete` records: each rule at its limit, and call centres, which it shows badly."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache

import pytest

from rules.load import load, packs
from rules.model import RuleSet
from schemas.topics import CDR
from tests.packs.registry import INNOCENTS, Innocent, Offence
from tests.packs.test_packs import STARTS
from tests.packs.traffic import FOREIGN, HOUR, LANDLINE, MINUTE, MOBILE, VOIP, WORKDAY, Hits, Line, Traffic, hits_of
from tests.packs.voice import call_centre, forged_caller_id, patient_dialler, pmg_calls, steady_dialler


def prober(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(size):
        traffic.call(start_s + 9.5 * i, talk_s=5)


def one_ring(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(size):
        traffic.call(start_s + 14 * i, ring_s=2)


OFFENCES = [
    Offence("complete-pmg", Line(VOIP), "enforce", pmg_calls(220), pmg_calls(180), steady_dialler),
    Offence("complete-short-calls", Line(LANDLINE), "enforce", 60, 40, prober),
    Offence("complete-patient-dialler", Line(MOBILE), "review", 40, 28, patient_dialler),
    Offence("complete-one-ring", Line(FOREIGN), "review", 40, 25, one_ring),
    Offence("complete-foreign-origin", Line(MOBILE, origin="international"), "review", 30, 20, forged_caller_id),
]
VOICE = [innocent for innocent in INNOCENTS.values() if innocent.traffic().records[0][1] == CDR]


@lru_cache(maxsize=1)
def rules() -> RuleSet:
    return load([packs() / "complete"])


def completed(traffic: Traffic) -> Traffic:
    """The same calls as their network tells them once they have ended; calls without a release are never told."""
    calls: defaultdict[str, dict[str, int]] = defaultdict(dict)
    told = Traffic(traffic.line)
    for at_s, topic, value in traffic.records:
        times = calls[value["call_id"]]
        times[f"{value['event']}_at"] = value["at"]
        if value["event"] == "release":
            told.records.append((at_s, topic, {**value, "event": "complete", **times}))
    return told


def test_every_rule_of_the_pack_has_an_offence():
    assert {offence.rule for offence in OFFENCES} == {rule.name for rule in rules().rules}
    assert not rules().warnings


@pytest.mark.parametrize("start", STARTS)
def test_a_rule_fires_at_its_limit_in_its_own_lane_and_not_one_call_below(start: str):
    start_s, concentrated = STARTS[start]
    for more in (0, -1):
        sizes = [(o.concentrated if concentrated else o.always) + more for o in OFFENCES]
        acts = [o.traffic(start_s, n, o.line.nth(i)) for i, (o, n) in enumerate(zip(OFFENCES, sizes, strict=True))]
        for offence, found in zip(OFFENCES, hits_of([completed(act) for act in acts], rules()), strict=True):
            lane = found.review if offence.mode == "review" else found.blocked
            assert (offence.rule in lane) == (more == 0), offence.rule
            assert offence.rule not in (found.blocked if offence.mode == "review" else found.review)


@pytest.mark.parametrize("innocent", VOICE, ids=lambda innocent: innocent.name)
def test_an_innocent_is_not_blocked(innocent: Innocent):
    assert not innocents()[innocent.name].blocked


@lru_cache(maxsize=1)
def innocents() -> dict[str, Hits]:
    acting = [completed(innocent.traffic(innocent.line.nth(i))) for i, innocent in enumerate(VOICE)]
    return {one.name: found for one, found in zip(VOICE, hits_of(acting, rules()), strict=True)}


@pytest.mark.parametrize("lines", [10, 30, 60, 100, 200])
def test_a_call_centre_that_opens_is_not_judged_by_the_calls_that_ended_first(lines: int):
    def opens(seed: int) -> Traffic:
        traffic = Traffic(Line(VOIP).nth(seed))
        begin_s = WORKDAY + 9 * HOUR
        call_centre(traffic, lines, begin_s, begin_s + 20 * MINUTE, hang_up=0.02 + 0.03 * seed, seed=seed)
        return completed(traffic)

    for found in hits_of([opens(seed) for seed in range(10)], rules()):
        assert not found.blocked | found.review
