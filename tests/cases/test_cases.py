"""Hand-computed conformance cases: what a replay must print, in order, for records in arrival order."""

from pathlib import Path

import orjson
import pytest
import yaml

from rules.load import load_text
from schemas.times import parse_time
from streams.captures.replay import Replay
from streams.engine.engine import Engine

CASES = sorted(Path(__file__).parent.glob("*.yaml"))


def lines(records):
    """The records as kcat prints them: partition 0, consecutive offsets, `ts` by default equal to `at`."""
    offsets = {}
    for record in records:
        topic, value = record["topic"], record["value"]
        offset = offsets[topic] = offsets.get(topic, -1) + 1
        yield orjson.dumps(
            {
                "topic": topic,
                "partition": 0,
                "offset": offset,
                "tstype": "create",
                "ts": parse_time(record.get("ts", value["at"])),
                "broker": 0,
                "key": None,
                "payload": orjson.dumps(value).decode(),
            }
        )


def block_events(case, batch_lines):
    out = []
    engine = Engine(load_text(case["rules"], "case.yaml"), expire_by_clock=True)
    Replay(engine, out.append, batch_lines).run(lines(case["records"]), "case")
    return [record.value for record in out if record.topic == "block-events"]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_replay_prints_the_hand_computed_events(path):
    case = yaml.safe_load(path.read_text())
    events = [orjson.loads(value) for value in block_events(case, 10_000)]
    got = [
        {"change": e["change"], "number": e["number"], "rule": e["hold"]["rule"], "from": e["hold"]["from"],
         "until": e["hold"]["until"]}
        for e in events
    ]  # fmt: skip
    want = [{**e, "from": parse_time(e["from"]), "until": parse_time(e["until"])} for e in case["expect"]]
    assert got == want, case["why"]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_where_epochs_end_changes_no_byte(path):
    case = yaml.safe_load(path.read_text())
    assert block_events(case, 1) == block_events(case, 2) == block_events(case, 10_000)
