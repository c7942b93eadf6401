"""`topics create`, `topics show` and the check of a worker's inputs, against a real broker."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from itertools import count

import numpy as np
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from schemas.topics import TOPICS, TopicSpec
from streams.cli.topics import command
from streams.ingest.decode import DEAD_LETTER_WHOLE_BYTES, Decoder
from streams.ingest.epoch import RawBatch
from streams.kafka.admin import Admin
from streams.kafka.settings import KafkaProblem, KafkaSettings
from streams.kafka.topics import LOST_WITH, check_inputs, check_limits, check_timestamps, check_topics, create, show
from tests.kafka_broker import Broker, free_ports

_names = count()


@pytest.fixture
def settings(kafka: Broker) -> KafkaSettings:
    return KafkaSettings(kafka.bootstrap)


@pytest.fixture
def admin(settings: KafkaSettings) -> AdminClient:
    return AdminClient(settings.common())


@pytest.fixture
def specs() -> list[TopicSpec]:
    """Two topics that no other test has: one partitioned as the inputs are, one as the broker likes."""
    number = next(_names)
    return [
        TopicSpec(f"topics-{number}-in", True, {"cleanup.policy": "compact", "retention.ms": "1000"}, "an input"),
        TopicSpec(f"topics-{number}-global", False, {}, "a table"),
    ]


@pytest.fixture(scope="module")
def own_broker() -> Iterator[str]:
    """A broker whose topics are Grayline's own names, kept apart from those of other test files."""
    with Broker(heap="256m") as broker:
        yield broker.bootstrap


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def make(settings: KafkaSettings, name: str, partitions: int, **config: str) -> None:
    spec = TopicSpec(name, True, {key.replace("_", "."): value for key, value in config.items()}, "a test's own")
    create(settings, partitions, 1, specs=[spec])


def test_missing_topics_are_made_with_their_settings(
    settings: KafkaSettings, admin: AdminClient, specs: list[TopicSpec]
) -> None:
    states = create(settings, 6, specs=specs)
    assert [(state.outcome, state.partitions, state.replication) for state in states] == [
        ("created", 6, 1),
        ("created", 1, 1),
    ]
    assert not any(state.problems for state in states)
    assert [state.notes for state in show(settings, specs=specs)] == [(), ()], "each setting is as the spec says"
    assert len(admin.list_topics(timeout=10).topics[specs[0].name].partitions) == 6


def test_a_second_creation_changes_nothing(settings: KafkaSettings, specs: list[TopicSpec]) -> None:
    create(settings, 3, specs=specs)
    again = create(settings, 3, specs=specs)
    assert [(state.outcome, state.partitions, state.problems) for state in again] == [
        ("exists", 3, ()),
        ("exists", 1, ()),
    ]


def test_a_dry_run_makes_nothing_and_still_asks_the_broker(settings: KafkaSettings, specs: list[TopicSpec]) -> None:
    assert {state.outcome for state in create(settings, 3, dry_run=True, specs=specs)} == {"would create"}
    assert {state.outcome for state in show(settings, specs=specs)} == {"missing"}
    with pytest.raises(KafkaProblem, match=r"topics-\d+-in: .*replication factor"):
        create(settings, 3, replication=5, dry_run=True, specs=specs)


def test_another_partition_count_is_a_problem_and_is_left_alone(
    settings: KafkaSettings, specs: list[TopicSpec]
) -> None:
    create(settings, 3, specs=specs)
    state, other = create(settings, 5, specs=specs)
    assert "has 3 partitions, 5 were asked for" in state.problems[0]
    assert other.problems == ()
    assert show(settings, specs=specs)[0].partitions == 3


def test_a_wrong_cleanup_policy_is_a_problem_and_another_retention_a_note(
    settings: KafkaSettings, specs: list[TopicSpec]
) -> None:
    make(settings, specs[0].name, 4, cleanup_policy="delete", retention_ms="5")
    state = show(settings, specs=specs)[0]
    assert "cleanup.policy is delete, not compact" in state.problems[0]
    assert state.notes == ("retention.ms is 5, ours would be 1000",)


