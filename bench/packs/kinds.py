"""The kinds of number: the goal that each is measured by, and how common it is.

`per_100k` is how many of 100,000 numbers that are active on a day are of the kind. Korea has some 80 million active
numbers (56 million mobile lines, the rest landlines and VoIP); few of the figures are published, the others are rough:
right within a factor of three or so, and said to be. They weigh innocents only."""

from __future__ import annotations

from dataclasses import dataclass

# Goals by kind (in order of the tables): what must be reached, in words.
GOALS = {
    "machine": "machine-paced, vouched for: blocked >= 0.98, half within 25 contacts or 60 s",
    "patient": "patient, slow, padded, just under a limit: blocked >= 0.9, half within 60 contacts",
    "gang": "series, SIM boxes: >= 0.9 of the gang's contacts prevented from its third number on",
    "content": "content-borne: blocked >= 0.9, half within 25 contacts",
    "unvouched": "identity not vouched for: review or block at the ingress >= 0.98, no owner's line cut",
}
LEAST = {"machine": 0.98, "patient": 0.9, "gang": 0.9, "content": 0.9, "unvouched": 0.98}
CONTACTS = {"machine": 25, "patient": 60, "content": 25}
SECONDS = {"machine": 60}  # will do in place of it: more contacts in so little time are 25 a minute and more


@dataclass(frozen=True)
class Facts:
    """goal: a key of GOALS for offenders; for innocents `ordinary`, `person` or `business`."""

    goal: str
    per_100k: float = 0.0
    source: str = "rough"


def _of(goal: str, *names: str) -> dict[str, Facts]:
    return {name: Facts(goal) for name in names}


OFFENDERS = {
    **_of("machine", "burst_dialler", "simultaneous_dialler", "short_call_dialler", "robodialler", "one_ring",
          "infected_telephone"),
    **_of("machine", "international_bulk", "one_ring_abroad"),
    **_of("patient", "patient_dialler", "sudden_dialler", "dialler_abroad", "careful_dialler", "slow_dialler",
          "padded_dialler", "weekend_dialler", "steady_abroad", "slow_abroad"),
    **_of("gang", "series_member", "series_dialler", "series_texts", "sim_box", "sim_box_texts"),
    **_of("content", "fake_payment", "trusted_relative", "quiet_relative", "payment_domestic"),
    **_of("unvouched", "forged_sender", "web_sender", "unvouched_dialler", "unvouched_texts", "spoofing_dialler",
          "desk"),
}  # fmt: skip
INNOCENTS = {
    "subscriber": Facts("ordinary", 97_000, "what the others leave"),
    "ported": Facts("person", 500, "of the many who took their number with them, those who are as busy"),
    "roamer": Facts("person", 250, "some 2 million Koreans travel abroad a month, for five days"),
    "elderly_redialler": Facts("person", 200),
    "group_chat": Facts("person", 500),
    "wedding_host": Facts("person", 3, "some 200,000 weddings and 350,000 funerals a year"),
    "volunteer": Facts("person", 30),
    "spoofed_owner": Facts("person", 2),
    "rider": Facts("person", 300, "some 240,000 riders"),
    "courier": Facts("person", 60, "some 60,000 couriers, with the next"),
    "courier_texts": Facts("person", 20),
    "sales_agent": Facts("business", 60, "some 400,000 insurance agents, of whom few call lists of strangers"),
    "machine": Facts("business", 300),
    "alarm_system": Facts("business", 60),
    "exchange": Facts("business", 100, "some 80,000 firms of 20 people and more"),
    "hospital_line": Facts("business", 15, "some 4,000 hospitals and the larger of 70,000 clinics"),
    "hospital": Facts("business", 10, "clinics that write reminders, with the next"),
    "clinic_reminder": Facts("business", 20),
    "bank": Facts("business", 1),
    "call_centre": Facts("business", 1, "with the next"),
    "outbound_centre": Facts("business", 2),
    "taxi_dispatch": Facts("business", 0.7),
    "opinion_poll": Facts("business", 0.2, "some 90 registered pollsters"),
    "debt_collector": Facts("business", 5),
    "fax_server": Facts("business", 2),
    "voice_broadcast": Facts("business", 0.2),
    "service_desk": Facts("business", 40),
    "text_broadcast": Facts("business", 5),
    "school_notice": Facts("business", 25, "some 12,000 schools and 8,000 kindergartens"),
    "academy": Facts("business", 80, "some 80,000 private academies"),
    "web_shop": Facts("business", 150),
    "code_service": Facts("business", 0.1),
    "desk_abroad": Facts("business", 0.5),
    "broken_phone": Facts("person", 40, "some 30,000 telephones are broken a day"),
    "card_company": Facts("business", 0.2),
    "import_shop": Facts("business", 4),
    "invitation": Facts("person", 3, "as `wedding_host`"),
}
KINDS: dict[str, Facts] = {**OFFENDERS, **INNOCENTS}
# Kinds of another generator that say nothing of themselves.
UNKNOWN_OFFENDER, UNKNOWN_INNOCENT = Facts("machine"), Facts("business", 0.0, "not in the table")
