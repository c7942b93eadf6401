"""The second generator: the same city again for the same seed, records that fit the schemas, every kind alive."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import orjson
import pytest

from schemas import decoding
from schemas.numbers import normalise
from tests.second.city import FEEDS
from tests.second.town import town

ROOT = Path(__file__).parents[2]
PEOPLE = 1_500


@pytest.mark.parametrize("feed", FEEDS)
def test_records_fit_the_schemas_and_come_in_order_of_their_time(feed: str) -> None:
    city, records = town(3, 0.5, PEOPLE, feed=feed, each=1)
    last, events = 0, Counter[str]()
    for n, written in enumerate(records):
        assert written.at_ms >= last
        last = written.at_ms
        if n % 7 == 0:
            assert decoding.check_all(written.topic, orjson.dumps(written.record)) == []
        events[written.record.get("event", "message")] += 1
        assert written.number in city.truth
    assert city.start_s * 1000 < last < city.end_s * 1000
    assert ("complete" in events, "setup" in events) == (feed != "events", feed != "complete")


def test_every_kind_acts_within_a_day_and_a_number_is_of_one_kind() -> None:
    city, records = town(4, 3.0, 400, each=1)
    active = {city.truth[written.number].kind for written in records}
    assert {who.kind for who in city.truth.values()} == active
    kinds = {(who.kind, who.innocent) for who in city.truth.values()}
    assert len(kinds) == len({kind for kind, _ in kinds})
    assert all(normalise(number, "KR").key > 0 for number in city.truth)


def test_a_seed_is_one_city_whatever_the_order_of_hashes() -> None:
    program = (
        "import hashlib, orjson; from tests.second.town import town; d = hashlib.sha256();"
        "[d.update(orjson.dumps(list(w))) for w in town(5, 0.2, 500)[1]]; print(d.hexdigest())"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    made = hashlib.sha256()
    for written in town(5, 0.2, 500)[1]:
        made.update(orjson.dumps(list(written)))
    assert told == {made.hexdigest().encode() + b"\n"}