def test_overrides_go_over_a_topics_own_settings(settings: KafkaSettings, specs: list[TopicSpec]) -> None:
    create(settings, 1, overrides={"retention.ms": "-1"}, specs=specs)
    assert show(settings, specs=specs)[0].notes == ("retention.ms is -1, ours would be 1000",)


def test_a_setting_that_the_broker_does_not_know_is_its_refusal_in_words(
    settings: KafkaSettings, specs: list[TopicSpec]
) -> None:
    with pytest.raises(KafkaProblem, match=r"topics-\d+-in: .*no\.such\.setting"):
        create(settings, 1, overrides={"no.such.setting": "1"}, specs=specs)


def test_offsets_count_what_another_client_produced(
    settings: KafkaSettings, specs: list[TopicSpec], kafka: Broker, kcat: str
) -> None:
    create(settings, 3, specs=specs)
    produce = [kcat, "-P", "-b", kafka.bootstrap, "-t", specs[0].name, "-K", "|"]
    subprocess.run(produce, input=b"".join(b"%d|x\n" % key for key in range(20)), check=True, timeout=30)
    assert [state.messages for state in show(settings, specs=specs)] == [20, 0]


def test_inputs_of_one_partition_count_are_accepted(settings: KafkaSettings) -> None:
    make(settings, "check-a", 3)
    make(settings, "check-b", 3)
    assert check_inputs(settings, ["check-a", "check-b"]) == 3


def test_unequal_inputs_are_refused_with_the_counts_and_the_way_out(settings: KafkaSettings) -> None:
    make(settings, "uneven-a", 3)
    make(settings, "uneven-b", 4)
    with pytest.raises(KafkaProblem, match=r"uneven-a has 3, uneven-b has 4\.\nStop the producers"):
        check_inputs(settings, ["uneven-a", "uneven-b"])


def test_a_missing_input_is_named_with_the_command_that_makes_it(settings: KafkaSettings) -> None:
    with pytest.raises(KafkaProblem) as refusal:
        check_inputs(settings, ["not-there"])
    assert "topic not-there" in str(refusal.value)
    assert f"grayline topics create --brokers {settings.brokers}" in str(refusal.value)
    assert "not-there" not in AdminClient(settings.common()).list_topics(timeout=10).topics


@pytest.fixture
def internal(settings: KafkaSettings) -> list[TopicSpec]:
    """Two internal topics of this test's own and one that may have any count, made; 3 partitions."""
    number = next(_names)
    specs = [
        TopicSpec(f"like-{number}-ledger", True, {}, "internal"),
        TopicSpec(f"like-{number}-rekeyed", True, {}, "internal"),
        TopicSpec(f"like-{number}-global", False, {}, "a table"),
    ]
    create(settings, 3, 1, specs=specs)
    return specs


def test_topics_partitioned_like_the_inputs_have_their_count(
    settings: KafkaSettings, internal: list[TopicSpec]
) -> None:
    make(settings, "like-three", 3)
    assert check_topics(settings, ["like-three"], specs=internal) == 3


