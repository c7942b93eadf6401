"""The meaning of each of Kafka's error codes."""

from __future__ import annotations

from collections import Counter

from confluent_kafka import KafkaError

from streams.kafka.errors import _CODES, Meaning, meaning_of, passes


def test_each_code_has_one_meaning() -> None:
    listed = Counter(code for codes in _CODES.values() for code in codes)
    assert [KafkaError(code).name() for code, times in listed.items() if times > 1] == []


def test_each_meaning_but_the_unknown_one_has_codes() -> None:
    assert set(_CODES) == set(Meaning) - {Meaning.OTHER}


def test_a_code_that_nobody_listed_does_not_pass() -> None:
    error = KafkaError(KafkaError.INVALID_CONFIG)
    assert meaning_of(error) is Meaning.OTHER
    assert not passes(error)
    assert passes(KafkaError(KafkaError._TRANSPORT))
    assert not passes(KafkaError(KafkaError.ILLEGAL_GENERATION)), "a rebalance is no outage"
