"""Three brokers of one Kafka for tests: each partition has three replicas, of which two must have a record.

with Cluster() as cluster:
    cluster.nodes[cluster.leader_of("cdr", 0)].kill()
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType

from confluent_kafka.admin import AdminClient

from tests.kafka_broker import Broker, free_ports, new_cluster_id

NODES = 3
ANSWER_S = 10.0
REPLICATED = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    # A replica that stands still is out of sync after this, and its node dead after the session (3 s).
    "replica.lag.time.max.ms": "3000",
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.fetch.timeout.ms": "1000",
}


class Cluster:
    """A context manager. `nodes` by id, each a broker and a controller."""

    def __init__(self, settings: dict[str, str], heap: str = "256m") -> None:
        ports = free_ports(2 * NODES)
        pairs = {id: (ports[2 * id - 2], ports[2 * id - 1]) for id in range(1, NODES + 1)}
        voters = ",".join(f"{id}@127.0.0.1:{controller}" for id, (_, controller) in pairs.items())
        common = REPLICATED | settings | {"controller.quorum.voters": voters}
        cluster_id = new_cluster_id()
        self.nodes = {
            id: Broker(heap=heap, settings=common | {"node.id": str(id)}, ports=pair, cluster_id=cluster_id)
            for id, pair in pairs.items()
        }
        self.bootstrap = ",".join(f"127.0.0.1:{port}" for port, _ in pairs.values())
        self._ends = ExitStack()

    def __enter__(self) -> Cluster:
        for node in self.nodes.values():
            self._ends.callback(node.close)
        try:
            with ThreadPoolExecutor(NODES) as threads:  # one alone has no majority, and waits for the others
                for started in [threads.submit(node.start) for node in self.nodes.values()]:
                    started.result()
        except BaseException:
            self._ends.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def leader_of(self, topic: str, partition: int) -> int:
        return int(self._admin().list_topics(topic, timeout=ANSWER_S).topics[topic].partitions[partition].leader)

    def in_sync(self, topic: str) -> dict[int, set[int]]:
        """The nodes in sync, by partition."""
        partitions = self._admin().list_topics(topic, timeout=ANSWER_S).topics[topic].partitions
        return {number: set(partition.isrs) for number, partition in partitions.items()}

    def coordinator_of(self, group: str) -> int:
        admin = self._admin()  # which must live until it has answered
        found = admin.describe_consumer_groups([group], request_timeout=ANSWER_S)[group]
        return int(found.result(2 * ANSWER_S).coordinator.id)

    def _admin(self) -> AdminClient:
        """A new one each time: it finds its way among nodes that come and go."""
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 2})