def test_an_internal_topic_with_another_count_than_the_inputs_is_refused_with_what_its_end_costs(
    settings: KafkaSettings, internal: list[TopicSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, other, _ = (spec.name for spec in internal)
    monkeypatch.setitem(LOST_WITH, ledger, "the holds in force")
    make(settings, "like-four", 4)
    with pytest.raises(KafkaProblem) as refusal:
        check_topics(settings, ["like-four"], specs=internal)
    said = str(refusal.value)
    assert "as many partitions as the inputs, 4, " in said
    assert f"{ledger} has 3, {other} has 3.\nStop the workers, delete topics {ledger}, {other} and make" in said
    assert f"grayline topics create --brokers {settings.brokers} --partitions 4" in said
    assert said.endswith(f"lost with them:\n    {ledger}: the holds in force")


def test_an_internal_topic_that_is_missing_is_named(settings: KafkaSettings, internal: list[TopicSpec]) -> None:
    make(settings, "like-three-too", 3)
    absent = TopicSpec("like-nothing-there", True, {}, "internal")
    with pytest.raises(KafkaProblem, match="topic like-nothing-there; make the missing ones"):
        check_topics(settings, ["like-three-too"], specs=[*internal, absent])


def test_inputs_that_are_not_read_need_not_be_there(settings: KafkaSettings, internal: list[TopicSpec]) -> None:
    make(settings, "like-three-again", 3)
    assert check_topics(settings, ["like-three-again"], specs=[*internal, TOPICS["cdr"]]) == 3


@pytest.fixture
def dead_letters(kafka: Broker, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Makes a topic of this test's own, taken for dead-letters, that takes records of so many bytes; and one that takes
    enough of them for rekeyed."""
    return taken_for("DEAD_LETTERS", "REKEYED", kafka, monkeypatch)


@pytest.fixture
def rekeyed(kafka: Broker, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """The other way round."""
    return taken_for("REKEYED", "DEAD_LETTERS", kafka, monkeypatch)


def taken_for(narrow: str, wide: str, kafka: Broker, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    def make_one(limit: str) -> str:
        names = {constant: f"limits-{next(_names)}-{constant.lower()}" for constant in (narrow, wide)}
        for constant, bytes_max in ((narrow, limit), (wide, "2097152")):
            make(KafkaSettings(kafka.bootstrap), names[constant], 1, max_message_bytes=bytes_max)
            monkeypatch.setattr(f"streams.kafka.topics.{constant}", names[constant])
            monkeypatch.setitem(TOPICS, names[constant], TOPICS["dead-letters"])
        return names[narrow]

    return make_one


def test_a_dead_letters_topic_that_holds_no_whole_dead_letter_is_refused_with_what_mends_it(
    kafka: Broker, settings: KafkaSettings, admin: AdminClient, dead_letters: Callable[[str], str]
) -> None:
    name = dead_letters("900100")
    make(settings, f"{name}-in", 1, max_message_bytes="900000")
    with pytest.raises(KafkaProblem, match="takes records of 900,100 bytes, and a dead letter has up to 916,384") as no:
        check_limits(settings, [f"{name}-in"])
    said = str(no.value).rpartition("--add-config ")
    assert f"kafka-configs.sh --bootstrap-server {kafka.bootstrap} --alter --topic {name} " in str(no.value)
    alter(admin, name, said[2])
    assert check_limits(settings, [f"{name}-in"]) == []


def test_a_rekeyed_topic_that_holds_not_every_stray_is_refused_too(
    settings: KafkaSettings, rekeyed: Callable[[str], str]
) -> None:
    name = rekeyed("900100")
    with pytest.raises(KafkaProblem, match=f"topic {name} takes records of 900,100 bytes, and a stray has up to"):
        check_limits(settings, [])


def test_an_input_with_larger_records_than_dead_letters_keeps_whole_is_noted(
    settings: KafkaSettings, dead_letters: Callable[[str], str]
) -> None:
    name = dead_letters("916384")
    make(settings, f"{name}-large", 1, max_message_bytes="900001")
    make(settings, f"{name}-small", 1, max_message_bytes="900000")
    (note,) = check_limits(settings, [f"{name}-large", f"{name}-small"])
    assert note.startswith(f"topic {name}-large may hold records of more than 900,000 bytes")


def test_inputs_whose_timestamps_nobody_bounds_are_told_with_the_command_that_does(settings: KafkaSettings) -> None:
    name = f"stamped-{next(_names)}"
    make(settings, f"{name}-any", 1)
    make(settings, f"{name}-bounded", 1, message_timestamp_after_max_ms="3600000")
    make(settings, f"{name}-appended", 1, message_timestamp_type="LogAppendTime")
    found = check_timestamps(settings, [f"{name}-any", f"{name}-bounded", f"{name}-appended"])
    bounded = int(settings_of(settings, f"{name}-any")["message.timestamp.after.max.ms"]) <= 3_600_000
    assert list(found) == ([] if bounded else [f"{name}-any"]), "brokers from 4.0 on have a bound by default"
    for words in found.values():
        assert f"--topic {name}-any --add-config message.timestamp.type=LogAppendTime" in words


def settings_of(settings: KafkaSettings, name: str) -> dict[str, str]:
    return Admin(settings, 30.0).configs([name])[name]


def test_a_producer_that_could_send_no_whole_dead_letter_is_refused(
    kafka: Broker, dead_letters: Callable[[str], str]
) -> None:
    dead_letters("2097152")
    for said, refused in (("916383", True), ("916384", False)):
        settings = KafkaSettings(kafka.bootstrap, {"message.max.bytes": said})
        if refused:
            with pytest.raises(KafkaProblem, match=r"`message.max.bytes` is 916,383, and .* leave the setting out"):
                check_limits(settings, [])
        else:
            assert check_limits(settings, []) == []


def test_a_dead_letter_of_the_largest_whole_record_arrives_within_the_limits_that_are_checked(
    settings: KafkaSettings, dead_letters: Callable[[str], str]
) -> None:
    name = dead_letters("916384")
    assert check_limits(settings, []) == []
    n = DEAD_LETTER_WHOLE_BYTES
    value = b'{"' + b"x" * (n - 2)
    raw = RawBatch(
        "cdr", np.arange(1), np.zeros(1, np.int32), np.arange(1), np.full(1, -1), [value], [b"+821011110001"]
    )
    (letter,) = Decoder("cdr", frozenset()).decode(raw).dead_letters
    assert letter.value == value
    failures = []
    producer = Producer(settings.producer() | {"message.max.bytes": 916_384, "compression.type": "none"})
    producer.produce(
        name, letter.value, letter.key, headers=letter.headers, on_delivery=lambda error, _: failures.append(error)
    )
    assert producer.flush(60) == 0
    assert failures == [None]


def alter(admin: AdminClient, topic: str, said: str) -> None:
    """Changes a topic's settings, as `kafka-configs.sh --alter --add-config` does."""
    name, _, value = said.partition("=")
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(timeout=30)


def test_an_unreachable_broker_is_an_error_that_says_where_how_long_and_why() -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(KafkaProblem, match=rf"no Kafka broker answered at {address} within 0\.5 s: .*refused"):
        check_inputs(KafkaSettings(address), ["cdr"], timeout_s=0.5)


def test_a_setting_that_librdkafka_does_not_know_is_named() -> None:
    with pytest.raises(KafkaProblem, match=r"no\.such\.setting"):
        check_inputs(KafkaSettings("127.0.0.1:1", {"no.such.setting": "1"}), ["cdr"])


def test_the_command_makes_and_shows_graylines_topics(own_broker: str) -> None:
    before = run("show", "--brokers", own_broker)
    assert before.exit_code == 1
    assert "missing" in before.output

    made = run("create", "--brokers", own_broker, "--partitions", "2", "--history", "--json")
    assert made.exit_code == 0, made.output
    states = [json.loads(line) for line in made.stdout.splitlines()]
    assert [state["name"] for state in states] == list(TOPICS)
    assert {state["outcome"] for state in states} == {"created"}

    again = run("create", "--brokers", own_broker, "--partitions", "2")
    assert again.exit_code == 0, again.output
    assert "note: cdr: retention.ms is -1" in again.stderr
    assert "note: cdr: message.timestamp.type is CreateTime, ours would be LogAppendTime" in again.stderr

    shown = run("show", "--brokers", own_broker)
    assert shown.exit_code == 0, shown.output
    assert [line.split()[0] for line in shown.stdout.splitlines()[1:]] == list(TOPICS)

    uneven = run("create", "--brokers", own_broker, "--partitions", "3")
    assert uneven.exit_code == 1
    assert "problem: cdr has 2 partitions, 3 were asked for" in uneven.stderr


@pytest.mark.parametrize(
    "arguments",
    [["create", "--partitions", "0"], ["create", "--set", "retention"], ["create", "--no-such-option"], ["no-command"]],
)
def test_wrong_usage_ends_with_code_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_a_problem_ends_with_code_1_and_words_not_a_traceback(tmp_path: object) -> None:
    result = run("show", "--kafka-config", f"{tmp_path}/none.properties")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cannot read the Kafka settings" in result.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["create", "--help"], ["show", "--help"]])
def test_help_has_an_example(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 0
    assert "grayline topics" in result.output
