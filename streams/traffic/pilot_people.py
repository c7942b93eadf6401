"""The people of a pilot (streams/traffic/pilot.py): how the numbers behave that citizens report, rightly or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
UNANSWERED = -1


@dataclass
class Acts:
    """n contacts of one number, in the order of their times."""

    at: np.ndarray  # int64, ms
    is_message: np.ndarray  # bool
    talk_ms: np.ndarray  # int64; UNANSWERED for a call that nobody answered, 0 for messages
    vouched: np.ndarray  # bool: somebody vouches for the number; the others are forged, or come from abroad
    peer: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(frozen=True)
class Story:
    """A kind of number. share: of all offenders, or so many innocents in a whole pilot. acts: its contacts, from the
    midnight of its first day. regulars: the part of its contacts that are to one and the same. reported: from so many
    to so many reports, of the people that it reached if it `annoys` them, else of people with a grudge: `reporters` of
    them different, of whom the network knows the handset of a part `known`, `within_h` hours; `brigaded`, of accounts
    that come again. floods: thousands of reports are made of it. trapped: the part of its contacts that also reach a
    honeypot. listed: its kind of entry in the registry."""

    kind: str
    innocent: bool
    share: float
    lines: tuple[str, ...]
    acts: Callable[[np.random.Generator, int], Acts]
    regulars: float = 0.0
    reported: tuple[int, int] = (0, 0)
    annoys: bool = False
    reporters: float = 1.0
    known: float = 0.85
    within_h: int = 12
    brigaded: bool = False
    floods: bool = False
    trapped: float = 0.0
    listed: str = ""


@dataclass
class Person:
    number: int
    story: Story
    begin_ms: int
    acts: Acts = field(init=False)


Draw = Callable[[np.random.Generator, int], Acts]


def working(
    pace: tuple[float, float], hours: tuple[float, float], days: tuple[int, ...], messages: float,
    answered: float = 0.9, talk_s: float = 90.0, spread: float = 0.9, vouched: float = 1.0,
) -> Draw:  # fmt: skip
    """Contacts of working days: each day so many hours at so many an hour, from some time of the morning on. days: a
    life in days, one of these. messages: the part of contacts that are messages."""

    def draw(rng: np.random.Generator, begin_ms: int) -> Acts:
        parts = []
        for day in range(int(rng.choice(days))):
            length = rng.uniform(*hours) * HOUR_MS
            first = begin_ms + day * DAY_MS + int(rng.uniform(8.5, 14.0) * HOUR_MS)
            some = rng.poisson(rng.uniform(*pace) * length / HOUR_MS)
            parts.append(first + rng.integers(0, max(int(length), 1), some))
        at = np.sort(np.concatenate(parts))
        n = len(at)
        talk = rng.lognormal(np.log(talk_s), spread, n) * 1000
        talk = np.where(rng.random(n) < answered, np.minimum(talk, 2 * HOUR_MS), UNANSWERED).astype(np.int64)
        is_message = rng.random(n) < messages
        return Acts(at, is_message, np.where(is_message, 0, talk), rng.random(n) < vouched)

    return draw


def _forged(own: Draw, forger: Draw) -> Draw:
    """The owner's own contacts and those of somebody who forges his number."""

    def draw(rng: np.random.Generator, begin_ms: int) -> Acts:
        both = own(rng, begin_ms), forger(rng, begin_ms)
        columns = [np.concatenate([getattr(one, name) for one in both]) for name in ("at", "is_message", "talk_ms")]
        vouched = np.concatenate([both[0].vouched, np.zeros(len(both[1].at), np.bool_)])
        order = np.argsort(columns[0], kind="stable")
        at, is_message, talk_ms = (column[order] for column in columns)
        return Acts(at, is_message, talk_ms, vouched[order])

    return draw


