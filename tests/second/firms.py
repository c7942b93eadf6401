"""Honest businesses: lines and staff that are busy, machines that call and write by themselves."""

from __future__ import annotations

from collections.abc import Callable

from tests.second.city import City, Line, Who

# kind -> how many there are among 100,000 active numbers, roughly.
FIRMS = {
    "exchange": 90.0, "hospital": 20.0, "call_centre": 2.0, "taxi_dispatch": 0.8, "debt_collector": 4.0,
    "opinion_poll": 0.3, "shop_by_web": 120.0, "academy_by_web": 90.0, "school": 25.0, "code_sender": 0.2,
    "code_sender_abroad": 0.2, "meter": 250.0, "fax_server": 3.0, "broadcast": 4.0, "bank_desk": 8.0,
    "alarm_centre": 1.0, "spoofed_owner": 2.0, "desk_abroad": 0.5,
}  # fmt: skip
SEOUL, BUSAN, NATIONWIDE, VOIP = "+822", "+8251", "+821588", "+8270"


def settle(city: City, each: int) -> None:
    """each: firms of each kind."""
    for kind in FIRMS:
        for _ in range(each):
            globals()[f"_{kind}"](city, Who(kind, True))


def _staffed(
    city: City, line: Line, lines: int, pace_s: float, callee: Callable[[], str], answer: float,
    talk_s: Callable[[], float], ring_s: float = 12.0, opens: float = 9.0, closes: float = 18.0,
) -> None:  # fmt: skip
    """So many people behind one number; each calls, talks, writes it down for about `pace_s`, and calls again."""
    random = city.random

    def work() -> None:
        if not opens <= city.hour() < closes:
            return
        talks = random.random() < answer
        taken = city.call(line, callee(), 2 + random.expovariate(1 / ring_s), talk_s() if talks else None)
        city.after(taken + random.expovariate(1 / pace_s), work)

    for _ in range(lines):
        city.shift(opens + random.random() * 0.3, closes, lambda: city.after(random.random() * pace_s, work))


def _exchange(city: City, who: Who) -> None:
    random = city.random
    median = random.uniform(40, 120)
    known = [city.stranger() for _ in range(random.randint(80, 600))]
    _staffed(
        city, city.line(who, SEOUL, 7), random.randint(12, 60), random.uniform(250, 1500), lambda: random.choice(known),
        0.72, lambda: random.gammavariate(0.9, median * 1.6),
    )  # fmt: skip


def _hospital(city: City, who: Who) -> None:
    """Reminders and results: everybody is called once, and most calls are short."""
    random = city.random
    line = city.line(who, random.choice((SEOUL, BUSAN)), 7)
    brief = random.uniform(14, 45)
    _staffed(
        city,
        line,
        random.randint(4, 14),
        random.uniform(40, 160),
        city.stranger,
        random.uniform(0.55, 0.8),
        lambda: random.weibullvariate(brief, 1.1),
    )

    def reminders() -> None:
        for n in range(random.randint(80, 400)):
            city.after(
                n * random.uniform(0.4, 2.0),
                lambda: city.text(
                    line, city.stranger(), "[병원] 내일 예약이 있습니다. 변경은 전화 주세요", channel="lms"
                ),
            )

    city.shift(15, 17, reminders)


def _call_centre(city: City, who: Who) -> None:
    random = city.random
    spread = random.uniform(60, 180)
    _staffed(
        city, city.line(who, VOIP, 8), random.randint(15, 80),
        random.uniform(15, 70), city.stranger, random.uniform(0.35, 0.6),
        lambda: random.weibullvariate(9, 1) if random.random() < 0.3 else random.gammavariate(1.4, spread),
    )  # fmt: skip


def _taxi_dispatch(city: City, who: Who) -> None:
    """The machine rings each rider: your car is here. Friday evening never ends."""
    random = city.random
    line = city.line(who, NATIONWIDE, 4)
    city.every(
        lambda: random.uniform(2, 6) / city.waking(),
        lambda: city.call(
            line,
            city.stranger(),
            4 + random.random() * 8,
            random.weibullvariate(7, 1.4) if random.random() < 0.8 else None,
        ),
    )


def _debt_collector(city: City, who: Who) -> None:
    random = city.random
    debtors = [city.stranger() for _ in range(random.randint(300, 1500))]
    _staffed(
        city, city.line(who, SEOUL, 7), random.randint(3, 12), random.uniform(20, 80), lambda: random.choice(debtors),
        0.4, lambda: random.weibullvariate(8, 1) if random.random() < 0.55 else random.gammavariate(1.2, 120),
        opens=8.5, closes=20,
    )  # fmt: skip


def _opinion_poll(city: City, who: Who) -> None:
    """A machine asks, and most hang up within seconds."""
    random = city.random
    _staffed(
        city, city.line(who, *random.choice(((SEOUL, 7), (VOIP, 8)))), random.randint(10, 30), random.uniform(3, 12),
        city.stranger, random.uniform(0.3, 0.5),
        lambda: random.weibullvariate(5, 1) if random.random() < 0.85 else random.uniform(90, 240), ring_s=15,
        opens=10, closes=21,
    )  # fmt: skip


