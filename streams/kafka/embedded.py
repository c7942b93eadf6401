"""A Kafka broker inside this process, for the demonstration and for fast tests: librdkafka's mock cluster.

    with EmbeddedBroker(partitions=4) as broker:
        broker.create_topics(["message-relay", "block-events"])
        Producer({"bootstrap.servers": broker.bootstrap})

It listens on a free port of the loopback interface and speaks Kafka's protocol, so that other processes (kcat, Java
clients) can connect while this one lives. It is no evidence for exactly-once. What it does not do:

- transactions: it answers the requests, but knows neither transactional offsets nor aborted records;
- topic creation by clients (`AdminClient.create_topics` times out): use `create_topics`. A topic first named by a
  producer or a subscriber appears by itself, with AUTO_CREATED_PARTITIONS whatever this broker was told;
- compaction, retention and topic settings: every record stays, until a partition holds more than about
  PARTITION_BYTES_MAX; then its oldest batches are dropped without notice. A slow reader of a fast topic loses records;
- disk: everything is gone at `stop()`.

Keys, values, headers, tombstones and producers' timestamps are kept as sent. Consumer groups and their committed
offsets work.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from types import TracebackType

from streams.kafka.settings import KafkaProblem

# Fixed inside librdkafka (src/rdkafka_mock.c); the tests measure both.
AUTO_CREATED_PARTITIONS = 4
PARTITION_BYTES_MAX = 5 * 1024 * 1024


class EmbeddedBroker:
    """A mock cluster of one broker; a context manager. `bootstrap` is its address once started.

    `partitions` is what `create_topics` makes unless told otherwise.
    """

    def __init__(self, partitions: int = 4) -> None:
        if partitions < 1:
            raise ValueError(f"a topic needs at least one partition, not {partitions}")
        self.partitions = partitions
        self.bootstrap = ""
        self._library: ctypes.CDLL | None = None
        self._owner: int | None = None
        self._cluster: int | None = None

    def __enter__(self) -> EmbeddedBroker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        if self._cluster is not None:
            return
        library = _librdkafka()
        message = ctypes.create_string_buffer(512)
        # The cluster lives inside a client that nobody else uses; a client of confluent_kafka would start one too
        # (`test.mock.num.brokers`), but offers no way to make a topic with a wanted number of partitions.
        # It never connects to anything, and would warn on standard error that it has nobody to connect to.
        settings = library.rd_kafka_conf_new()
        library.rd_kafka_conf_set(settings, b"log_level", b"0", message, len(message))
        owner = library.rd_kafka_new(_PRODUCER, settings, message, len(message))
        if not owner:
            raise KafkaProblem(f"the embedded broker did not start: {message.value.decode(errors='replace')}")
        cluster = library.rd_kafka_mock_cluster_new(owner, 1)
        if not cluster:
            library.rd_kafka_destroy(owner)
            raise KafkaProblem("the embedded broker did not start: no port of the loopback interface could be opened")
        # Kafka's default of 3 s is for fleets whose members start one after the other.
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0)
        self._library, self._owner, self._cluster = library, owner, cluster
        self.bootstrap = library.rd_kafka_mock_cluster_bootstraps(cluster).decode()

    def stop(self) -> None:
        """Ends the broker. Clients should be closed before; those that are not log that they lost it."""
        if self._library is None:
            return
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._owner)
        self._library = self._owner = self._cluster = None
        self.bootstrap = ""

    def create_topics(self, names: Iterable[str], partitions: int | None = None) -> None:
        """Makes the topics, each with `partitions` (this broker's number by default). Raises KafkaProblem.

        To be called before any client names a topic: one that exists is a problem, since its partition count may
        differ.
        """
        if self._library is None:
            raise KafkaProblem("the embedded broker is not running: call start(), or use it in a `with`")
        count = self.partitions if partitions is None else partitions
        for name in names:
            code = self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), count, 1)
            if code != 0:
                reason = self._library.rd_kafka_err2str(code).decode()
                raise KafkaProblem(f"the embedded broker cannot make topic {name}: {reason}")


_PRODUCER = 0  # rd_kafka_type_t


def _librdkafka() -> ctypes.CDLL:
    """The librdkafka that confluent_kafka is linked with, found through its extension module."""
    from confluent_kafka import cimpl

    library = ctypes.CDLL(cimpl.__file__)
    pointer = ctypes.c_void_p
    try:
        for name, result, arguments in (
            ("rd_kafka_conf_new", pointer, []),
            ("rd_kafka_conf_set", ctypes.c_int, [pointer, *[ctypes.c_char_p] * 3, ctypes.c_size_t]),
            ("rd_kafka_new", pointer, [ctypes.c_int, pointer, ctypes.c_char_p, ctypes.c_size_t]),
            ("rd_kafka_destroy", None, [pointer]),
            ("rd_kafka_err2str", ctypes.c_char_p, [ctypes.c_int]),
            ("rd_kafka_mock_cluster_new", pointer, [pointer, ctypes.c_int]),
            ("rd_kafka_mock_cluster_destroy", None, [pointer]),
            ("rd_kafka_mock_cluster_bootstraps", ctypes.c_char_p, [pointer]),
            ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, [pointer, ctypes.c_int32]),
            ("rd_kafka_mock_topic_create", ctypes.c_int, [pointer, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except AttributeError as error:
        raise KafkaProblem(f"this build of confluent-kafka has no embedded broker ({error}); use a real one") from error
    return library
