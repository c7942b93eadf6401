"""The configuration of every Kafka client: our few choices, and any other setting of librdkafka.

Settings come, later ones replacing earlier ones, from our defaults, from a file of `key=value` lines
(`--kafka-config`), from environment variables (`GRAYLINE_KAFKA_SASL_PASSWORD` is `sasl.password`) and from `--brokers`
(or GRAYLINE_BROKERS). All pass through to librdkafka unchanged, TLS and SASL included, except those that exactness
depends on: to change one of these is an error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEFAULT_BROKERS = "127.0.0.1:9092"
ENVIRONMENT_PREFIX = "GRAYLINE_KAFKA_"


class KafkaProblem(Exception):
    """Something about Kafka that the user can set right; the message says what, where and how. `exit_code` is a
    worker's."""

    exit_code = 2


class BrokerAway(KafkaProblem):
    """No broker answers, or none that knows anything yet: the same question may be answered later."""

    exit_code = 1


@dataclass(frozen=True, repr=False)
class KafkaSettings:
    """Broker addresses and librdkafka settings, checked. Its repr shows no secret."""

    brokers: str = DEFAULT_BROKERS
    extra: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.brokers.strip():
            raise KafkaProblem("no broker address given: --brokers HOST:PORT[,HOST:PORT...]")
        for name, value in self.extra.items():
            _refuse_what_breaks_guarantees(name, value)

    @classmethod
    def load(
        cls,
        brokers: str | None = None,
        config_file: str | os.PathLike[str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> KafkaSettings:
        """Settings from the command line's `brokers`, a properties file and the environment (os.environ by default).

        Raises KafkaProblem, naming the file and line or the variable.
        """
        environ = os.environ if environ is None else environ
        extra: dict[str, str] = {}
        config_file = config_file or environ.get(ENVIRONMENT_PREFIX + "CONFIG")
        if config_file:
            extra |= read_properties(Path(config_file))
        extra |= _from_environment(environ)
        given = [extra.pop(name, None) for name in ("metadata.broker.list", "bootstrap.servers")]
        addresses = brokers or environ.get("GRAYLINE_BROKERS") or given[1] or given[0] or DEFAULT_BROKERS
        return cls(brokers=addresses, extra=extra)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={'***' if is_secret(name) else value}" for name, value in sorted(self.extra.items()))
        return f"KafkaSettings(brokers={self.brokers!r}, {{{shown}}})"

    def common(self) -> dict[str, Any]:
        """The settings of clients that only ask questions, such as admin clients."""
        passed = {name: value for name, value in self.extra.items() if name not in CONSUMER_ONLY | PRODUCER_ONLY}
        return {"client.id": "grayline", **passed, "bootstrap.servers": self.brokers}

    def consumer(self, group: str, *, offset_reset: str = "error") -> dict[str, Any]:
        """A consumer of `group` that commits nothing by itself and never resets its position silently.

        `offset_reset` is what a partition without a committed offset does: `earliest`, `latest` or `error`.
        """
        passed = {name: value for name, value in self.extra.items() if name not in PRODUCER_ONLY}
        return {
            "client.id": "grayline",
            **FAST_READER,
            **KEEP_KNOWN_BROKERS,
            **passed,
            **CONSUMER_GUARANTEES,
            "auto.offset.reset": offset_reset,
            "group.id": group,
            "bootstrap.servers": self.brokers,
        }

    def producer(self, *, transactional_id: str | None = None) -> dict[str, Any]:
        """An idempotent producer, transactional when an id is given, that partitions keys as Java's clients do."""
        passed = {name: value for name, value in self.extra.items() if name not in CONSUMER_ONLY}
        transactional = {} if transactional_id is None else {"transactional.id": transactional_id, **TRANSACTION}
        return {
            "client.id": "grayline",
            **FAST_WRITER,
            **KEEP_KNOWN_BROKERS,
            **transactional,
            **passed,
            **PRODUCER_GUARANTEES,
            "bootstrap.servers": self.brokers,
        }


# librdkafka's defaults suit slow readers: with a back-off of 1 s a fast one stalls each time the queue is full. Queues
# are bounded by bytes (64 MB a consumer, for any number of partitions), not by messages.
FAST_READER = {
    "fetch.queue.backoff.ms": 1,
    "queued.min.messages": 1_000_000,
    "queued.max.messages.kbytes": 65_536,
    "fetch.message.max.bytes": 4 * 1024 * 1024,
    "fetch.max.bytes": 50 * 1024 * 1024,
    "fetch.wait.max.ms": 100,
}
# Outputs leave at a commit, which flushes: lingering costs no latency there and fills the batches.
FAST_WRITER = {"compression.type": "lz4", "linger.ms": 20, "batch.size": 1_000_000}
# With `rebootstrap`, librdkafka gives up the brokers it knows once every connection has broken: a transaction that is
# to commit offsets then waits for the group's coordinator for ever (librdkafka #5511, #5456).
KEEP_KNOWN_BROKERS = {"metadata.recovery.strategy": "none"}
# A killed worker's open transaction stalls read-committed blockers for this long.
TRANSACTION = {"transaction.timeout.ms": 10_000}

CONSUMER_GUARANTEES = {
    "enable.auto.commit": False,
    "isolation.level": "read_committed",
    "partition.assignment.strategy": "range",
}
PRODUCER_GUARANTEES = {"enable.idempotence": True, "partitioner": "murmur2_random"}

WHY_NOT = {
    "enable.auto.commit": "offsets are committed with the outputs they led to; committed apart, a crash loses records",
    "enable.auto.offset.store": "offsets are committed with the outputs they led to, never as a side effect",
    "isolation.level": "records of aborted transactions would be counted",
    "partition.assignment.strategy": "one worker must own the same partition of every topic; only `range` does that",
    "group.protocol": "one worker must own the same partition of every topic; only the classic `range` does that",
    "group.remote.assignor": "one worker must own the same partition of every topic; only the classic `range` does",
    "enable.idempotence": "a retried send could write a record twice",
    "partitioner": "a number must lie in the partition that Java's clients choose, or its events are counted apart",
    "acks": "an acknowledged record could be lost with one broker",
    "request.required.acks": "an acknowledged record could be lost with one broker",
}
# These are not for a settings file at all: something else decides them.
DECIDED_ELSEWHERE = {
    "auto.offset.reset": "where a first start reads from is said by --from earliest|latest|timestamp",
    "group.id": "the consumer group is said by --group",
    "group.instance.id": "it is derived from the worker's name",
    "transactional.id": "it is derived from the worker's name, so that a restarted worker fences its predecessor",
    "enable.partition.eof": "each reader knows whether it needs the ends of partitions",
}
ALLOWED = {
    "enable.auto.commit": ("false",),
    "enable.auto.offset.store": ("false",),
    "isolation.level": ("read_committed",),
    "partition.assignment.strategy": ("range",),
    "group.protocol": ("classic",),
    "enable.idempotence": ("true",),
    "partitioner": ("murmur2_random",),
    "acks": ("all", "-1"),
    "request.required.acks": ("all", "-1"),
}

# librdkafka warns, once a client, about a setting of the other kind: a shared file would make noise at every start.
CONSUMER_ONLY = frozenset({
    "session.timeout.ms", "heartbeat.interval.ms", "group.protocol.type", "coordinator.query.interval.ms",
    "max.poll.interval.ms", "enable.auto.commit", "auto.commit.interval.ms", "enable.auto.offset.store",
    "queued.min.messages", "queued.max.messages.kbytes", "fetch.wait.max.ms", "fetch.queue.backoff.ms",
    "fetch.message.max.bytes", "max.partition.fetch.bytes", "fetch.max.bytes", "fetch.min.bytes",
    "fetch.error.backoff.ms", "isolation.level", "check.crcs", "partition.assignment.strategy", "group.protocol",
    "consume.callback.max.messages",
})  # fmt: skip
PRODUCER_ONLY = frozenset({
    "transaction.timeout.ms", "enable.idempotence", "enable.gapless.guarantee", "queue.buffering.max.messages",
    "queue.buffering.max.kbytes", "queue.buffering.max.ms", "linger.ms", "message.send.max.retries", "retries",
    "queue.buffering.backpressure.threshold", "compression.codec", "compression.type", "compression.level",
    "batch.num.messages", "batch.size", "delivery.report.only.error", "sticky.partitioning.linger.ms", "acks",
    "request.required.acks", "request.timeout.ms", "message.timeout.ms", "delivery.timeout.ms", "partitioner",
})  # fmt: skip


def is_secret(name: str) -> bool:
    """True if a setting's value must not be shown."""
    return re.search(r"password|secret|token|\bkey\b|\.pem$|jaas|oauthbearer\.config|credential", name) is not None


def read_properties(path: Path) -> dict[str, str]:
    """`key=value` lines; blank lines and lines that start with `#` or `!` are skipped. Raises KafkaProblem."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise KafkaProblem(f"{path}: cannot read the Kafka settings: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise KafkaProblem(f"{path}: the Kafka settings are not UTF-8 text") from error
    properties: dict[str, str] = {}
    for line_number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#!":
            continue
        # The line itself may hold a password, so that no message repeats it.
        name, equals, value = stripped.partition("=")
        name = name.strip()
        if not equals or not name or " " in name:
            raise KafkaProblem(f"{path}:{line_number}: expected `setting=value`, as in `security.protocol=sasl_ssl`")
        if name in properties:
            raise KafkaProblem(f"{path}:{line_number}: `{name}` is set twice")
        try:
            _refuse_what_breaks_guarantees(name, value.strip())
        except KafkaProblem as error:
            raise KafkaProblem(f"{path}:{line_number}: {error}") from error
        properties[name] = value.strip()
    return properties


# Variables of the same prefix that are not settings of librdkafka.
_NOT_SETTINGS = frozenset({"CONFIG", "HOME"})
# The one setting of librdkafka that a string can set and that has an underscore of its own.
_WITH_UNDERSCORE = {"log.level": "log_level"}


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    settings = {}
    for variable, value in environ.items():
        rest = variable.removeprefix(ENVIRONMENT_PREFIX)
        if rest == variable or rest in _NOT_SETTINGS or not rest:
            continue
        name = rest.lower().replace("_", ".")
        name = _WITH_UNDERSCORE.get(name, name)
        try:
            _refuse_what_breaks_guarantees(name, value)
        except KafkaProblem as error:
            raise KafkaProblem(f"{variable}: {error}") from error
        settings[name] = value
    return settings


def _refuse_what_breaks_guarantees(name: str, value: str) -> None:
    if name in DECIDED_ELSEWHERE:
        raise KafkaProblem(f"`{name}` cannot be set here: {DECIDED_ELSEWHERE[name]}")
    if name in WHY_NOT and value.strip().lower() not in ALLOWED.get(name, ()):
        allowed = ALLOWED.get(name)
        remedy = f"; leave it out, or set it to `{allowed[0]}`" if allowed else "; leave it out"
        raise KafkaProblem(f"`{name}` cannot be changed: {WHY_NOT[name]}{remedy}")
