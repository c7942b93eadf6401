"""The made pilot: its reports are as many as were published, labelled, and the same for a seed; its score adds up."""

from __future__ import annotations

from collections import Counter

import pytest

from bench import pilot as bench
from rules.load import load, witnesses
from schemas.feeds import FEEDS
from schemas.topics import REPORTS
from streams.ingest.decode import Decoder
from streams.traffic.pilot import KINDS, REPORTS_MADE, Pilot

SIZE = 0.03


@pytest.fixture(scope="module")
def pilot() -> Pilot:
    return Pilot(5, SIZE)


def test_it_makes_as_many_reports_as_were_published_and_labels_each():
    assert REPORTS_MADE == 145_027
    small = Pilot(5, SIZE)
    labels = list(small.report_labels())
    told = [record for record in small.records() if record.topic == REPORTS]
    assert len(labels) == len(told) == round(REPORTS_MADE * SIZE)
    assert [label.report_id.encode() in record.value for label, record in zip(labels, told, strict=True)].count(
        False
    ) == 0
    shares = {kind: count / len(labels) for kind, count in Counter(label.kind for label in labels).items()}
    assert set(shares) == set(KINDS)
    assert 0.13 < shares["duplicate"] < 0.17


def test_a_seed_gives_the_same_bytes_and_another_does_not(pilot: Pilot):
    def first(of: Pilot) -> list[bytes]:
        return [record.value for record, _ in zip(of.records(), range(2_000), strict=False)]

    assert first(Pilot(5, SIZE)) == first(Pilot(5, SIZE))
    assert first(Pilot(6, SIZE)) != first(Pilot(5, SIZE))


def test_its_records_come_in_the_order_of_time_and_can_all_be_read():
    engine_topics = {name: Decoder(name, frozenset(), "KR") for name in FEEDS}
    before = 0
    for records in bench.epochs_of(Pilot(7, SIZE).records()):
        for record in records:
            assert record.timestamp_ms >= before
            before = record.timestamp_ms
        for batch in bench.batches(records):
            assert not engine_topics[batch.topic].decode(batch).dead_letters


def test_the_pack_blocks_offenders_and_nobody_on_the_allow_list():
    tally = bench.Tally()
    bench.run(load([witnesses() / "reports.yaml"]), Pilot(8, SIZE), tally)
    assert tally.sum(False, "blocked") > 60
    assert tally.sum(True, "blocked") <= 5
    assert not tally.allowed_blocked
    said = bench.text(tally, [8], "v")
    assert f"{tally.sum(False, 'blocked') + tally.sum(True, 'blocked')} numbers" in said
    assert set(tally.kinds) <= {word for line in said.splitlines() for word in line.split()}
