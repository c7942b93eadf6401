"""The `then` of rules, and the announcements that it names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rules import catalog
from rules.document import Document, Node
from rules.model import BLOCKS, CUT_CALL, DIRECTIONS, RECOMMENDATIONS
from rules.reading import choice, choice_list, duration, entries, mapping, name, text
from schemas.subjects import SUBJECTS

RULE_NAME = r"[a-z0-9]+(-[a-z0-9]+)*"
BLOCKING = ("block", "for"), ("directions", CUT_CALL, "announcement", "origin")  # keys that are needed, and others
RECOMMENDING = ("recommend", "for"), ()
PERIODS = ("first", "again")
# The parts of an announcement, the last two of which its text must name: whoever hears it can ask for the number back.
ANNOUNCED = ("text", "contact", "legal_ground")
ANNOUNCEMENT_MAX = 500  # characters


@dataclass(frozen=True)
class Then:
    """A rule's `then`; empty where it is wrong. again_ms: the period of who does it again, 0 where it is no other."""

    block: tuple[str, ...] = ()
    directions: tuple[str, ...] = ()
    period_ms: int = 0
    again_ms: int = 0
    cut_call: bool = False
    announcement: str | None = None
    recommend: tuple[str, ...] = ()
    stop_at_origin: bool = False


def read_then(doc: Document, node: Node, about: str, announcements: Mapping[str, str | None]) -> Then:
    """about: the subject of the rule. Whom nobody can block, a rule recommends something about."""
    blocks = SUBJECTS[about].blocks is not None
    what, known = ("then", BLOCKING) if blocks else (f"`then` of a rule per {about}", RECOMMENDING)
    keys = mapping(doc, node, what, *known) or {}
    block = choice_list(doc, keys["block"], "thing to block", BLOCKS) if "block" in keys else ()
    outgoing = DIRECTIONS[:1] if blocks else ()
    directions = choice_list(doc, keys["directions"], "direction", DIRECTIONS) if "directions" in keys else outgoing
    period_ms, again_ms = _periods(doc, keys["for"], blocks) if "for" in keys else (0, 0)
    cut = choice(doc, keys[CUT_CALL], f"value of `{CUT_CALL}`", ("true", "false")) if CUT_CALL in keys else "false"
    if cut == "true" and block and "calls" not in block:
        doc.error(keys[CUT_CALL], "a call can be cut only where calls are blocked", "add `calls` to `block:`")
    named = None
    if "announcement" in keys:
        named = choice(doc, keys["announcement"], "announcement", tuple(announcements))
    said = announcements.get(named) if named is not None else None
    origin = choice(doc, keys["origin"], "value of `origin`", ("stop",)) if "origin" in keys else None
    recommend: tuple[str, ...] = ()
    if "recommend" in keys:
        recommend = choice_list(doc, keys["recommend"], "thing to recommend", RECOMMENDATIONS) or ()
    return Then(block or (), directions or (), period_ms, again_ms, cut == "true", said, recommend, origin == "stop")


def _periods(doc: Document, node: Node, can_repeat: bool) -> tuple[int, int]:
    """The period, and that of who does it again, 0 where it is no other."""
    if node.kind != "mapping" or not can_repeat:
        return _period(doc, node, "the period `for`"), 0
    periods = mapping(doc, node, "`for`", PERIODS) or {}
    first, again = (_period(doc, periods[one], f"the period `{one}`") if one in periods else 0 for one in PERIODS)
    if 0 < again <= first:
        doc.error(periods["again"], "the period `again` must be longer than `first`", "or say one period")
    return first, again


def _period(doc: Document, node: Node, what: str) -> int:
    return duration(doc, node, what, catalog.PERIOD_MS_MIN, catalog.PERIOD_MS_MAX) or 0


def read_announcements(doc: Document, node: Node) -> dict[str, str | None]:
    """Announcements to callers of a blocked number by name, each with its contact and legal ground filled in. None
    stands for one that is wrong."""
    out: dict[str, str | None] = {}
    for key, value in entries(doc, node, "`announcements`") or ():
        if name(doc, key, "an announcement", RULE_NAME, "small letters and digits joined by -"):
            out[key.text] = _announcement(doc, value)
    return out


def _announcement(doc: Document, node: Node) -> str | None:
    keys = mapping(doc, node, "an announcement", ANNOUNCED) or {}
    said = {key: text(doc, value, f"`{key}`") for key, value in keys.items()}
    announced = said.get("text")
    if announced is None or len(said) < len(ANNOUNCED):
        return None
    for key in ANNOUNCED[1:]:
        if f"{{{key}}}" not in announced:
            doc.error(keys["text"], f"the text does not say the {key.replace('_', ' ')}", f"write {{{key}}} in it")
        announced = announced.replace(f"{{{key}}}", said[key] or "")
    if len(announced) > ANNOUNCEMENT_MAX:
        doc.error(keys["text"], f"an announcement has at most {ANNOUNCEMENT_MAX} characters, not {len(announced)}")
    return announced
