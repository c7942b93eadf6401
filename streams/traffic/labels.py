"""The labels of generated traffic, and the score of a run of the rules against them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import orjson

from schemas.json_reading import Int64, JsonReader

SHOWN_EVENTS = 15  # fewer records than these say nothing about anybody


@dataclass(frozen=True)
class Label:
    """The truth about one number."""

    number: str  # E.164
    kind: str  # "subscriber", or what a planted number does: one of the KINDS of this package's modules
    innocent: bool
    first_at: Int64  # ms, of its first record as caller or sender; 0 when it has none
    events: Int64  # its records as caller or sender
    gang: str = ""  # the same for numbers that one gang uses

    @property
    def wanted(self) -> bool:
        """True if it ought to be blocked: an offender with enough records to be recognised."""
        return not self.innocent and self.events >= SHOWN_EVENTS

    def to_json(self) -> bytes:
        return orjson.dumps(
            {
                "number": self.number,
                "kind": self.kind,
                "innocent": self.innocent,
                "first_at": self.first_at,
                "events": self.events,
                "wanted": self.wanted,
                "gang": self.gang,
            }
        )


def write_labels(path: Path, labels: Iterable[Label]) -> None:
    """JSON lines {number, kind, innocent, first_at, events, wanted, gang}."""
    with path.open("wb") as out:
        out.writelines(label.to_json() + b"\n" for label in labels)


def read_labels(path: Path) -> list[Label]:
    """Raises ValueError with file and line when a line is no label, or there is none."""
    labels = []
    for line_number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            labels.append(_LABEL.read(line))
        except ValueError as error:
            raise ValueError(f"{path}:{line_number}: not a label as `traffic --labels` writes them: {error}") from None
    if not labels:
        raise ValueError(f"{path}: holds no label")
    return labels


@dataclass(frozen=True)
class KindScore:
    """One kind of number. Of an innocent kind, `caught` are the innocents hit."""

    kind: str
    innocent: bool
    planted: int  # how many numbers of the kind acted (innocent) or are wanted (offenders)
    caught: int
    median_s: float | None  # from first event to block, of those caught
    p95_s: float | None


@dataclass(frozen=True)
class Score:
    kinds: tuple[KindScore, ...]  # offenders first, each as they first occur in the labels
    unknown: int  # blocked numbers that no label names

    @property
    def planted(self) -> int:
        return sum(k.planted for k in self.kinds if not k.innocent)

    @property
    def caught(self) -> int:
        return sum(k.caught for k in self.kinds if not k.innocent)

    @property
    def innocents_hit(self) -> dict[str, int]:
        return {k.kind: k.caught for k in self.kinds if k.innocent and k.caught}

    def to_dict(self) -> dict[str, Any]:
        return {
            "planted": self.planted, "caught": self.caught, "innocents_hit": self.innocents_hit,
            "unknown": self.unknown, "kinds": [asdict(k) for k in self.kinds],
        }  # fmt: skip


def score(labels: Iterable[Label], block_events: Iterable[bytes]) -> Score:
    """Compares the blocks of `block-events` with the truth.

    block_events: values of the topic in any order. A number counts as blocked from the earliest `from` (ms since the
    epoch) among its holds, whether it was released later or not. Raises Unreadable."""
    blocked_at = _blocked_at(block_events)
    groups: dict[tuple[bool, str], list[Label]] = {}
    known = set()
    for label in labels:
        known.add(label.number)
        groups.setdefault((label.innocent, label.kind), []).append(label)
    ordered = sorted(groups.items(), key=lambda item: item[0][0])
    kinds = tuple(_kind_score(kind, innocent, group, blocked_at) for (innocent, kind), group in ordered)
    return Score(kinds, sum(number not in known for number in blocked_at))


def _kind_score(kind: str, innocent: bool, group: list[Label], blocked_at: dict[str, int]) -> KindScore:
    # An offender blocked before it is wanted counts as planted as well: it was caught early, not by mistake.
    counted = [g for g in group if g.number in blocked_at or (g.events > 0 if innocent else g.wanted)]
    delays = sorted((blocked_at[g.number] - g.first_at) / 1000 for g in counted if g.number in blocked_at)
    if not delays:
        return KindScore(kind, innocent, len(counted), 0, None, None)
    p95 = delays[min(len(delays) - 1, -(-len(delays) * 95 // 100) - 1)]
    return KindScore(kind, innocent, len(counted), len(delays), median(delays), p95)


def _blocked_at(block_events: Iterable[bytes]) -> dict[str, int]:
    first: dict[str, int] = {}
    for event in block_events:
        value = _BLOCKED.read(event)
        begins = [h.from_ for h in (*value.holds, value.hold) if h is not None and h.from_ is not None]
        if begins:
            first[value.number] = min([*begins, first.get(value.number, begins[0])])
    return first


class _Held(msgspec.Struct):
    from_: Int64 | None = msgspec.field(default=None, name="from")


class _Blocked(msgspec.Struct):
    number: str
    hold: _Held | None = None
    holds: list[_Held] = []


_LABEL, _BLOCKED = JsonReader(Label), JsonReader(_Blocked)
