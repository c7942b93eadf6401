"""A topic that the product does not have: a network's probes were pinged by a number. Steps as in CONTRIBUTING.md."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from schemas import codes, export, feeds, subjects, topics
from schemas.records import Id, Origin, Phone, Time, Verified

PINGS = "pings"


class Ping(Struct, kw_only=True, omit_defaults=True):
    ping_id: Id
    at: Time
    number: Phone
    probe: Phone
    site: Id | None = None
    strength: Literal["weak", "strong"] | None = None
    origin: Origin | None = None
    verified: Verified | None = None


EXAMPLE = {
    "ping_id": "p-1", "at": 1795312800000, "number": "+821011110001", "probe": "02-999-0001", "site": "s1",
    "strength": "weak", "origin": "domestic", "verified": "full",
}  # fmt: skip


def register() -> None:
    """The steps of CONTRIBUTING.md, without the documents. Its field with the number is called as another topic's."""
    topics.TOPICS[PINGS] = topics.TopicSpec(
        PINGS, True, {"cleanup.policy": "delete", "retention.ms": str(topics.DAY_MS)}, "input: pings, keyed by number"
    )
    feeds.register(
        feeds.InputTopic(
            PINGS, 77, f"{__name__}:Ping", id="ping_id", number="number", peer="probe",
            events=("ping",),
            choices={"origin": codes.ORIGINS, "verified": codes.VERIFIED, "strength": ("", "weak", "strong")},
            distinct=("probe", "site"),
            missing={"site": "without it no rule sees how far a number gets round"},
        )
    )  # fmt: skip
    export.PUBLISHED[PINGS] = (Ping, EXAMPLE)
    subjects.SUBJECTS["site"] = subjects.Subject("site", ("site",))
