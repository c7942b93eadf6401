"""A topic that the product does not have: a network's probes were pinged by a number. Steps as in CONTRIBUTING.md."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from schemas import codes, feeds, topics
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


def register() -> None:
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