def _by_web(city: City, line: Line, bursts: int, sizes: tuple[int, int], content: str) -> None:
    random = city.random

    def campaign() -> None:
        wait = 0.0
        for n in range(random.randint(*sizes)):
            wait += random.expovariate(1 / random.choice((0.2, 1.0)))
            city.after(
                wait,
                lambda k=n: city.text(
                    line, city.stranger(), content.format(k % 7), channel="lms", reseller=f"reseller-{line.carrier}"
                ),
            )

    for _ in range(bursts):
        city.after(random.random() * city.hours * 3300, campaign)


def _shop_by_web(city: City, who: Who) -> None:
    line = city.line(who, "+8210", origin="web", verified=city.random.choice(("full", "full", "partial")))
    _by_web(city, line, city.random.randint(1, 2), (40, 600), "(광고) 오늘만 {} 품목 할인! 무료거부 080")


def _academy_by_web(city: City, who: Who) -> None:
    line = city.line(who, "+8210", origin="web")
    _by_web(city, line, 3, (20, 120), "학원 알림: 오늘 {}교시 수업 안내드립니다")


def _school(city: City, who: Who) -> None:
    _by_web(city, city.line(who, SEOUL, 7, origin="web"), 2, (200, 900), "가정통신문 {}호가 발송되었습니다")


def _code_sender(city: City, who: Who) -> None:
    line, random = city.line(who, NATIONWIDE, 4, origin="web"), city.random
    city.every(
        lambda: 1.2 / city.waking(),
        lambda: city.text(line, city.stranger(), f"인증번호 [{random.randrange(10**6):06}] 입니다"),
    )


def _code_sender_abroad(city: City, who: Who) -> None:
    line = city.line(
        who,
        city.random.choice(("+1650", "+44790", "+659")),
        7,
        verified=city.random.choice(("full", "none")),
        origin="international",
    )
    city.every(
        lambda: 9 / city.waking(),
        lambda: city.text(line, city.stranger(), f"Your code is {city.random.randrange(10**6):06}"),
    )


def _meter(city: City, who: Who) -> None:
    """Reports on the minute, day and night, to one number."""
    line, centre, random = city.line(who, "+8212", 8), city.line(None, SEOUL, 7).number, city.random
    period = random.choice((60, 300, 900))

    def report() -> None:
        city.call(line, centre, 1.0, 3.0 + random.random())
        city.after(period, report)

    city.after(random.random() * period, report)


def _fax_server(city: City, who: Who) -> None:
    line, random = city.line(who, SEOUL, 7), city.random
    offices = [city.line(None, SEOUL, 7).number for _ in range(random.randint(60, 500))]
    _staffed(
        city,
        line,
        random.randint(2, 8),
        random.uniform(4, 30),
        lambda: random.choice(offices),
        0.8,
        lambda: random.choice((22, 38, 55, 75)) + random.random() * 5,
        ring_s=5,
    )


def _broadcast(city: City, who: Who) -> None:
    _by_web(city, city.line(who, SEOUL, 7, origin="web"), 1, (800, 4000), "[구청] 폭염 안전 안내 {}")


def _bank_desk(city: City, who: Who) -> None:
    random = city.random
    _staffed(
        city,
        city.line(who, NATIONWIDE, 4),
        random.randint(5, 30),
        random.uniform(120, 400),
        city.stranger,
        0.6,
        lambda: random.gammavariate(1.5, 130),
        closes=16.5,
    )


def _alarm_centre(city: City, who: Who) -> None:
    """Quiet, and then a storm: every customer of a district at once."""
    line, random = city.line(who, SEOUL, 7), city.random

    def storm() -> None:
        for _ in range(random.randint(20, 90)):
            city.after(
                random.random() * 240,
                lambda: city.call(
                    line, city.stranger(), 8, random.weibullvariate(20, 1.3) if random.random() < 0.6 else None
                ),
            )

    city.every(lambda: 7200, storm)


def _spoofed_owner(city: City, who: Who) -> None:
    """Its number is forged by others from abroad, and by hand it makes its own few calls."""
    line, random = city.line(who, "+8210"), city.random
    forged = Line(
        line.number, random.randrange(4), random.choice(("none", None)), random.choice(("international", None))
    )
    city.every(lambda: 3000 / city.waking(), lambda: city.call(line, city.stranger(), 9, random.gammavariate(1.3, 70)))
    city.shift(
        9,
        18,
        lambda: city.every(
            lambda: random.uniform(3, 15),
            lambda: city.call(
                forged, city.stranger(), 8, random.weibullvariate(6, 1) if random.random() < 0.4 else None
            ),
        ),
    )


def _desk_abroad(city: City, who: Who) -> None:
    random = city.random
    _staffed(
        city,
        city.line(who, random.choice(("+1415", "+81901", "+44207")), 7, origin="international"),
        random.randint(2, 10),
        120,
        city.stranger,
        0.5,
        lambda: random.gammavariate(1.3, 100),
    )
