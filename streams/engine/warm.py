"""Compiles every kernel that these rules need before the worker joins its group, or loads them from the cache.

The first call of a kernel compiles it, seconds each on a first start ever. In the middle of an epoch that would hold up
blocks and overrun the time that a rebalance allows, so a scratch engine sees some records first: enough of them that
tables grow, memories are swept, rows are given back and an image is loaded, since those are kernels too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import orjson

from rules.model import RuleSet
from schemas import topics
from streams.engine.engine import Engine
from streams.ingest.decode_share import decode_share
from streams.ingest.epoch import RawBatch

RECORDS = 3_000  # more than every table holds at first
START_MS = 1_700_000_000_000
MUCH_LATER_MS = 400 * 86_400_000  # longer than any counter reaches back


def warm(rules: RuleSet, *, region: str = "KR") -> None:
    engine = Engine(rules, region=region, expire_by_clock=True)
    restored = Engine(rules, region=region)
    engine.partitions = restored.partitions = 1  # known, so that strays are looked for
    epochs = [(START_MS, RECORDS), (START_MS + 1, 10), (START_MS + MUCH_LATER_MS, 10)]
    for start_ms, count in epochs:
        decoded = [
            part
            for topic in engine.topics
            if (values := _VALUES[topic](start_ms, count))
            for part in decode_share(engine, _batch(topic, values, start_ms))
        ]
        engine.step(decoded)
        for piece in engine.image(0, whole=True):
            restored.load(0, piece)
        engine.maintain()
    engine.expire(START_MS + MUCH_LATER_MS)


def _batch(topic: str, values: list[bytes | None], start_ms: int) -> RawBatch:
    n = len(values)
    order = np.arange(n)
    return RawBatch(topic, order, np.zeros(n, np.int32), start_ms + order, np.full(n, start_ms), values)


def _messages(start_ms: int, count: int) -> list[bytes | None]:
    values: list[bytes | None] = []
    for i in range(count):
        # A third from one sender, so that its counters grow out of their small forms.
        sender = "+821000000000" if i % 3 == 0 else f"+82101{i:07d}"
        record: dict[str, object] = {
            "message_id": f"m{start_ms}-{i}", "at": start_ms + i, "sender": sender, "recipient": f"+82102{i:07d}",
            "relay": "r", "reseller": "s", "account": "a", "carrier": "c", "channel": "sms",
            "origin": "international" if i % 2 else "domestic", "verified": "full", "text": f"text {i % 50}",
            "content_hash": f"{i % 50}",
        }  # fmt: skip
        values.append(orjson.dumps(record))
    values.append(b"{}")  # a dead letter
    return values


def _calls(start_ms: int, count: int) -> list[bytes | None]:
    values: list[bytes | None] = []
    for i in range(count):
        call: dict[str, object] = {
            "call_id": f"c{start_ms}-{i // 2}", "caller": "+827000000000" if i % 3 == 0 else f"+82101{i // 2:07d}",
            "callee": f"+82102{i:07d}", "relay": "r", "carrier": "c", "origin": "domestic", "verified": "full",
        }  # fmt: skip
        setup, release = start_ms + i, start_ms + i + 5
        if i % 10 == 9:
            call |= {"event": "complete", "at": release, "setup_at": setup, "answer_at": setup, "release_at": release}
        else:
            call |= {"event": ("setup", "answer", "release")[i % 3], "at": setup}
        values.append(orjson.dumps(call))
    return values


_VALUES: dict[str, Callable[[int, int], list[bytes | None]]] = {topics.MESSAGE_RELAY: _messages, topics.CDR: _calls}
