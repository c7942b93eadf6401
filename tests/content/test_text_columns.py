"""Features of texts as columns, and rules that read them."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from rules.load import load_text
from schemas import codes
from schemas.features import FEATURE_CHOICES, FEATURES
from schemas.topics import BLOCK_EVENTS, CDR, MESSAGE_RELAY, REPORTS, TRAPS
from streams.engine.engine import Engine
from streams.ingest.decode import Decoder
from streams.ingest.epoch import RawBatch
from streams.ingest.fields import record_fields, text_features

AT_MS = 1_794_790_800_000
MUM = "엄마 나 폰 액정이 나갔어 이 번호로 답장 줘 010-1234-5678"
PAYMENT = "[국제발신] 해외 승인 959,000원 (1234) 고객센터 02-830-1234 http://bit.ly/a"
PLAIN = "오늘 저녁 뭐 먹지"
RULES = """
counters:
  parents: {on: message-relay, per: sender, distinct: recipient, window: 1d, where: imposture == "relative"}
  ways:    {on: message-relay, per: sender, distinct: pattern, window: 1d}
  dear:    {on: message-relay, per: sender, count: events, window: 1d, where: amount >= 900000}
rules:
  - name: a-child-of-many
    summary: writes to many as the child of each
    when: parents >= 3 and ways <= 2 and implied_type == "mobile" and dear == 0
    then: {block: [messages], directions: [outgoing], for: 1d}
    mode: enforce
"""


def message(i: int, text: str | None, **more: Any) -> bytes:
    said = {} if text is None else {"text": text}
    return orjson.dumps(
        {"message_id": f"m{i}", "at": AT_MS + 1000 * i, "sender": "+821022223333", "recipient": f"+8210555500{i:02d}",
         "verified": "full", "origin": "domestic"} | said | more
    )  # fmt: skip


def raw(values: list[bytes], topic: str = MESSAGE_RELAY) -> RawBatch:
    order = np.arange(len(values))
    return RawBatch(topic, order, np.zeros(len(values), np.int32), order, AT_MS + 1000 * order, list(values))


def columns(values: list[bytes], features: tuple[str, ...] = FEATURES) -> dict[str, list[int]]:
    decoder = Decoder(MESSAGE_RELAY, frozenset({"text"}), features=frozenset(features))
    found = decoder.decode(raw(values)).columns
    return {name: found[name].tolist() for name in features}


def named(name: str, code: int) -> str:
    return FEATURE_CHOICES[name][code]


def test_a_text_fills_the_columns_of_its_features() -> None:
    found = columns([message(0, MUM), message(1, PAYMENT), message(2, PLAIN), message(3, None)])
    of = {name: [named(name, code) for code in found[name]] for name in FEATURE_CHOICES}
    assert of == {
        "imposture": ["relative", "payment", "none", ""],
        "implied_type": ["mobile", "landline", "none", ""],
        "messenger": ["none", "none", "none", ""],
        "url_risk": ["none", "shortener", "none", ""],
    }
    assert found["amount"] == [0, 959_000, 0, 0]
    assert [value != 0 for value in found["pattern"]] == [True, True, False, False]
    assert [value != 0 for value in found["implied"]] == [True, True, False, False]
    assert 821012345678 not in found["implied"]


def test_a_record_that_is_read_exactly_has_the_same_features_as_one_that_kernels_read() -> None:
    for text in (MUM, PAYMENT, PLAIN):
        fast = message(0, text)
        escaped = fast.replace(text.encode(), b"".join(b"\\u%04x" % ord(c) for c in text))
        assert escaped != fast
        assert columns([fast]) == columns([escaped])


def test_only_the_features_that_rules_read_are_read() -> None:
    rules = load_text(RULES)
    assert text_features(rules, MESSAGE_RELAY) == {"imposture", "pattern", "amount", "implied_type"}
    assert "text" in record_fields(rules, MESSAGE_RELAY)
    assert text_features(rules, CDR) == text_features(rules, REPORTS) == text_features(rules, TRAPS) == frozenset()
    assert "imposture" not in Decoder(MESSAGE_RELAY, frozenset({"text"})).decode(raw([message(0, MUM)])).columns


@pytest.mark.parametrize(("texts", "blocked"), [([MUM] * 3, True), ([MUM] * 2, False), ([PLAIN] * 9, False),
                                                ([MUM, PAYMENT, MUM, MUM], False)])  # fmt: skip
def test_a_rule_blocks_by_what_texts_say(texts: list[str], blocked: bool) -> None:
    engine = Engine(load_text(RULES))
    values = [message(i, text) for i, text in enumerate(texts)]
    outcome = engine.step([engine.decoders[MESSAGE_RELAY].decode(raw(values))])
    assert any(record.topic == BLOCK_EVENTS for record in outcome.records) == blocked


def test_the_sender_s_own_number_is_not_implied() -> None:
    found = columns([message(0, PAYMENT, sender="02-830-1234"), message(1, PAYMENT)])
    assert [codes.IMPOSTURES[code] for code in found["imposture"]] == ["none", "payment"]


def test_reports_and_traps_have_texts_too() -> None:
    report = orjson.dumps(
        {"report_id": "r", "at": AT_MS, "number": "+821022223333", "reporter": "+821055550000", "text": MUM}
    )
    hit = orjson.dumps({"at": AT_MS, "sender": "+821022223333", "trap": "+82260000000", "depth": "full", "text": MUM})
    for topic, value in ((REPORTS, report), (TRAPS, hit)):
        decoder = Decoder(topic, frozenset({"text"}), features=frozenset({"imposture"}))
        assert named("imposture", int(decoder.decode(raw([value], topic)).columns["imposture"][0])) == "relative"
