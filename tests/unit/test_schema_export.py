from __future__ import annotations

import json
from importlib.resources import files

import jsonschema
import msgspec
import pytest

from schemas import decoding, export, topics
from schemas.feeds import FEEDS

TOPICS = sorted(export.PUBLISHED)


def test_the_files_in_the_package_are_what_the_export_writes() -> None:
    folder = files("schemas") / "json"
    written = {entry.name: entry.read_text(encoding="utf-8") for entry in folder.iterdir()}
    assert written == export.files(), "run `python -m schemas.export` and commit its files"


@pytest.mark.parametrize("topic", TOPICS)
def test_each_schema_is_one_and_holds_for_its_example(topic: str) -> None:
    schema = export.schema(topic)
    jsonschema.Draft202012Validator.check_schema(schema)
    (example,) = schema["examples"]
    jsonschema.validate(example, schema, cls=jsonschema.Draft202012Validator)
    assert msgspec.to_builtins(msgspec.convert(example, export.PUBLISHED[topic][0])) == example


@pytest.mark.parametrize("topic", TOPICS)
def test_each_required_field_of_a_schema_is_required(topic: str) -> None:
    schema = export.schema(topic)
    (example,) = schema["examples"]
    for name in schema["required"]:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({k: v for k, v in example.items() if k != name}, schema)


@pytest.mark.parametrize("topic", FEEDS)
def test_the_example_of_an_input_topic_passes_the_exact_decoder_whole(topic: str) -> None:
    value = json.dumps(export.PUBLISHED[topic][1]).encode()
    assert decoding.check_all(topic, value) == []
    decoded = decoding.decode(topic, value, frozenset(FEEDS[topic].optional))
    assert set(decoded) == set(export.PUBLISHED[topic][1])


def test_every_input_topic_is_published() -> None:
    assert {topic: export.PUBLISHED[topic][0] for topic in FEEDS} == {
        topic: feed.struct for topic, feed in FEEDS.items()
    }


def test_the_schema_of_a_complete_call_asks_for_its_times() -> None:
    schema = export.schema(topics.CDR)
    call = {"call_id": "c1", "event": "complete", "at": 1795312800000, "caller": "a", "callee": "b"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(call, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(call | {"setup_at": None, "release_at": 1795312800000}, schema)
    jsonschema.validate(call | {"event": "setup"}, schema)


def test_topics_that_must_keep_records_say_so() -> None:
    assert all(spec.name == name for name, spec in topics.TOPICS.items())
    blocks = topics.TOPICS[topics.BLOCK_EVENTS].config
    assert blocks["cleanup.policy"] == "compact"
    assert int(blocks["delete.retention.ms"]) >= 30 * topics.DAY_MS
    # Kafka's default for a record is 1,048,588 bytes, and a dead letter has headers besides.
    assert int(topics.TOPICS[topics.DEAD_LETTERS].config["max.message.bytes"]) > 1_048_588
    for name in FEEDS:
        spec = topics.TOPICS[name]
        assert spec.partitions_like_input
        assert "retention.ms" in spec.config
        assert topics.for_history(spec).config["retention.ms"] == "-1"
        assert spec.config["retention.ms"] != "-1"
