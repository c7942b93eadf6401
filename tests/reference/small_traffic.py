"""Small random traffic with everything in it that a feed may do: as Hypothesis draws it, for replay and reference."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from schemas.topics import CDR, CONTROL, MESSAGE_RELAY, REPORTS, TRAPS
from tests.reference.orders import ACTIONS
from tests.reference.reference import Line

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
MONDAY_0859_MS = 1_794_787_140_000  # 2026-11-16T08:59+09:00
STARTS = (MONDAY_0859_MS, MONDAY_0859_MS + 9 * HOUR, MONDAY_0859_MS + 15 * HOUR + MINUTE, MONDAY_0859_MS - 48 * HOUR)

NUMBERS = (
    "+821011110001", "010-1111-0001", "009 82 10 1111 0001", "+821011110002", "+827011110003", "+12025550123",
    "00612025550123", "02-555-0001", "1588-9999", "030-1234-5678", "114", "ACME", "anonymous",
)  # fmt: skip
BROKEN = (None, b"", b"{", b"[]", b'{"at":1}', b'{"message_id":"x","call_id":"x"}', b"\xff\xfe", b'{"a":"\\ud800"}')

# Steps between records, and how far `at` and the Kafka timestamp stand from the moment of arrival.
STEPS = (0, 0, 0, 1, 999, SECOND, 5 * SECOND, 20 * SECOND, MINUTE, 10 * MINUTE, HOUR, 2 * HOUR, 26 * HOUR)
AT = (0, 0, 0, 0, 0, -SECOND, -59 * SECOND, -MINUTE, -10 * MINUTE, -HOUR, -HOUR - 1, -2 * HOUR,
      5 * MINUTE, 5 * MINUTE + 1, HOUR)  # fmt: skip
TIMESTAMPS = (0, 0, 0, 0, None, -SECOND)
SPANS = (0, 1, SECOND, 9 * SECOND, 30 * SECOND, 61 * SECOND, 10 * MINUTE, HOUR + SECOND)


def few(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


OPTIONAL = st.fixed_dictionaries(
    {},
    optional={
        "origin": few("domestic", "international", "roaming", "web", None),
        "verified": few("full", "full", "full", "partial", "none", None),
        "carrier": few("SKT", "KT"),
        "relay": few("r1", "r2", "r3"),
    },
)
MESSAGE = st.fixed_dictionaries(
    {"message_id": few(*"abcdefghijklmnop"), "sender": few(*NUMBERS), "recipient": few(*NUMBERS)},
    optional={
        "channel": few("sms", "rcs", "kakao", "fax"),
        "text": few("hello", "한글", "h1"),
        "content_hash": few("h1", "h2"),
        "account": few("a1", "a2"),
    },
)
CALL = st.fixed_dictionaries(
    {
        "call_id": few(*"abcdefgh"),
        "event": few("setup", "setup", "answer", "release", "complete", "complete"),
        "caller": few(*NUMBERS),
        "callee": few(*NUMBERS),
        "before": few(*SPANS),
        "answered": few(True, True, False),
    }
)
REPORT = st.fixed_dictionaries(
    {"report_id": few(*"abcdefgh"), "number": few(*NUMBERS[:4]), "reporter": few(*NUMBERS)},
    optional={
        "reporter_known": few("full", "full", "none", 7),
        "kind": few("call", "message", "fax", None),
        "text": few("hello", "한글"),
        "reseller": few("s1", "s2"),
    },
)
HIT = st.fixed_dictionaries(
    {"sender": few(*NUMBERS[:6]), "trap": few(*NUMBERS[:4]), "depth": few("record", "limited", "full")},
    optional={"text": few("hello", "한글"), "source_ip": few("192.0.2.1", "192.0.2.2")},
)
ORDER = st.fixed_dictionaries(
    {
        "id": few(*(f"o{i}" for i in range(40))),
        "number": few(*NUMBERS[:2], NUMBERS[3]),
        "action": few(*ACTIONS, "reject", "register", "register"),
        "operator": few("kim", "lee"),
        "reason": few("a reason", "한글"),
    },
    optional={
        "rule": few("operator", "burst", "doubtful"),
        "lasts": few(-1, 1, MINUTE, 2 * HOUR, 200 * HOUR, 200 * HOUR),
        "begins": few(-2 * HOUR, 1, MINUTE),
        "account": few("a1", "a2"),
        "relay": few("r1"),
        "owner": few("a clinic"),
    },
)
PHONE = (MESSAGE_RELAY, CDR)
RECORD = {
    MESSAGE_RELAY: (MESSAGE, MESSAGE), CDR: (CALL, CALL), REPORTS: (REPORT, REPORT, REPORT), TRAPS: (HIT, HIT),
    CONTROL: (ORDER, ORDER),
}  # fmt: skip


def steps(topics: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    records = [few(*BROKEN), *(record for topic in topics for record in RECORD[topic])]
    return st.fixed_dictionaries(
        {
            "step": few(*STEPS),
            "at": few(*AT),
            "ts": few(*TIMESTAMPS),
            "partition": few(0, 0, 1),
            "again": few(*[False] * 15, True),
            "optional": OPTIONAL,
            "trusted": few(True, True, False),
            "record": st.one_of(records),
            "topic": few(*topics),
        }
    )


@st.composite
def traffic(draw: st.DrawFn, most: int = 40, topics: tuple[str, ...] = PHONE) -> list[Line]:
    return laid_out(draw(few(*STARTS)), draw(st.lists(steps(topics), min_size=1, max_size=most)))


def laid_out(now_ms: int, steps: list[dict[str, Any]]) -> list[Line]:
    """The steps as records, in order of arrival, with consecutive offsets; some offsets come again."""
    out: list[Line] = []
    offsets: dict[tuple[str, int], int] = {}
    for step in steps:
        now_ms += step["step"]
        ts_ms = -1 if step["ts"] is None else now_ms + step["ts"]
        topic, value = _value(step, now_ms + step["at"])
        place = topic, step["partition"]
        if not step["again"] or place not in offsets:
            offsets[place] = offsets.get(place, -1) + 1
        out.append(Line(*place, offsets[place], ts_ms, value, b"k"))
    return out


def _value(step: dict[str, Any], at_ms: int) -> tuple[str, bytes | None]:
    record = step["record"]
    if not isinstance(record, dict):
        return step["topic"], record
    if "action" in record:
        order = {**record, "at": at_ms}
        lasts, begins = order.pop("lasts", None), order.pop("begins", None)
        order |= {} if begins is None else {"since": at_ms + begins}
        return CONTROL, json.dumps(order if lasts is None else order | {"until": at_ms + lasts}).encode()
    fields = {**record, **step["optional"], "at": at_ms}
    if step["trusted"]:
        fields |= {"verified": "full", "origin": "domestic"}
    for id_name, topic in (("message_id", MESSAGE_RELAY), ("report_id", REPORTS), ("trap", TRAPS)):
        if id_name in record:
            return topic, json.dumps(fields).encode()
    before, answered = fields.pop("before"), fields.pop("answered")
    if record["event"] == "complete":
        fields |= {"setup_at": at_ms - before, "release_at": at_ms}
        if answered:
            fields["answer_at"] = at_ms - before // 2
    return CDR, json.dumps(fields).encode()


def kcat_line(line: Line) -> bytes:
    """As `kcat -J` prints it. Text only: bytes that are no UTF-8 do not survive there."""
    payload = None if line.value is None else line.value.decode("utf-8", "replace")
    return json.dumps(
        {
            "topic": line.topic, "partition": line.partition, "offset": line.offset, "tstype": "create",
            "ts": line.ts_ms, "broker": 1, "key": None if line.key is None else line.key.decode(), "payload": payload,
        }
    ).encode()  # fmt: skip


def as_printed(line: Line) -> Line:
    """A record after its way through `kcat_line`."""
    value = None if line.value is None else line.value.decode("utf-8", "replace").encode()
    return Line(line.topic, line.partition, line.offset, line.ts_ms, value, line.key)
