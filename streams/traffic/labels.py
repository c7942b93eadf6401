"""Who was who in generated traffic, and how well a run of the rules did against that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from rich.table import Table

SHOWN_EVENTS = 15  # fewer records than these say nothing about anybody


@dataclass(frozen=True)
class Label:
    """The truth about one number."""

    number: str  # E.164
    kind: str  # "subscriber", one of businesses.KINDS or of offenders.KINDS
    innocent: bool
    first_at: int  # ms, of its first record as caller or sender; 0 when it has none
    events: int  # its records as caller or sender

    @property
    def wanted(self) -> bool:
        """Whether it ought to be blocked: an offender that has shown enough of itself to be told apart."""
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
            }
        )


def write_labels(path: Path, labels: Iterable[Label]) -> None:
    """JSON lines {number, kind, innocent, first_at, events, wanted}."""
    with path.open("wb") as out:
        out.writelines(label.to_json() + b"\n" for label in labels)


def read_labels(path: Path) -> list[Label]:
    """Raises ValueError with file and line when a line is no label."""
    labels = []
    for place, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            fields = orjson.loads(line)
            fields.pop("wanted", None)
            labels.append(Label(**fields))
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}:{place}: not a label as `traffic --labels` writes them: {error}") from None
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

    def table(self) -> Table:
        """For a terminal: one line a kind."""
        from rich.table import Table

        table = Table(
            title=f"{self.caught} of {self.planted} offenders blocked, {sum(self.innocents_hit.values())} innocents"
        )
        table.add_column("kind")
        for name in ("numbers", "blocked", "median to block", "p95 to block"):
            table.add_column(name, justify="right")
        for k in self.kinds:
            style = None if k.innocent else "bold"
            if k.innocent and k.caught:
                style = "red"
            name = f"{k.kind} (innocent)" if k.innocent else k.kind
            table.add_row(name, f"{k.planted:,}", f"{k.caught:,}", _seconds(k.median_s), _seconds(k.p95_s), style=style)
        return table


def score(labels: Iterable[Label], block_events: Iterable[Mapping[str, Any] | bytes | str]) -> Score:
    """How the blocks of `block-events` compare with the truth.

    block_events: values of the topic in any order, as mappings or as JSON. A number counts as blocked from the
    earliest `from` (ms since the epoch) among its holds, whether it was released later or not."""
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


def _blocked_at(block_events: Iterable[Mapping[str, Any] | bytes | str]) -> dict[str, int]:
    first: dict[str, int] = {}
    for event in block_events:
        value = orjson.loads(event) if isinstance(event, (bytes, str)) else event
        holds = [*(value.get("holds") or ()), *([value["hold"]] if value.get("hold") else [])]
        begins = [int(h["from"]) for h in holds if "from" in h]
        if begins:
            first[value["number"]] = min([*begins, first.get(value["number"], begins[0])])
    return first


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f} s"
