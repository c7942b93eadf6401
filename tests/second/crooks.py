"""Offenders as campaigns: a list of victims, lines to burn, a pace, and what they do so as not to be seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.second.city import City, Line, Who

RELATIVE = "엄마 나 폰 액정 깨져서 수리 맡겼어 이 번호로 문자 줘 {}"
PAYMENT = "[해외결제] {}원 승인 완료. 본인 아닐 시 고객센터 {}"
# By the goal that each kind is measured by (bench/packs/kinds.py).
GOALS = {
    "machine": (
        "robodialler", "calls_at_once", "one_ring", "one_ring_abroad", "bulk_abroad", "bait_burst", "infected_phone",
    ),
    "content": ("relative_burst", "payment_landline", "payment_voip", "relative_by_hand", "slow_texts"),
    "patient": ("slow_dialler", "under_limit", "padded", "weekend_pace"),
    "gang": ("series", "sim_box"),
    "unvouched": ("unverified_dialler", "partial_bulk", "spoofing_caller", "implied_desk"),
}  # fmt: skip
MOBILE, VOIP, SEOUL = "+8210", "+8270", "+822"


@dataclass
class Den:
    """A campaign under way. answer, stay_s: how victims react; tenth of them believe it and stay."""

    city: City
    kind: str
    gang: str

    def __post_init__(self) -> None:
        self.random = self.city.random
        self.answer = self.random.uniform(0.35, 0.75)
        self.stay_s = self.random.uniform(5, 16)

    def line(self, prefix: str = MOBILE, digits: int = 8, **trust: str | None) -> Line:
        return self.city.line(Who(self.kind, False, self.gang), prefix, digits, **trust)

    def victim_s(self) -> float:
        if self.random.random() < 0.06:
            return self.random.gammavariate(2, 160)
        return self.random.weibullvariate(self.stay_s, 0.9)

    def dial(self, line: Line, ring_s: float = 9.0) -> float:
        talks = self.random.random() < self.answer
        return self.city.call(
            line, self.city.stranger(), 2 + self.random.expovariate(1 / ring_s), self.victim_s() if talks else None
        )

    def work(
        self,
        line: Line,
        pause_s: Callable[[], float],
        what: Callable[[Line], float] | None = None,
        until_s: float = float("inf"),
    ) -> None:
        """One hand: acts, waits until it is over, pauses, acts again. Sleeps at night."""
        act = what or self.dial

        def again() -> None:
            if self.city.now_s < until_s and 8 <= self.city.hour() < 22:
                self.city.after(act(line) + pause_s(), again)

        self.city.after(self.random.random() * min(3600, self.city.hours * 600), again)

    def write(self, line: Line, content: str, **more: str) -> float:
        self.city.text(line, self.city.stranger(), content.format(self.random.randrange(10), "070-7893-1234"), **more)
        return 0.0


def settle(city: City, each: int) -> None:
    """each: campaigns of each kind."""
    for kinds in GOALS.values():
        for kind in kinds:
            for n in range(each):
                globals()[f"_{kind}"](Den(city, kind, f"{kind}-{n}"))


# -- plain: the pace of a machine, a line that somebody vouches for


def _robodialler(den: Den) -> None:
    line = den.line(den.random.choice((MOBILE, VOIP)))
    for _ in range(den.random.randint(2, 6)):
        den.work(line, lambda: den.random.expovariate(1 / 4))


def _calls_at_once(den: Den) -> None:
    line = den.line()
    for _ in range(den.random.randint(10, 45)):
        den.work(line, lambda: 2 + den.random.expovariate(1 / 12))


def _one_ring(den: Den) -> None:
    line = den.line(den.random.choice((MOBILE, VOIP)))
    den.work(
        line,
        lambda: den.random.uniform(0.5, 3),
        lambda own: den.city.call(own, den.city.stranger(), den.random.uniform(0.8, 2.5), None),
    )


def _one_ring_abroad(den: Den) -> None:
    line = den.line(den.random.choice(("+21698", "+67570", "+22370")), 6, verified=None, origin="international")
    den.work(
        line,
        lambda: den.random.uniform(1, 6),
        lambda own: den.city.call(own, den.city.stranger(), den.random.uniform(0.8, 2.5), None),
    )


def _bulk_abroad(den: Den) -> None:
    line = den.line(den.random.choice(("+4477", "+86138", "+121")), 8, verified="none", origin="international")
    den.work(line, lambda: den.random.expovariate(1 / 1.5), lambda own: den.write(own, PAYMENT))


def _bait_burst(den: Den) -> None:
    """Five minutes, hundreds of texts, then the line is thrown away."""
    line, begin = den.line(), den.random.random() * den.city.hours * 3000
    for _ in range(den.random.randint(120, 500)):
        den.city.after(
            begin + den.random.random() * 300, lambda: den.write(line, "정부지원 대출 {} 승인 대상입니다 {}")
        )


def _relative_burst(den: Den) -> None:
    line = den.line()
    den.work(line, lambda: den.random.expovariate(1 / 12), lambda own: den.write(own, RELATIVE))


def _payment_landline(den: Den) -> None:
    den.work(den.line(SEOUL, 7), lambda: den.random.expovariate(1 / 6), lambda own: den.write(own, PAYMENT))


def _payment_voip(den: Den) -> None:
    den.work(den.line(VOIP), lambda: den.random.expovariate(1 / 8), lambda own: den.write(own, PAYMENT))


def _infected_phone(den: Den) -> None:
    """Its owner knows nothing and goes on calling friends; the machine in it writes to the address book and beyond."""
    line, friends = den.line(), [den.city.stranger() for _ in range(12)]
    den.city.every(
        lambda: 2500 / den.city.waking(),
        lambda: den.city.call(line, den.random.choice(friends), 9, den.random.gammavariate(1.2, 80)),
    )
    den.work(
        line,
        lambda: den.random.expovariate(1 / 3),
        lambda own: den.write(own, "택배 주소 불일치 확인 http://{}.example"),
    )


# -- evasive


def _slow_dialler(den: Den) -> None:
    den.work(den.line(), lambda: 60 + den.random.expovariate(1 / 90))


def _under_limit(den: Den) -> None:
    """So many an hour, as somebody told them is safe."""
    line, gap_s = den.line(den.random.choice((MOBILE, VOIP))), 3600 / den.random.randint(22, 58)
    den.work(line, lambda: max(0.0, gap_s - 15))


def _series(den: Den) -> None:
    """Numbers of one block in ascending order, each for a quarter of an hour."""
    block = "+82707" + str(den.random.randrange(100, 999))
    low = den.random.randrange(1000, 9900)
    each_s = den.random.uniform(500, 1500)
    for n in range(den.random.randint(6, 30)):
        line = den.line(f"{block}{low + n}", 0)
        start = den.city.now_s + n * each_s
        den.city.at(
            start,
            lambda own=line, end=start + each_s: den.work(own, lambda: den.random.expovariate(1 / 10), until_s=end),
        )


def _sim_box(den: Den) -> None:
    """One dialler over many cards, so that each card is calm."""
    cards = [den.line() for _ in range(den.random.randint(8, 40))]

    def next_call() -> None:
        if 8 <= den.city.hour() < 22:
            den.dial(den.random.choice(cards))
        den.city.after(den.random.expovariate(1 / 4), next_call)

    den.city.after(den.random.random() * 600, next_call)


def _padded(den: Den) -> None:
    """Accomplices take long calls, so that means look well."""
    line, friends = den.line(), [den.city.stranger() for _ in range(3)]
    den.work(line, lambda: den.random.expovariate(1 / 8))
    den.city.every(
        lambda: 240, lambda: den.city.call(line, den.random.choice(friends), 4, 600 + den.random.random() * 900)
    )


def _weekend_pace(den: Den) -> None:
    """As busy as the day allows: less at weekends."""
    share = 0.42 if den.city.is_weekend else 1.0
    den.work(den.line(), lambda: den.random.expovariate(share / 25))


def _relative_by_hand(den: Den) -> None:
    """Four texts an hour, each in its own words; whoever answers gets a whole conversation."""
    line = den.line()

    def bait(own: Line) -> float:
        den.write(own, RELATIVE)
        if den.random.random() < 0.08:
            victim = den.city.stranger()
            for n in range(den.random.randint(6, 30)):
                den.city.after(
                    60 * n + den.random.random() * 50, lambda: den.city.text(own, victim, "응 엄마 급해 상품권 좀")
                )
        return den.random.uniform(200, 1400)

    den.work(line, lambda: 30.0, bait)


def _slow_texts(den: Den) -> None:
    den.work(den.line(), lambda: den.random.uniform(60, 200), lambda own: den.write(own, PAYMENT))


# -- whose number nobody vouches for


def _unverified_dialler(den: Den) -> None:
    line = den.line(verified=den.random.choice((None, "none")))
    for _ in range(3):
        den.work(line, lambda: den.random.expovariate(1 / 5))


def _partial_bulk(den: Den) -> None:
    den.work(
        den.line(VOIP, verified="partial"), lambda: den.random.expovariate(1 / 3), lambda own: den.write(own, PAYMENT)
    )


def _spoofing_caller(den: Den) -> None:
    line = den.line(SEOUL, 7, verified="none", origin="international")
    for _ in range(4):
        den.work(line, lambda: den.random.expovariate(1 / 6))


def _implied_desk(den: Den) -> None:
    """The number that a text asks to call: it hardly calls itself."""
    line = den.line(VOIP, verified=None)
    den.work(
        line,
        lambda: 200 + den.random.expovariate(1 / 300),
        lambda own: den.city.call(own, den.city.stranger(), 8, den.random.gammavariate(2, 200)),
    )
