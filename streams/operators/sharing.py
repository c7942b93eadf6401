"""Numbers that carriers share: what a carrier publishes of its own blocks, and what it makes of others' word.

Each carrier writes entries of its own to `shared-numbers`, keyed by number and origin, and takes back what it no longer
blocks. What it heard from others it never passes on: its own word that comes back is not heard, and a block by a rule
that reads others' word is not shared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from rules.registry_file import PERIODS_MAX
from rules.sharing_file import Sharing
from schemas.json_reading import JsonReader, Unreadable
from schemas.numbers import normalise
from schemas.printable import printable
from schemas.records import SharedNumber
from schemas.registry import OWNER_MAX, REASON_MAX
from schemas.topics import SHARED_NUMBERS
from streams.ingest.epoch import OutRecord
from streams.kafka.settings import KafkaSettings

TIMEOUT_S = 10.0
COLUMNS = ("kind", "number", "owner", "reason", "since", "until", "score")

Shared = Mapping[tuple[str, str], SharedNumber]  # by (number, origin)
_ENTRY = JsonReader(SharedNumber)


def shared_numbers(settings: KafkaSettings) -> tuple[dict[tuple[str, str], SharedNumber], int]:
    """(the newest entry of each origin about each number, how many records could not be used). A record counts under
    its key. Raises KafkaProblem."""
    from streams.kafka.topics import check_inputs
    from streams.operators.spans import committed

    found: dict[tuple[str, str], SharedNumber] = {}
    unread = 0
    for message in committed(settings, SHARED_NUMBERS, range(check_inputs(settings, [SHARED_NUMBERS], TIMEOUT_S))):
        number, _, origin = (message.key() or b"").decode("utf-8", "replace").partition("/")
        if message.value() is None:
            found.pop((number, origin), None)
            continue
        try:
            entry = _ENTRY.read(message.value())
        except Unreadable:
            unread += 1
            continue
        if (entry.number, entry.origin) != (number, origin) or normalise(number).text != number:
            unread += 1
            continue
        found[number, origin] = entry
    return found, unread


def confident(states: Iterable[Mapping[str, Any]], sharing: Sharing, now_ms: int) -> dict[str, SharedNumber]:
    """By number, what we are confident of. states: of blocked numbers, values of `block-events`."""
    out = {}
    for state in states:
        holds = [
            (hold, sharing.share[hold["rule"]])
            for hold in state.get("holds") or ()
            if hold["rule"] in sharing.share and hold["until"] > now_ms and not hold.get("from_others")
        ]
        sure = [(hold, told) for hold, told in holds if told.confidence >= sharing.at_least]
        if sure:
            _, best = max(sure, key=lambda one: (one[1].confidence, one[0]["rule"]))
            first = min(sure, key=lambda one: (one[0]["from"], one[0]["rule"]))[0]
            until_ms = max(hold["until"] for hold, _ in sure)
            out[state["number"]] = SharedNumber(
                event_id=first["block_id"], number=state["number"], origin=sharing.origin, confidence=best.confidence,
                category=best.category, since=first["from"], until=until_ms,
            )  # fmt: skip
    return out


def to_write(
    shared: Shared, confident: Mapping[str, SharedNumber], origin: str, now_ms: int
) -> Iterator[tuple[str, OutRecord]]:
    """(published, withdrawn or forgotten, record) of each entry of ours that the topic does not have so. An entry that
    is over is forgotten."""
    for number, entry in sorted(confident.items()):
        if shared.get((number, origin)) != entry:
            yield "published", _record(entry)
    for (number, of), entry in sorted(shared.items()):
        if of != origin or number in confident:
            continue
        if entry.until <= now_ms:
            yield "forgotten", OutRecord(SHARED_NUMBERS, _key(entry), None)
        elif not entry.withdrawn:
            yield "withdrawn", _record(msgspec.structs.replace(entry, withdrawn=True))


def heard(shared: Shared, sharing: Sharing, now_ms: int) -> dict[str, list[SharedNumber]]:
    """By number, the words of others whom we trust that are in force or to come."""
    out: dict[str, list[SharedNumber]] = {}
    for (number, origin), entry in sorted(shared.items()):
        if origin != sharing.origin and origin in sharing.trust and not entry.withdrawn and entry.until > now_ms:
            out.setdefault(number, []).append(entry)
    return out


def registry_rows(number: str, entries: list[SharedNumber], sharing: Sharing) -> Iterator[tuple[str, ...]]:
    """The rows of a registry file about a number, as COLUMNS: one for each period in which the same words are in force.
    The score is the chance that at least one of them is right, were each as right as its origin says and we trust."""
    ends = sorted({entry.until for entry in entries})[:PERIODS_MAX]  # words that go on longer end with the last
    since_ms: int | None = None
    for until_ms in ends:
        mine = [entry for entry in entries if entry.until >= until_ms]
        parts = [entry.confidence * sharing.trust[entry.origin] for entry in mine]
        score = 1 - math.prod(1 - part for part in parts)
        # Escaped before they are cut, since an escape is longer, and a file with an entry too long is refused whole.
        owner = printable(" ".join(entry.origin for entry in mine))[:OWNER_MAX]
        words = [f"{e.origin}: {e.category} {e.confidence:g} x {sharing.trust[e.origin]:g}" for e in mine]
        reason, since = printable("; ".join(words))[:REASON_MAX], "" if since_ms is None else str(since_ms)
        yield "shared", number, owner, reason, since, str(until_ms), f"{max(score, 0.0001):.4f}"
        since_ms = until_ms


def _record(entry: SharedNumber) -> OutRecord:
    return OutRecord(SHARED_NUMBERS, _key(entry), msgspec.json.encode(entry))


def _key(entry: SharedNumber) -> bytes:
    return f"{entry.number}/{entry.origin}".encode()
