"""The text of a message goes nowhere: not into state, not into evidence, not into logs."""

from __future__ import annotations

import logging

import numpy as np
import orjson
import pytest

from rules.load import load, packs
from schemas import topics
from streams.engine.engine import Engine
from streams.ingest.epoch import RawBatch

TEXT = (
    "mother my phone is broken, send money to this account: Xq7-secret-words 010-7777-8888 http://secret-host.example/a"
)
PAYMENT = "해외 승인 959,000원 고객센터 02-777-8888 카톡 아이디 secret1234"
IMPLIED = (821077778888, 8227778888)  # numbers that texts ask to call
WORDS = (b"secret-host", b"secret1234", "엄마".encode(), "해외".encode(), b"959,000", b"959000")
SECRET = b"Xq7-secret-words"
PERSON = "+821055556666"  # a recipient, whose number is no key of anything
START_MS = 1_794_790_800_000
MESSAGES = 400


def test_neither_text_nor_recipients_are_in_state_evidence_rows_or_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    engine = Engine(load([packs()]))
    engine.partitions = 1
    values: list[bytes | None] = [message(i) for i in range(MESSAGES)]
    order = np.arange(MESSAGES)
    raw = RawBatch(
        topics.MESSAGE_RELAY, order, np.zeros(MESSAGES, np.int32), order, START_MS + 1000 * order, values
    )  # fmt: skip
    outcome = engine.step([engine.decoders[topics.MESSAGE_RELAY].decode(raw)])
    assert outcome.records, "somebody was blocked or put up for review"
    kept = [*engine.image(0, whole=True), caplog.text.encode()]
    kept += [part for record in (*outcome.records, *outcome.ledger) for part in (record.key, record.value) if part]
    assert any(b"827012345678" in part for part in kept), "the sender is there, so that the search can find something"
    for part in kept:
        assert SECRET not in part
        assert PERSON[1:].encode() not in part
        assert np.int64(int(PERSON[1:])).tobytes() not in part
        for number in IMPLIED:
            assert str(number).encode() not in part
            assert np.int64(number).tobytes() not in part
        assert not [word for word in WORDS if word in part]


def message(i: int) -> bytes:
    return orjson.dumps(
        {
            "message_id": f"m{i}", "at": START_MS + 1000 * i, "sender": "+827012345678",
            "recipient": PERSON if i % 2 else f"+82105555{i:04d}", "channel": "sms", "origin": "domestic",
            "verified": "full", "text": PAYMENT if i % 3 == 0 else TEXT,
        }
    )  # fmt: skip
