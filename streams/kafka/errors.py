"""Kafka's error codes: which pass, which tell of a rebalance, which cannot be survived."""

from __future__ import annotations

from confluent_kafka import KafkaError


def client_errors() -> tuple[type[Exception], ...]:
    """What a call of a confluent-kafka producer raises. A fatal error comes out of whichever call serves callbacks; a
    callback served after it, a line of librdkafka's log for one, turns it into a SystemError."""
    from confluent_kafka import KafkaException

    return (KafkaException, SystemError)


def error_of(problem: BaseException) -> KafkaError:
    """The error that one of `client_errors` carries."""
    from confluent_kafka import KafkaException

    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, KafkaException):
            return cause.args[0]
        cause = cause.__cause__ or cause.__context__
    return KafkaError(KafkaError._FATAL, str(problem))


def rebalance_codes() -> frozenset[int]:
    """The partitions are, or are about to be, another member's."""

    return frozenset(
        (
            KafkaError.ILLEGAL_GENERATION,
            KafkaError.UNKNOWN_MEMBER_ID,
            KafkaError.REBALANCE_IN_PROGRESS,
            KafkaError._ASSIGNMENT_LOST,
        )
    )


def passing_codes() -> frozenset[int]:
    """A broker that is away, or whose coordinator moves."""

    return frozenset(
        (
            KafkaError._TRANSPORT,
            KafkaError._RESOLVE,
            KafkaError._TIMED_OUT,
            KafkaError._TIMED_OUT_QUEUE,
            KafkaError._MSG_TIMED_OUT,
            KafkaError._ALL_BROKERS_DOWN,
            KafkaError._WAIT_COORD,
            KafkaError.REQUEST_TIMED_OUT,
            KafkaError.COORDINATOR_NOT_AVAILABLE,
            KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
            KafkaError.NOT_COORDINATOR,
            KafkaError.NETWORK_EXCEPTION,
            KafkaError.LEADER_NOT_AVAILABLE,
            KafkaError.NOT_LEADER_FOR_PARTITION,
            KafkaError.NOT_ENOUGH_REPLICAS,
            KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
            KafkaError.KAFKA_STORAGE_ERROR,
            KafkaError.CONCURRENT_TRANSACTIONS,
            KafkaError.UNSTABLE_OFFSET_COMMIT,
        )
    )


def _fence_codes() -> frozenset[int]:

    return frozenset((KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH))


def _hopeless_codes() -> frozenset[int]:
    """Errors of records, topics or rights, which the same records would meet again."""

    return frozenset(
        (
            KafkaError.MSG_SIZE_TOO_LARGE,
            KafkaError.RECORD_LIST_TOO_LARGE,
            KafkaError.INVALID_RECORD,
            KafkaError.POLICY_VIOLATION,
            KafkaError.TOPIC_EXCEPTION,
            KafkaError.UNKNOWN_TOPIC_OR_PART,
            KafkaError._UNKNOWN_TOPIC,
            KafkaError._UNKNOWN_PARTITION,
            KafkaError.OFFSET_METADATA_TOO_LARGE,
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.GROUP_AUTHORIZATION_FAILED,
            KafkaError.CLUSTER_AUTHORIZATION_FAILED,
            KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        )
    )


_LOST_OFFSET = frozenset((KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE))


_HOPELESS = frozenset(
    (
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.INCONSISTENT_GROUP_PROTOCOL,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError._FATAL,
    )
)


PASSING = frozenset(
    (
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
    )
)