def _unseen(acts: Draw) -> Draw:
    """Contacts that no feed tells: a number that texts ask to call, or one of another network."""

    def draw(rng: np.random.Generator, begin_ms: int) -> Acts:
        found = acts(rng, begin_ms)
        some = rng.random(len(found.at)) < 0.03
        return Acts(found.at[some], found.is_message[some], found.talk_ms[some], np.zeros(int(some.sum()), np.bool_))

    return draw


LIFE = (1,) * 58 + (2,) * 22 + (4,) * 20  # days; 58 % of criminal numbers live one
SHORT = {"answered": 0.6, "talk_s": 12.0}
PRIVATE = working((0.4, 1.6), (8, 12), (2,), messages=0.6, talk_s=100)
SHOP = working((25, 70), (2, 6), (5,), messages=0.9)

OFFENDERS = (
    Story("relative", False, 0.34, ("mobile",), working((25, 80), (2, 8), LIFE, messages=1.0), trapped=0.01),
    Story("dialler", False, 0.26, ("mobile", "voip", "landline"),
          working((20, 60), (2, 8), LIFE, messages=0.0, **SHORT), trapped=0.01),
    Story("patient", False, 0.11, ("mobile", "voip"), working((5, 13), (6, 9), (3, 5, 7), messages=0.4, **SHORT),
          trapped=0.01),
    Story("payment_from_abroad", False, 0.19, ("foreign",),
          working((30, 90), (1, 5), LIFE, messages=1.0, vouched=0.0), trapped=0.01),
    Story("unseen", False, 0.10, ("mobile", "landline", "voip"),
          _unseen(working((30, 60), (2, 6), LIFE, messages=0.0, **SHORT))),
)  # fmt: skip

INNOCENTS = (
    Story("subscriber", True, 200, ("mobile",), PRIVATE, regulars=0.3, reported=(1, 2)),
    Story("recycled", True, 300, ("mobile",), PRIVATE, regulars=0.3, reported=(1, 3), within_h=48),
    Story("courier", True, 150, ("mobile",), working((25, 45), (4, 8), (5,), messages=0.4, talk_s=35), annoys=True,
          reported=(0, 3)),
    Story("sales_agent", True, 40, ("mobile", "voip"),
          working((12, 25), (5, 8), (5,), messages=0.1, answered=0.6, talk_s=50, spread=1.2), annoys=True,
          reported=(2, 12)),
    Story("shop", True, 40, ("landline", "voip"), SHOP, annoys=True, reported=(0, 6)),
    Story("service_abroad", True, 40, ("foreign",), working((20, 60), (4, 10), (5,), messages=0.9, vouched=0.0),
          annoys=True, reported=(0, 4)),
    Story("registered_notice", True, 40, ("landline", "voip"), working((150, 400), (1, 3), (2,), messages=1.0),
          annoys=True, reported=(20, 50), listed="bulk_sender"),
    Story("hospital", True, 10, ("landline",), working((60, 150), (8, 9), (3,), messages=0.1), reported=(5, 30),
          listed="institution"),
    Story("spoofed_owner", True, 150, ("mobile",),
          _forged(PRIVATE, working((40, 90), (2, 6), (1,), messages=1.0)), annoys=True, reported=(3, 30)),
    Story("grudge", True, 100, ("mobile",), PRIVATE, regulars=0.3, reported=(10, 50), reporters=0.0),
    Story("brigaded_person", True, 100, ("mobile",), PRIVATE, regulars=0.3, reported=(5, 60), known=0.6, brigaded=True),
    Story("brigaded_shop", True, 20, ("landline", "voip"), SHOP, reported=(5, 60), known=0.6, brigaded=True),
    Story("flooded_person", True, 7, ("mobile",), PRIVATE, regulars=0.3, floods=True),
    Story("flooded_shop", True, 4, ("landline", "voip"), SHOP, floods=True),
    Story("flooded_allowed", True, 4, ("mobile", "voip"), SHOP, floods=True, listed="allowed"),
    Story("flooded_hospital", True, 2, ("landline",), working((60, 150), (8, 9), (3,), messages=0.1), floods=True,
          listed="institution"),
)  # fmt: skip
