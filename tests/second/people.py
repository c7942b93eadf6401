"""Ordinary people: a few friends, errands, calls back, letters of machines; and the odd ones among them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate

from tests.second.city import City, Line, Who, weighted

# The share of people who are odd in one way.
ODD = {
    "roaming": 0.01, "ported": 0.05, "redialling_elder": 0.0008, "rider": 0.003, "courier": 0.0012, "group_chat": 0.002,
    "wedding_host": 0.0004,
}  # fmt: skip
HOURLY_CALLS, HOURLY_TEXTS = 0.42, 0.75  # of a person of activity 1, at waking 1
WORDS = [
    "오늘",
    "내일",
    "저녁",
    "점심",
    "엄마",
    "아빠",
    "집",
    "회의",
    "주말",
    "전화",
    "사진",
    "고마워",
    "미안",
    "어디야",
    "몇시",
    "버스",
    "학교",
    "병원",
    "생일",
    "커피",
]


@dataclass
class Person:
    line: Line
    activity: float
    friends: list[str] = field(default_factory=list)
    free_s: float = 0.0


@dataclass
class People:
    """Friends are drawn by how active they are, so that some numbers are called by many."""

    city: City
    count: int
    people: list[Person] = field(default_factory=list)
    by_number: dict[str, Person] = field(default_factory=dict)

    def settle(self) -> None:
        city, random = self.city, self.city.random
        for _ in range(self.count):
            odd = random.random()
            # Ported lines and lines abroad differ in what the carrier says of them.
            trust: dict[str, str | None] = {}
            kind = "subscriber"
            if odd < ODD["roaming"]:
                kind, trust = "roaming", {"origin": "roaming"}
            elif odd < ODD["roaming"] + ODD["ported"]:
                kind, trust = "ported", {"verified": "partial" if random.random() < 0.3 else "full"}
            person = Person(city.line(Who(kind, True), "+8210", **trust), min(random.paretovariate(1.9), 25) / 1.6)
            self.people.append(person)
            self.by_number[person.line.number] = person
        self._weights = list(accumulate(p.activity for p in self.people))
        for person in self.people:
            known = {self.somebody().line.number for _ in range(2 + int(random.gammavariate(2.2, 4)))}
            person.friends = sorted(known - {person.line.number})
        per_hour = self._weights[-1]
        for what, hourly in ((self._call, HOURLY_CALLS), (self._write, HOURLY_TEXTS)):
            city.every(lambda h=hourly: 3600 / (h * per_hour * city.waking()), what)
        for kind, begin in (
            ("redialling_elder", self._elder), ("rider", self._rider), ("courier", self._courier),
            ("group_chat", self._group), ("wedding_host", self._host),
        ):  # fmt: skip
            for _ in range(max(2, round(ODD[kind] * self.count))):
                begin(self.city.line(Who(kind, True), "+8210"))

    def somebody(self) -> Person:
        return self.people[weighted(self.city.random, self._weights)]

    def talk_s(self) -> float:
        """An errand, a chat, or one of the long ones."""
        random = self.city.random
        kind = random.random()
        if kind < 0.62:
            return random.weibullvariate(48, 0.85)
        return random.gammavariate(1.8, 95) if kind < 0.93 else min(240 * random.paretovariate(1.3), 7200)

    def _other(self, person: Person) -> str:
        random = self.city.random
        if person.friends and random.random() < 0.86:
            # The first friends are the dearest.
            return person.friends[min(int(random.expovariate(0.35)), len(person.friends) - 1)]
        return self.somebody().line.number if random.random() < 0.6 else self.city.stranger()

    def _call(self) -> None:
        person = self.somebody()
        self._try(person, self._other(person), 0)

    def _try(self, person: Person, callee: str, tries: int) -> None:
        city, random = self.city, self.city.random
        if city.now_s < person.free_s:
            return
        answered = random.random() < (0.68 if tries == 0 else 0.45)
        taken = city.call(person.line, callee, 3 + random.expovariate(1 / 9), self.talk_s() if answered else None)
        person.free_s = city.now_s + taken
        if answered:
            return
        other = self.by_number.get(callee)
        if other is not None and random.random() < 0.4:
            city.after(taken + random.expovariate(1 / 400), lambda: self._try(other, person.line.number, 2))
        elif tries < 3 and random.random() < 0.3:
            city.after(taken + 5 + random.expovariate(1 / 120), lambda: self._try(person, callee, tries + 1))

    def _write(self) -> None:
        person = self.somebody()
        self._say(person, self._other(person), 0)

    def _say(self, person: Person, to: str, depth: int) -> None:
        city, random = self.city, self.city.random
        city.text(person.line, to, " ".join(random.choices(WORDS, k=random.randint(1, 7))))
        other = self.by_number.get(to)
        if other is not None and depth < 6 and random.random() < 0.6:
            city.after(10 + random.expovariate(1 / 90), lambda: self._say(other, person.line.number, depth + 1))

    # -- the odd ones ------------------------------------------------------------------------------------------

    def _elder(self, line: Line) -> None:
        """Presses redial until the daughter answers."""
        city, random, callee = self.city, self.city.random, self.somebody().line.number

        def redial(left: int) -> None:
            if left:
                city.call(line, callee, 8 + random.random() * 12, None)
                city.after(22 + random.expovariate(1 / 15), lambda: redial(left - 1))
            else:
                city.call(line, callee, 6, self.talk_s() * 2)

        city.every(lambda: 5400 / city.waking(), lambda: redial(random.randint(5, 40)))

    def _rider(self, line: Line) -> None:
        """At each door a call of half a minute, to somebody who is a stranger; now and then to the shop."""
        city, random, shop = self.city, self.city.random, city_number(self.city)

        def arrive() -> None:
            if random.random() < 0.2:
                city.call(line, shop, 4, random.weibullvariate(25, 1.2))
            elif random.random() < 0.75:
                city.call(line, city.stranger(), 5 + random.random() * 10, random.weibullvariate(18, 1.1))
            else:
                city.call(line, city.stranger(), 25, None)
                city.after(35, lambda: city.text(line, city.stranger(), "문 앞에 두고 갑니다 감사합니다"))

        city.shift(10, 22, lambda: city.every(lambda: random.choice((160, 240, 420)), arrive))

    def _courier(self, line: Line) -> None:
        """A text to every house of the day before leaving, then parcels and calls."""
        city, random = self.city, self.city.random

        def morning() -> None:
            wait = 0.0
            for _ in range(random.randint(60, 220)):
                wait += 1.5 + random.expovariate(1 / 4)
                slot = random.choice(("9-11", "11-13", "13-15", "15-18"))
                city.after(wait, lambda s=slot: city.text(line, city.stranger(), f"택배 오늘 {s}시 방문 예정입니다"))
            city.every(lambda: 200, lambda: city.call(line, city.stranger(), 7, random.weibullvariate(15, 1)), wait)

        city.shift(7 + random.random() * 2, 19, morning)

    def _group(self, line: Line) -> None:
        members = [self.somebody().line.number for _ in range(self.city.random.randint(8, 35))]
        city, random = self.city, self.city.random

        def say() -> None:
            content = " ".join(random.choices(WORDS, k=random.randint(1, 12)))
            for member in members:
                city.text(line, member, content, channel="mms")

        city.every(lambda: 2400 / city.waking(), say)

    def _host(self, line: Line) -> None:
        """An invitation to everybody in the address book, in one evening."""
        city, random = self.city, self.city.random

        def invite() -> None:
            wait = 0.0
            for _ in range(random.randint(80, 350)):
                wait += random.choice((1.0, 3.0, 20.0)) * random.expovariate(1)
                city.after(
                    wait, lambda: city.text(line, city.stranger(), "저희 결혼합니다. 오셔서 축하해 주세요. 약도 첨부")
                )

        city.after(random.random() * city.hours * 2400, invite)


def city_number(city: City) -> str:
    return city.line(None, "+822", 7).number
