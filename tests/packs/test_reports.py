"""The pack of reports: each rule fires at its limit and no earlier, spares the nearest innocents, and needs each of its
conditions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import orjson
import pytest

from bench.packs.variants import Variant, without_conditions
from rules.load import load, packs, witnesses
from rules.model import RuleSet
from schemas.topics import BLOCK_EVENTS, REVIEW_QUEUE
from tests.packs.traffic import (
    FOREIGN,
    HOUR,
    LANDLINE,
    MINUTE,
    MOBILE,
    NOTHING,
    WORKING_HOURS,
    Hits,
    Line,
    Traffic,
    hits_of,
    outputs_of,
)

REPORTS = witnesses() / "reports.yaml"
PEOPLE = "reported-for-people"
BEGIN = WORKING_HOURS
A_MOBILE = Line(MOBILE)


@dataclass(frozen=True)
class Deed:
    """An offender's traffic and the reports of it. reporters: so many different ones, `gap_s` apart, each with so many
    reports (`repeats`), the network knowing all handsets but those of the first `unknown`. written, called: people
    reached in the hour before the first report. talk_s: how long each call lasts, None for no answer. forged: nobody
    vouches for the traffic."""

    rule: str
    reporters: int
    line: Line = A_MOBILE
    gap_s: float = 4 * MINUTE
    unknown: int = 0
    written: int = 0
    called: int = 0
    talk_s: float | None = None
    earlier: int = 0  # people reached in the hours before that
    later: int = 0  # and ten minutes after the first report
    traps: int = 0
    depth: str = "full"
    repeats: int = 1
    forged: bool = False

    def traffic(self, place: int) -> Traffic:
        line = self.line.nth(place)
        traffic = Traffic(line.unverified() if self.forged else line)
        for i in range(self.earlier):
            traffic.message(BEGIN - 10 * HOUR + 9 * HOUR * i / self.earlier)
        for i in range(self.written):
            traffic.message(BEGIN - 45 * MINUTE + 20 * i)
        for i in range(self.called):
            traffic.call(BEGIN - 45 * MINUTE + 20 * i, talk_s=self.talk_s)
        for i in range(self.later):
            traffic.message(BEGIN + 10 * MINUTE + i)
        for i in range(self.traps):
            traffic.hit(BEGIN - 40 * MINUTE + i, i, self.depth)
        for i in range(self.reporters):
            for again in range(self.repeats):
                at_s = BEGIN + self.gap_s * i + again * self.gap_s / self.repeats
                traffic.report(at_s, i, "none" if i < self.unknown else "full")
        return traffic


OFFENCES = {
    deed.rule: deed
    for deed in (
        Deed("reported-and-writing", 3, written=30),
        Deed("reported-and-calling", 3, called=30, talk_s=5),
        Deed("reported-and-trapped", 2, earlier=30, traps=2),
        Deed("reported-by-many", 10, earlier=60),
        Deed("reported-from-abroad", 4, Line(FOREIGN, "none", "international")),
        Deed(PEOPLE, 5),
    )
}
ENFORCED = [rule for rule in OFFENCES if rule != PEOPLE]

# By rule: what makes its offence none, and the condition that is there for it.
INNOCENT_IF: dict[str, dict[str, Callable[[Deed], Deed]]] = {
    "reported-and-writing": {
        "one reporter fewer": lambda d: replace(d, reporters=2),
        "a crowd within three minutes": lambda d: replace(d, gap_s=5, reporters=30),
        "nine at once, behind one that came before": lambda d: replace(d, gap_s=18, reporters=60, written=180),
        "fourteen people written to": lambda d: replace(d, written=14),
        "more reporters than people reached": lambda d: replace(d, written=16, reporters=8, gap_s=30, unknown=0),
        "an offer to thousands": lambda d: replace(d, earlier=480),
        "registered": lambda d: replace(d, line=replace(d.line, registered=True)),
        "an institution": lambda d: replace(d, line=replace(d.line, institution=True)),
    },
    "reported-and-calling": {
        "one reporter fewer": lambda d: replace(d, reporters=2),
        "a crowd within three minutes": lambda d: replace(d, gap_s=5, reporters=30),
        "nine at once, behind one that came before": lambda d: replace(d, gap_s=18, reporters=60, called=180),
        "fourteen people called": lambda d: replace(d, called=14),
        "those called speak with it": lambda d: replace(d, talk_s=60),
        "more reporters than people reached": lambda d: replace(d, called=16, reporters=8, gap_s=30, unknown=0),
        "a courier who writes to hundreds": lambda d: replace(d, earlier=480),
        "registered": lambda d: replace(d, line=replace(d.line, registered=True)),
        "an institution": lambda d: replace(d, line=replace(d.line, institution=True)),
    },
    "reported-and-trapped": {
        "one reporter": lambda d: replace(d, reporters=1, later=1),
        "one trap": lambda d: replace(d, traps=1),
        "both at once": lambda d: replace(d, gap_s=10),
        "nine at once, behind one that came before": lambda d: replace(d, gap_s=18, reporters=60, earlier=190),
        "more reporters than people reached": lambda d: replace(d, earlier=5),
        "an offer to thousands": lambda d: replace(d, earlier=480),
        "registered": lambda d: replace(d, line=replace(d.line, registered=True)),
        "an institution": lambda d: replace(d, line=replace(d.line, institution=True)),
    },
    "reported-by-many": {
        "one reporter fewer": lambda d: replace(d, reporters=9),
        "most of them within three minutes": lambda d: replace(d, gap_s=25),
        "a crowd within three minutes": lambda d: replace(d, gap_s=16, reporters=60, earlier=190),
        "a private person, who reached fewer": lambda d: replace(d, earlier=20),
        "an offer to thousands": lambda d: replace(d, earlier=2400),
        "registered": lambda d: replace(d, line=replace(d.line, registered=True)),
        "an institution": lambda d: replace(d, line=replace(d.line, institution=True)),
    },
    "reported-from-abroad": {
        "one reporter fewer": lambda d: replace(d, reporters=3),
        "a crowd within three minutes": lambda d: replace(d, gap_s=5, reporters=30),
        "nine at once, behind one that came before": lambda d: replace(d, gap_s=18, reporters=60),
        "a number of this country": lambda d: replace(d, line=Line(MOBILE, "none", "international")),
        "registered": lambda d: replace(d, line=replace(d.line, registered=True)),
        "an institution": lambda d: replace(d, line=replace(d.line, institution=True)),
    },
    PEOPLE: {
        "four reporters": lambda d: replace(d, reporters=4),
        "blocked by another rule": lambda d: replace(d, reporters=6, written=30, gap_s=2 * MINUTE),
    },
}  # fmt: skip

NEAR = [(rule, change) for rule, changes in INNOCENT_IF.items() for change in changes]
FEWER, VARIANTS = without_conditions([REPORTS])


# -- innocents, each as its nearest offence --------------------------------------------------------------------------


def hospital_in_a_flood(traffic: Traffic) -> None:
    for i in range(200):
        traffic.call(BEGIN - HOUR + 15 * i, talk_s=40)
    for i in range(2_000):
        traffic.report(BEGIN + 2 * i, i)


def notice_that_fifty_are_annoyed_by(traffic: Traffic) -> None:
    for i in range(600):
        traffic.message(BEGIN - HOUR + 5 * i)
    for i in range(50):
        traffic.report(BEGIN + 3 * MINUTE * i, i)


def recycled_number(traffic: Traffic) -> None:
    """Its new holder calls and writes to a few people; some report what the last one did to them."""
    for i in range(12):
        traffic.call(BEGIN - 8 * HOUR + 30 * MINUTE * i, talk_s=120)
    for i in range(4):
        traffic.report(BEGIN + 20 * MINUTE * i, i)


def neighbour_with_a_grudge(traffic: Traffic) -> None:
    """Reports a shop a thousand times under ever new ids."""
    for i in range(60):
        traffic.message(BEGIN - 50 * MINUTE + 45 * i)
    for i in range(1_000):
        traffic.report(BEGIN + 20 * i, 0)


def private_person_and_a_brigade(traffic: Traffic) -> None:
    for i in range(15):
        traffic.call(BEGIN - 8 * HOUR + 30 * MINUTE * i, talk_s=120)
    for i in range(40):
        traffic.report(BEGIN + 10 * MINUTE * i, i)


def shop_and_forms_on_the_web(traffic: Traffic) -> None:
    for i in range(60):
        traffic.message(BEGIN - 50 * MINUTE + 45 * i)
    for i in range(500):
        traffic.report(BEGIN + MINUTE * i, i, "none")


def owner_of_a_forged_number(traffic: Traffic) -> None:
    for i in range(10):
        traffic.call(BEGIN - 8 * HOUR + 30 * MINUTE * i, talk_s=120)
    whose = traffic.line
    traffic.line = Line(whose.number, "none", "international")
    for i in range(300):
        traffic.message(BEGIN - HOUR + 10 * i)
    traffic.line = whose
    for i in range(20):
        traffic.report(BEGIN + 10 * MINUTE * i, i)


INNOCENTS: dict[Callable[[Traffic], None], tuple[Line, bool]] = {
    hospital_in_a_flood: (Line(LANDLINE, institution=True), True),
    notice_that_fifty_are_annoyed_by: (Line(LANDLINE, registered=True), True),
    recycled_number: (Line(MOBILE), False),
    neighbour_with_a_grudge: (Line(LANDLINE), False),
    private_person_and_a_brigade: (Line(MOBILE), True),
    shop_and_forms_on_the_web: (Line(LANDLINE), True),
    owner_of_a_forged_number: (Line(MOBILE), True),
}  # and whether it is shown to people


# -- tests -----------------------------------------------------------------------------------------------------------


def test_every_rule_of_the_pack_is_here():
    assert {rule.name for rule in pack().rules} == set(OFFENCES) == set(INNOCENT_IF)


@pytest.mark.parametrize("rule", OFFENCES)
def test_a_rule_fires_at_its_limit_in_its_own_lane_and_not_one_reporter_below(rule: str):
    places = list(OFFENCES)
    found, below = at_limits(0)[places.index(rule)], at_limits(-1)[places.index(rule)]
    assert rule in (found.review if rule == PEOPLE else found.blocked)
    assert rule not in (found.blocked if rule == PEOPLE else found.review)
    assert rule not in below.blocked | below.review


@pytest.mark.parametrize(("rule", "change"), NEAR)
def test_an_offence_that_is_changed_in_one_respect_is_none(rule: str, change: str):
    found = changed_ones()[NEAR.index((rule, change))]
    assert rule not in found.blocked | found.review


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: f"{variant.rule}: {variant.limit}")
def test_a_rule_without_one_of_its_conditions_hits_somebody_whom_it_spares(variant: Variant):
    mine = [i for i, (rule, _) in enumerate(NEAR) if rule == variant.rule]
    assert any(variant.name in with_fewer()[i].blocked | with_fewer()[i].review for i in mine)


@pytest.mark.parametrize("innocent", INNOCENTS, ids=lambda innocent: innocent.__name__.replace("_", " "))
def test_an_innocent_is_never_blocked_and_shown_to_people_where_reports_alone_cannot_tell(innocent):
    found = innocents()[list(INNOCENTS).index(innocent)]
    assert not found.blocked
    assert found.review == (frozenset({PEOPLE}) if INNOCENTS[innocent][1] else frozenset())


@pytest.mark.parametrize("rule", [rule for rule in OFFENCES if rule not in (PEOPLE, "reported-from-abroad")])
def test_a_number_that_nobody_vouches_for_is_not_blocked_by_reports(rule: str):
    assert not unvouched()[list(OFFENCES).index(rule)].blocked


def test_reports_of_one_reporter_count_once_whatever_their_number_and_their_ids():
    once, often = hits_of(
        [replace(OFFENCES["reported-and-writing"], reporters=2, repeats=n).traffic(i) for i, n in enumerate((1, 500))],
        pack(),
    )
    assert once == often == NOTHING


def test_who_calls_a_blocked_number_hears_why_and_whom_to_ask_and_a_call_in_progress_is_cut():
    records = outputs_of([OFFENCES["reported-and-calling"].traffic(0)], pack())
    state = next(orjson.loads(record.value) for record in records if record.topic == BLOCK_EVENTS)
    assert state["actions"] == ["block_calls", "block_messages", "cut_call"]
    assert state["directions"] == ["outgoing", "incoming"]
    hold = state["hold"]
    assert hold["until"] - hold["from"] == 7 * 86_400_000
    assert "114" in hold["announcement"]
    assert "terms of service" in hold["announcement"]
    assert "{" not in hold["announcement"]
    shown = {row["counter"]: (row["value"], row["limit"]) for row in hold["evidence"]}
    assert shown["people"] == (3.0, 3.0)


def test_a_number_on_the_allow_list_is_shown_to_people_and_not_blocked():
    allowed = replace(OFFENCES["reported-and-calling"], line=Line(MOBILE, allowed=True))
    records = outputs_of([allowed.traffic(0)], pack())
    assert {record.topic for record in records} == {REVIEW_QUEUE}
    assert orjson.loads(records[0].value)["hold"]["diverted"] == "allow_listed"


def test_the_pack_is_run_only_by_those_who_ask_for_it():
    assert not {rule.name for rule in load([packs()]).rules} & set(OFFENCES)
    assert set(OFFENCES) < {rule.name for rule in load([packs(), REPORTS]).rules}


# -- what the tests above look things up in --------------------------------------------------------------------------


@lru_cache
def pack() -> RuleSet:
    return load([REPORTS])


@lru_cache
def at_limits(more: int) -> list[Hits]:
    deeds = [replace(deed, reporters=deed.reporters + more) for deed in OFFENCES.values()]
    return hits_of([deed.traffic(i) for i, deed in enumerate(deeds)], pack())


@lru_cache
def changed_ones() -> list[Hits]:
    return hits_of(_near(), pack())


@lru_cache
def with_fewer() -> list[Hits]:
    return hits_of(_near(), FEWER)


@lru_cache
def unvouched() -> list[Hits]:
    return hits_of([replace(deed, forged=True).traffic(i) for i, deed in enumerate(OFFENCES.values())], pack())


@lru_cache
def innocents() -> list[Hits]:
    acting = []
    for i, (act, (line, _)) in enumerate(INNOCENTS.items()):
        acting.append(Traffic(line.nth(i)))
        act(acting[-1])
    return hits_of(acting, pack())


def _near() -> list[Traffic]:
    return [INNOCENT_IF[rule][change](OFFENCES[rule]).traffic(i) for i, (rule, change) in enumerate(NEAR)]
