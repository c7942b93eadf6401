"""The voice pack on feeds of `complete` records, alone and beside the events: it holds there without another file."""

from __future__ import annotations

from functools import lru_cache

import pytest

from rules.load import check, packs
from schemas.topics import CDR
from tests.packs.registry import INNOCENTS, OFFENCES, Innocent
from tests.packs.test_packs import STORIES
from tests.packs.traffic import HOUR, MINUTE, VOIP, WORKDAY, WORKING_HOURS, Hits, Line, Traffic, completed, hits_of
from tests.packs.voice import call_centre

assert STORIES  # importing them fills the registry
CALLS_UP = {"simultaneous-calls-mobile", "simultaneous-calls", "simultaneous-short-calls"}  # seen where calls are up
CALLERS = {
    name: offence
    for name, offence in OFFENCES.items()
    if offence.traffic(WORKING_HOURS, offence.limit).records[0][1] == CDR
}
VOICE = [innocent for innocent in INNOCENTS.values() if innocent.traffic().records[0][1] == CDR]


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside the events"])
def test_every_rule_that_needs_no_live_calls_fires_at_its_limit_and_not_one_below(beside: bool):
    assert CALLERS.keys() > CALLS_UP
    for more in (0, -1):
        acts = [o.traffic(WORKING_HOURS, o.limit + more, o.line.nth(i)) for i, o in enumerate(CALLERS.values())]
        for (name, offence), found in zip(CALLERS.items(), hits_of([completed(a, beside) for a in acts]), strict=True):
            lane = found.review if offence.mode == "review" else found.blocked
            assert (name in lane) == (more == 0 and (beside or name not in CALLS_UP)), name


def test_the_rules_that_lose_their_meaning_are_named():
    rules, diagnostics = check([packs()], "complete")
    assert rules is not None
    said = [d.message for d in diagnostics if "no live call" in d.message]
    assert any("`lines_10m`" in message for message in said)


@pytest.mark.parametrize("innocent", VOICE, ids=lambda innocent: innocent.name)
def test_an_innocent_is_not_blocked(innocent: Innocent):
    assert not innocents(False)[innocent.name].blocked
    assert not innocents(True)[innocent.name].blocked


@lru_cache(maxsize=2)
def innocents(beside: bool) -> dict[str, Hits]:
    acting = [completed(innocent.traffic(innocent.line.nth(i)), beside) for i, innocent in enumerate(VOICE)]
    return {one.name: found for one, found in zip(VOICE, hits_of(acting), strict=True)}


@pytest.mark.parametrize("lines", [10, 30, 60, 100, 200])
def test_a_call_centre_that_opens_is_not_judged_by_the_calls_that_ended_first(lines: int):
    def opens(seed: int) -> Traffic:
        traffic = Traffic(Line(VOIP).nth(seed))
        begin_s = WORKDAY + 9 * HOUR
        call_centre(traffic, lines, begin_s, begin_s + 20 * MINUTE, hang_up=0.02 + 0.03 * seed, seed=seed)
        return completed(traffic)

    for found in hits_of([opens(seed) for seed in range(10)]):
        assert not found.blocked | found.review
