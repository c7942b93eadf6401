"""Offences changed in one respect that makes them innocent: from a registered line, to few people, to people who stay.
A rule's conditions are there for these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.packs.registry import Offence
from tests.packs.traffic import FOREIGN, HOUR, MOBILE, REPRESENTATIVE, VOIP, WORKING_HOURS, Line, Traffic


@dataclass(frozen=True)
class Change:
    """line: what else the carrier or the registry says. people: so many different ones at most. talk: how long the nth
    call lasts, by how long it did; None for no answer. times: how much slower. calls_up: held meanwhile, to somebody
    each. more: events beyond the offence's limit. text, reseller: of every message. traps: so many
    different ones at most. sight: what a trap does, by what it did."""

    line: Callable[[Line], Line] = lambda line: line
    people: int = 1_000_000
    talk: Callable[[float | None, int], float | None] = lambda talk_s, nth: talk_s
    times: float = 1.0
    calls_up: int = 0
    more: int = 0
    text: Callable[[str, int], str] = lambda text, place: text
    reseller: Callable[[str | None], str | None] = lambda reseller: reseller
    traps: int = 1_000_000
    sight: Callable[[str], str] = lambda depth: depth

    def traffic(self, offence: Offence, place: int) -> Traffic:
        traffic = Changed(self.line(offence.line.nth(place)), change=self)
        for i in range(self.calls_up):
            Traffic.call(traffic, WORKING_HOURS - 60 - i, f"02-700-{i:04d}", talk_s=8 * HOUR)
        offence.act(traffic, WORKING_HOURS, offence.limit + self.more)
        return traffic


@dataclass
class Changed(Traffic):
    """Traffic in the making, each act changed."""

    change: Change = Change()
    calls: int = 0

    def call(
        self, at_s: float, callee: str | None = None, ring_s: float = 0.25, talk_s: float | None = None,
        released: bool = True,
    ) -> None:  # fmt: skip
        super().call(self._at(at_s), self._peer(callee), ring_s, self.change.talk(talk_s, self.calls), released)
        self.calls += 1

    def message(
        self, at_s: float, text: str = "same as ever", recipient: str | None = None, reseller: str | None = None
    ) -> None:
        text = self.change.text(text, len(self.records))
        super().message(self._at(at_s), text, self._peer(recipient), self.change.reseller(reseller))

    def hit(self, at_s: float, trap: int, depth: str = "limited") -> None:
        super().hit(self._at(at_s), trap % self.change.traps, self.change.sight(depth))

    def _at(self, at_s: float) -> float:
        return WORKING_HOURS + (at_s - WORKING_HOURS) * self.change.times

    def _peer(self, told: str | None) -> str | None:
        place = len(self.records) if told is None else int(told[-4:])
        few = self.change.people
        return told if few >= 1_000_000 else f"010-3000-{place % few:04d}"


def from_a(number: str) -> Change:
    return Change(line=lambda line: replace(line, number=number[:-4] + line.number[-4:]))


CHANGES: dict[str, Change] = {
    "below its limit": Change(more=-1),
    "every other text of a parcel": Change(
        more=9, text=lambda text, place: text if place % 2 else f"택배 오늘 14시 도착 예정 송장 {place}"
    ),
    "names a mobile": Change(text=lambda text, place: text.replace("02-2345-1000", "010-2345-1000")),
    "registered": Change(line=lambda line: replace(line, registered=True)),
    "an institution": Change(line=lambda line: replace(line, institution=True)),
    "not registered": Change(line=lambda line: replace(line, registered=False)),
    "from a mobile": from_a(MOBILE),
    "from a VoIP number": from_a(VOIP),
    "from a representative number": from_a(REPRESENTATIVE),
    "from a foreign number": from_a(FOREIGN),
    "through the web": Change(line=lambda line: replace(line, origin="web")),
    "by hand": Change(line=lambda line: replace(line, origin="domestic")),
    "to eleven people": Change(people=11),
    "all are answered, and one in four hears it out": Change(talk=lambda was, nth: 4 if nth % 4 else 20),
    "all are answered": Change(talk=lambda was, nth: 4 if was is None else was),
    "all are heard out": Change(talk=lambda was, nth: None if was is None else max(was, 20)),
    "all of a few more are heard out": Change(more=4, talk=lambda was, nth: None if was is None else max(was, 20)),
    "all stay a minute": Change(talk=lambda was, nth: None if was is None else max(was, 90)),
    "nobody stays": Change(talk=lambda was, nth: None if was is None else min(was, 50)),
    "calls of all lengths": Change(talk=lambda was, nth: None if was is None else 400),
    "one in five hangs up": Change(more=4, talk=lambda was, nth: 4 if was and nth % 5 == 0 else was),
    "one stays a minute and a half": Change(talk=lambda was, nth: 90 if nth == 2 else was),
    "nobody answers": Change(talk=lambda was, nth: None),
    "at half the pace": Change(times=2),
    "at a tenth of the pace": Change(times=10),
    "at ten times the pace": Change(times=0.1),
    "while seventy calls are up that began with them": Change(
        calls_up=70, times=0.05, talk=lambda was, nth: None if was is None else min(was, 130)
    ),
    "each with another text": Change(text=lambda text, place: f"{text} {place}"),
    "with one text": Change(text=lambda text, place: "hello"),
    "to one trap": Change(traps=1),
    "through a reseller": Change(reseller=lambda reseller: "rs-1"),
    "through no reseller": Change(reseller=lambda reseller: None),
}  # fmt: skip

# By rule: the changes that make its offence innocent.
INNOCENT_IF: dict[str, tuple[str, ...]] = {
    "trapped-and-calling": (
        "all are heard out",
        "an institution",
        "below its limit",
        "registered",
        "to eleven people",
        "to one trap",
    ),
    "trapped-and-writing": (
        "an institution",
        "below its limit",
        "from a VoIP number",
        "registered",
        "to eleven people",
        "to one trap",
    ),
    "trapped-from-abroad": ("below its limit", "from a VoIP number", "registered", "to one trap"),
    "trapped": ("an institution", "below its limit", "registered", "to one trap"),
    "trusted-relative": ("an institution", "below its limit"),
    "trusted-relative-slow": ("an institution", "below its limit"),
    "fake-payment-abroad": ("below its limit", "from a VoIP number", "names a mobile", "registered"),
    "fake-payment": (
        "an institution",
        "below its limit",
        "every other text of a parcel",
        "from a representative number",
        "names a mobile",
        "registered",
    ),
    "fake-payment-many-desks": ("below its limit", "registered"),
    "look-alike-links": ("an institution", "below its limit", "registered"),
    "recipient-spread": (
        "an institution",
        "registered",
        "through the web",
    ),
    "pmg-messages": (
        "an institution",
        "below its limit",
        "registered",
        "through the web",
    ),
    "repeated-content": (
        "each with another text",
        "registered",
        "through the web",
    ),
    "hand-written-bulk": (
        "from a VoIP number",
        "registered",
        "through the web",
        "with one text",
    ),
    "varied-bulk": (
        "an institution",
        "at a tenth of the pace",
        "from a foreign number",
        "registered",
        "through a reseller",
        "to eleven people",
        "with one text",
    ),
    "voip-bulk": (
        "an institution",
        "at a tenth of the pace",
        "from a foreign number",
        "registered",
        "through no reseller",
        "to eleven people",
        "with one text",
    ),
    "international-bulk": (
        "by hand",
        "each with another text",
        "from a VoIP number",
        "to eleven people",
    ),
    "international-repeated": (
        "by hand",
        "from a VoIP number",
        "to eleven people",
    ),
    "international-varied": (
        "below its limit",
        "by hand",
        "from a VoIP number",
        "registered",
        "with one text",
    ),
    "foreign-origin-domestic-sender": (
        "below its limit",
        "by hand",
        "from a foreign number",
        "to eleven people",
    ),
    "unverified-bulk": (
        "an institution",
        "at ten times the pace",
        "below its limit",
        "from a foreign number",
        "registered",
        "through the web",
        "to eleven people",
    ),
    "web-sent-mobile": (
        "an institution",
        "at ten times the pace",
        "below its limit",
        "by hand",
        "from a foreign number",
        "registered",
        "to eleven people",
    ),
    "night-bulk": (
        "an institution",
        "from a foreign number",
        "registered",
        "through the web",
        "to eleven people",
    ),
    "many-resellers": ("at a tenth of the pace",),
    "registered-sender-departs": (
        "at ten times the pace",
        "not registered",
        "to eleven people",
    ),
    "call-rate": (
        "all are answered",
        "all are heard out",
        "an institution",
        "below its limit",
        "nobody answers",
        "registered",
        "while seventy calls are up that began with them",
    ),
    "machine-rate": (
        "all are heard out",
        "all are answered, and one in four hears it out",
        "an institution",
        "from a mobile",
        "nobody answers",
        "registered",
        "to eleven people",
        "while seventy calls are up that began with them",
    ),
    "simultaneous-calls-mobile": (
        "an institution",
        "from a VoIP number",
        "registered",
        "to eleven people",
    ),
    "simultaneous-calls": ("all stay a minute", "an institution", "below its limit", "registered", "to eleven people"),
    "simultaneous-short-calls": (
        "an institution",
        "at a tenth of the pace",
        "from a representative number",
        "one in five hangs up",
        "registered",
    ),
    "calls-of-one-length": (
        "an institution",
        "calls of all lengths",
        "from a representative number",
        "one in five hangs up",
        "registered",
        "to eleven people",
    ),
    "pmg-voice": (
        "all are answered",
        "all of a few more are heard out",
        "an institution",
        "at half the pace",
        "at ten times the pace",
        "nobody answers",
        "registered",
    ),
    "patient-dialler": (
        "all stay a minute",
        "an institution",
        "at half the pace",
        "below its limit",
        "registered",
        "while seventy calls are up that began with them",
    ),
    "one-ring-calls": (
        "an institution",
        "below its limit",
        "registered",
        "while seventy calls are up that began with them",
    ),
    "unanswered-calls": (
        "all are answered",
        "an institution",
        "below its limit",
        "from a VoIP number",
        "to eleven people",
        "while seventy calls are up that began with them",
    ),
    "padded-calls": (
        "all are answered",
        "all are heard out",
        "an institution",
        "at a tenth of the pace",
        "from a representative number",
        "nobody stays",
        "one stays a minute and a half",
        "registered",
        "to eleven people",
        "while seventy calls are up that began with them",
    ),
    "foreign-origin-domestic-number": (
        "by hand",
        "from a foreign number",
        "to eleven people",
    ),
    "one-ring-from-abroad": (
        "below its limit",
        "from a VoIP number",
        "while seventy calls are up that began with them",
    ),
    "international-dialler": (
        "all stay a minute",
        "at a tenth of the pace",
        "from a VoIP number",
        "to eleven people",
        "while seventy calls are up that began with them",
    ),
    "night-dialling": (
        "all are answered",
        "all stay a minute",
        "an institution",
        "at a tenth of the pace",
        "from a foreign number",
        "registered",
        "to eleven people",
        "while seventy calls are up that began with them",
    ),
    "registered-caller-departs": (
        "at half the pace",
        "not registered",
        "to eleven people",
    ),
}
