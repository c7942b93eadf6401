"""State that version 0.1.0 wrote before images had two readings (recorded): what is read of it, and what is refused."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from rules.load import load_text
from schemas import topics
from streams.counting.chunk import NewerImage
from streams.counting.image import ImageError
from streams.engine.engine import Engine
from streams.holds.breaker import Breaker
from streams.state import manifest
from streams.state.local import LocalState

TOLD: dict[str, Any] = json.loads((Path(__file__).parent / "recorded" / "state-0.1.0.json").read_text(encoding="utf-8"))
PARTITIONS = range(TOLD["partitions"])
MONTH_LATER_MS = 1_794_787_140_000 + 31 * 86_400_000


def engine_of() -> Engine:
    engine = Engine(load_text(TOLD["rules"]), breaker=Breaker(opens=20))
    engine.partitions = len(PARTITIONS)
    return engine


def images(partition: int) -> list[bytes]:
    return [b64decode(piece) for piece in TOLD["images"][str(partition)]]


@pytest.mark.parametrize("partition", PARTITIONS)
def test_an_older_image_is_refused_whole_in_words_with_the_way_out(partition: int) -> None:
    engine, untouched = engine_of(), engine_of()
    assert images(partition)
    for piece in images(partition):
        with pytest.raises(ImageError) as refused:
            engine.load(partition, piece)
        # Not as a newer one, at which a worker stops: it goes on, without the counts.
        assert not isinstance(refused.value, NewerImage)
        said = str(refused.value)
        assert "format 1, where this version reads" in said
        assert "counters begin empty and warm, holds are kept" in said
        assert "--group" in said
        assert "--from" in said
    assert engine.digest(partition) == untouched.digest(partition)
    assert engine.stats() == untouched.stats()


def test_older_holds_go_on_under_their_ids() -> None:
    engine = engine_of()
    engine.load_ledger([(key.encode(), None if row is None else row.encode()) for key, row in TOLD["ledger"]])
    assert len(engine.ledger) == len(TOLD["ledger"]) + 2  # two numbers have a second hold, in review
    later = engine.expire(MONTH_LATER_MS).records
    ended = [json.loads(record.value) for record in later if record.topic == topics.BLOCK_EVENTS and record.value]
    assert {e["hold"]["block_id"] for e in ended} == {e["hold"]["block_id"] for e in TOLD["blocks"]}
    assert {e["change"] for e in ended} == {"expired"}


def test_an_older_breaker_still_knows_what_it_has_counted() -> None:
    engine = engine_of()
    rows = {int(partition): row for partition, row in TOLD["breaker"].items() if row is not None}
    assert rows
    for partition, row in rows.items():
        engine.breaker.load(partition, row.encode())
        assert b'"dialler":3' in (engine.breaker.row(partition) or b"")


def test_an_older_manifest_and_an_older_folder_are_read(tmp_path: Path) -> None:
    assert manifest.decode(TOLD["manifest"].encode()).offsets == {"cdr": 114}
    (tmp_path / "grayline-state.json").write_text(TOLD["folder"], encoding="utf-8")
    LocalState.open(tmp_path, cluster="c", group="grayline").close()
