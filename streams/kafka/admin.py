"""Questions to the broker about topics, each of which ends in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from streams.kafka.clients import Clients
from streams.kafka.errors import Meaning, meaning_of, passes
from streams.kafka.settings import BrokerAway, KafkaProblem, KafkaSettings

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient, ClusterMetadata

TIMEOUT_S = 10.0
# The answers of a broker that has not yet taken over the partitions of a topic that its controller has just made.
SETTLING = (Meaning.LEADER, Meaning.NO_TOPIC)


def listed(names: Sequence[str]) -> str:
    return ("topic " if len(names) == 1 else "topics ") + ", ".join(names)


class Admin:
    """An admin client whose every question ends within `timeout_s`, in an answer or a KafkaProblem."""

    def __init__(self, settings: KafkaSettings, timeout_s: float) -> None:
        from confluent_kafka import KafkaException

        self._brokers = settings.brokers
        self._timeout_s = timeout_s
        self._last_error = ""
        self._failure = KafkaException
        # librdkafka would log each refused connection; what the user needs of that goes into our message.
        config = {"log_level": 0, **settings.common(), "error_cb": self._remember}
        try:
            self._client: AdminClient = Clients().admin(config)
        except KafkaException as error:
            raise KafkaProblem(f"the Kafka settings do not work: {error.args[0].str()}") from error

    def metadata(self) -> ClusterMetadata:
        """Raises BrokerAway."""
        try:
            metadata = self._client.list_topics(timeout=self._timeout_s)
        except self._failure as error:
            self._client.poll(0)  # delivers the errors that explain the time-out to `_remember`
            because = self._last_error or error.args[0].str()
            raise BrokerAway(
                f"no Kafka broker answered at {self._brokers} within {self._timeout_s:g} s: {because}"
            ) from error
        if not metadata.brokers:  # of a cluster that is only just coming back, whose topics it does not name either
            raise BrokerAway(f"the cluster at {self._brokers} names no broker yet")
        return metadata

    def create(self, topics: Sequence[Any], dry_run: bool) -> None:
        if not topics:
            return
        futures = self._client.create_topics(
            topics, operation_timeout=self._timeout_s, request_timeout=self._timeout_s, validate_only=dry_run
        )
        refused = []
        for name, future in futures.items():
            try:
                future.result()
            except self._failure as error:
                # Somebody else was faster: the same outcome.
                if meaning_of(error.args[0]) is not Meaning.EXISTS:
                    refused.append(f"{name}: {error.args[0].str()}")
        if refused:
            raise KafkaProblem("the broker did not make every topic:\n    " + "\n    ".join(refused))

    def wait_for(self, names: Sequence[str]) -> None:
        """A broker learns of a new topic a moment after its controller has made it."""
        deadline = monotonic() + self._timeout_s
        while missing := set(names) - set(self.metadata().topics):
            if monotonic() > deadline:
                raise KafkaProblem(f"the broker made {listed(sorted(missing))} but does not list what it made")

    def configs(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        from confluent_kafka.admin import ConfigResource, ResourceType

        if not names:
            return {}
        asked = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        question = partial(self._client.describe_configs, asked, request_timeout=self._timeout_s)
        settings = self._ask(question, "settings")
        return {resource.name: {name: entry.value for name, entry in got.items()} for resource, got in settings.items()}

    def messages(self, partitions: Mapping[str, int]) -> dict[str, int]:
        from confluent_kafka import TopicPartition
        from confluent_kafka.admin import OffsetSpec

        every = [TopicPartition(name, index) for name, count in partitions.items() for index in range(count)]
        totals = dict.fromkeys(partitions, 0)
        for sign, where in ((-1, OffsetSpec.earliest()), (1, OffsetSpec.latest())):
            if not every:
                continue
            asked = dict.fromkeys(every, where)
            question = partial(self._client.list_offsets, asked, request_timeout=self._timeout_s)
            offsets = self._ask(question, "offsets")
            for partition, offset in offsets.items():
                totals[partition.topic] += sign * offset.offset
        return totals

    def _ask(self, question: Callable[[], Mapping[Any, Any]], what: str) -> dict[Any, Any]:
        """The answers to a question of many futures. It is asked again while a new topic's partitions settle."""
        deadline = monotonic() + self._timeout_s
        while True:
            try:
                return {subject: future.result() for subject, future in question().items()}
            except self._failure as error:
                problem = error.args[0]
                settles = meaning_of(problem) in SETTLING
                if not settles or monotonic() > deadline:
                    waits = settles or passes(problem)
                    raise (BrokerAway if waits else KafkaProblem)(
                        f"the broker at {self._brokers} gave no {what}: {problem.str()}"
                    ) from error

    def _remember(self, error: Any) -> None:
        self._last_error = error.str()
