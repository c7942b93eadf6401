"""Each condition of each shipped rule spares somebody: without it, a test here or in test_packs fails."""

from __future__ import annotations

from functools import lru_cache

import pytest

from bench.packs.variants import Variant, without_conditions
from rules.load import packs, witnesses
from tests.packs import impostures, messages, traps, voice
from tests.packs.near import CHANGES, INNOCENT_IF
from tests.packs.registry import INNOCENTS, OFFENCES
from tests.packs.traffic import Hits, Traffic, hits_of, shipped

STORIES = (impostures, messages, traps, voice)  # importing them fills the registry
RULES, VARIANTS = without_conditions([packs(), witnesses() / "traps.yaml"])
NEAR = [(rule, change) for rule, changes in INNOCENT_IF.items() for change in changes]


@pytest.mark.parametrize(("rule", "change"), NEAR)
def test_an_offence_that_is_changed_in_one_respect_is_none(rule: str, change: str):
    found = with_all_conditions()[NEAR.index((rule, change))]
    assert rule not in found.blocked | found.review


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: f"{variant.rule}: {variant.limit}")
def test_a_rule_without_one_of_its_conditions_hits_an_innocent(variant: Variant):
    of_its_own = [NEAR.index((variant.rule, change)) for change in INNOCENT_IF[variant.rule]]
    spared = [len(NEAR) + i for i, innocent in enumerate(INNOCENTS.values()) if variant.rule in innocent.spares]
    assert any(variant.name in without_one()[i].blocked | without_one()[i].review for i in of_its_own + spared)


def test_every_shipped_rule_is_here_and_every_change_is_used():
    assert set(INNOCENT_IF) == {rule.name for rule in shipped().rules}
    assert {change for _, change in NEAR} == set(CHANGES)


@lru_cache
def with_all_conditions() -> list[Hits]:
    return hits_of(acting())


@lru_cache
def without_one() -> list[Hits]:
    return hits_of(acting(), RULES)


def acting() -> list[Traffic]:
    changed = [CHANGES[change].traffic(OFFENCES[rule], place) for place, (rule, change) in enumerate(NEAR)]
    return changed + [one.traffic(one.line.nth(len(NEAR) + i)) for i, one in enumerate(INNOCENTS.values())]
