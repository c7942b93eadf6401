"""Kafka's error codes, each once, with what it means for us."""

from __future__ import annotations

from enum import Enum

from confluent_kafka import KafkaError


class Meaning(Enum):
    """The meaning of an error: the same reaction wherever it is met."""

    END = "the end of a partition: nothing is wrong"
    AWAY = "a broker cannot be reached: it passes"
    BUSY = "a broker cannot do now what it was asked: it passes, and must be asked again"
    LEADER = "a partition's leader is only just being found: it passes"
    COORDINATOR = "a coordinator is only just being found or loaded: it passes"
    REBALANCE = "the partitions are, or are about to be, another member's"
    FENCE = "another producer has this one's transactional id"
    NAME_TAKEN = "another process has this member's name"
    LOST_OFFSET = "the records that are asked for are no longer at the broker"
    RECORD = "a record or its metadata is refused, and would be again"
    NO_TOPIC = "the topic or the partition is not there"
    EXISTS = "the topic is there already"
    NO_RIGHT = "the user lacks a right"
    NO_GROUP = "the user lacks a right on the group, which is nothing to a reader that is in none"
    NO_LOGIN = "the broker does not let this user in"
    MISMATCH = "the group's members do not fit together"
    FATAL = "the client cannot go on"
    OTHER = "nothing that we know"


_CODES = {
    Meaning.END: (KafkaError._PARTITION_EOF,),
    Meaning.AWAY: (
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._ALL_BROKERS_DOWN,
    ),
    Meaning.BUSY: (
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._MSG_TIMED_OUT,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.CONCURRENT_TRANSACTIONS,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
    ),
    Meaning.LEADER: (
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
    ),
    Meaning.COORDINATOR: (
        KafkaError._WAIT_COORD,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
    ),
    Meaning.REBALANCE: (
        KafkaError._ASSIGNMENT_LOST,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
    ),
    Meaning.FENCE: (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH),
    Meaning.NAME_TAKEN: (KafkaError.FENCED_INSTANCE_ID,),
    Meaning.LOST_OFFSET: (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE),
    Meaning.RECORD: (
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.POLICY_VIOLATION,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.OFFSET_METADATA_TOO_LARGE,
    ),
    Meaning.NO_TOPIC: (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION),
    Meaning.EXISTS: (KafkaError.TOPIC_ALREADY_EXISTS,),
    Meaning.NO_RIGHT: (
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    ),
    Meaning.NO_GROUP: (KafkaError.GROUP_AUTHORIZATION_FAILED,),
    Meaning.NO_LOGIN: (KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError.UNSUPPORTED_SASL_MECHANISM),
    Meaning.MISMATCH: (KafkaError.INCONSISTENT_GROUP_PROTOCOL,),
    Meaning.FATAL: (KafkaError._FATAL,),
}
_MEANINGS = {code: meaning for meaning, codes in _CODES.items() for code in codes}


def meaning_of(error: KafkaError) -> Meaning:
    return _MEANINGS.get(error.code(), Meaning.OTHER)


def passes(error: KafkaError) -> bool:
    """True if asking again after a while helps."""
    return meaning_of(error) in (Meaning.AWAY, Meaning.BUSY, Meaning.LEADER, Meaning.COORDINATOR)


def passes_for_readers(error: KafkaError) -> bool:
    """True if an assigned consumer goes on by itself. It meets `BUSY` only where it does not: a broker whose disk has
    failed. It says where it reads and commits nothing, so that it needs no group, and no right on one."""
    return meaning_of(error) in (Meaning.AWAY, Meaning.LEADER, Meaning.NO_GROUP)


def client_errors() -> tuple[type[Exception], ...]:
    """The exceptions that a call of a confluent-kafka producer raises. A fatal error comes out of whichever call serves
    callbacks; a callback served after it, a line of librdkafka's log for one, turns it into a SystemError."""
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
