"""confluent_kafka.Consumer over the fake broker."""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, TopicPartition

from tests.sim.clients import TIMED_OUT, FakeMessage, columns_of, failure
from tests.sim.fibers import Fiber, Process
from tests.sim.log import PartitionLog
from tests.sim.transactions import Place, Refusal

if TYPE_CHECKING:
    from streams.kafka.columns import ColumnPoll
    from tests.sim.world import World

SESSION_MS = 45_000
LOOK_MS = 10  # a poll that has found something waits so long for more
NO_OFFSET = -1001


@dataclass
class Fetching:
    """One assigned partition. `delivered`: the offset behind the last record the application got."""

    next: int
    delivered: int = NO_OFFSET
    failed: bool = False
    end_told: int = -1


class FakeConsumer:
    """A member of its group once it has subscribed; heartbeats go on for as long as its process runs."""

    def __init__(self, world: World, process: Process, config: Mapping[str, object]) -> None:
        self._world = world
        self._broker = world.broker
        self._process = process
        self._group = str(config["group.id"])
        self._instance = str(config.get("group.instance.id", ""))
        self._session_ms = int(str(config.get("session.timeout.ms", SESSION_MS)))
        self._reads_committed = config.get("isolation.level", "read_committed") == "read_committed"
        self._tells_ends = bool(config.get("enable.partition.eof", False))
        self._on_error = config.get("error_cb")
        self._topics: tuple[str, ...] = ()
        self._callbacks: dict[str, Callable[..., None] | None] = {}
        self._member = ""
        self._generation = -1  # of the assignment that the application has
        self._fetching: dict[Place, Fetching] = {}
        # Places whose records come by `take` alone. An assignment's end takes that away, and who was forwarded once is
        # never read otherwise again.
        self._forwarded: set[Place] = set()
        self._ever_forwarded: set[Place] = set()
        self._paused: set[Place] = set()  # as the real one, it remembers them while they are another member's
        self._owned: tuple[Place, ...] = ()  # as the group has assigned them
        self._is_assigned = False
        self._was_told = False  # a callback has called assign or unassign itself
        self._is_fenced = False
        self._cut_off_ms: int | None = None  # since when it reaches nobody, for good
        self.is_closed = False
        self._poller: Fiber | None = None  # who is inside `consume`: the real one lets nobody else in meanwhile

    # -- membership --------------------------------------------------------------------------------------------

    def subscribe(
        self,
        topics: list[str],
        on_assign: Callable[..., None] | None = None,
        on_revoke: Callable[..., None] | None = None,
        on_lost: Callable[..., None] | None = None,
    ) -> None:
        self._check_open()
        self._topics = tuple(topics)
        self._callbacks = {"assign": on_assign, "revoke": on_revoke, "lost": on_lost or on_revoke}

    def unsubscribe(self) -> None:
        """The next polls give the partitions up; then the member leaves its group, a static one as well."""
        self._check_open()
        self._topics = ()

    def consumer_group_metadata(self) -> bytes:
        """As librdkafka packs it. After the session has run out there is neither member nor generation in it."""
        self._check_open()
        member, generation = self._member, -1
        if member and not self._is_fenced:
            try:
                current, settled, _ = self._broker.groups.state(self._group, member, self._instance)
                # Behind a revoke the next generation is known here before the application hears of its assignment.
                generation = current if settled or self._is_assigned else -1
            except Refusal as refusal:
                if refusal.code == KafkaError.UNKNOWN_MEMBER_ID:
                    member = ""
                else:
                    generation = self._generation
        parts = (self._group, member, self._instance)
        return b"CGMDv2:" + struct.pack("=i", generation) + b"\0".join(part.encode() for part in parts) + b"\0\1"

    def _serve_group(self) -> None:
        """Takes what librdkafka's thread has learnt by heartbeats; callbacks run here, in the application's thread."""
        if self._cut_off_ms is not None and self._world.now_ms - self._cut_off_ms >= self._session_ms:
            self._member = ""
            if self._is_assigned:
                self._give_up("lost")
        if self._is_fenced or self._is_away:
            return
        groups = self._broker.groups
        if not self._topics:
            if self._is_assigned:
                self._give_up("revoke")
            if self._member:
                groups.leave(self._group, self._member)
                self._member = ""
            return
        try:
            if not self._member:
                self._join()
            generation, settled, assignment = groups.state(self._group, self._member, self._instance)
            if not settled and self._is_assigned:
                self._give_up("revoke")
                self._world.faults.meet_rebalance(self._process)
            if not settled:
                groups.join(self._group, self._topics, self._session_ms, self._is_alive, self._member, self._instance)
                generation, settled, assignment = groups.state(self._group, self._member, self._instance)
            if settled and (not self._is_assigned or self._generation != generation):
                if self._is_assigned:
                    self._give_up("lost")
                self._take(generation, assignment)
        except Refusal as refusal:
            if refusal.code == KafkaError.FENCED_INSTANCE_ID:
                self._is_fenced = True
                self._world.note(self._process, "consumer fenced")
                if self._on_error is not None:
                    self._on_error(KafkaError(KafkaError._FATAL, str(refusal), True))  # type: ignore[operator]
                return
            self._member = ""
            if self._is_assigned:
                self._give_up("lost")

    def _join(self) -> None:
        self._member = self._broker.groups.join(
            self._group, self._topics, self._session_ms, self._is_alive, "", self._instance
        )

    def _is_alive(self) -> bool:
        if self._process.dead or self.is_closed or self._cut_off_ms is not None:
            return False
        return self._process.frozen_until_ms <= self._broker.clock()

    @property
    def _is_away(self) -> bool:
        return self._broker.is_away or self._cut_off_ms is not None

    def _take(self, generation: int, assignment: tuple[Place, ...]) -> None:
        self._generation, self._owned, self._is_assigned, self._was_told = generation, assignment, True, False
        self._world.note(self._process, f"assigned generation={generation} {_shown(assignment)}")
        self._world.owners.assigned(self._process.name, self._group, generation, assignment)
        if self._callbacks["assign"] is not None:
            self._callbacks["assign"](self, [TopicPartition(*place) for place in assignment])
        if not self._was_told:
            self.assign([TopicPartition(*place) for place in assignment])

    def _give_up(self, how: str) -> None:
        owned, self._owned = self._owned, ()
        self._world.note(self._process, f"{how} {_shown(owned)}")
        self._was_told = False
        callback = self._callbacks[how]
        if callback is not None and owned:
            callback(self, [TopicPartition(*place) for place in owned])
        self._is_assigned = False
        self._fetching = {}
        self._forwarded = set()

    # -- reading -----------------------------------------------------------------------------------------------

    def assign(self, partitions: list[TopicPartition]) -> None:
        self._check_open()
        self._was_told = True
        self._fetching = {(p.topic, p.partition): Fetching(self._resolved(p)) for p in partitions}

    def unassign(self) -> None:
        self._check_open()
        self._was_told = True
        self._fetching = {}

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(*place) for place in self._fetching]

    def pause(self, partitions: list[TopicPartition]) -> None:
        self._paused.update({(p.topic, p.partition) for p in partitions} & self._fetching.keys())

    def resume(self, partitions: list[TopicPartition]) -> None:
        self._paused.difference_update({(p.topic, p.partition) for p in partitions} & self._fetching.keys())

    def seek(self, partition: TopicPartition) -> None:
        place = (partition.topic, partition.partition)
        if place not in self._fetching:
            raise failure(KafkaError._STATE, "Local: Erroneous state")
        fetching = self._fetching[place]
        fetching.next, fetching.failed, fetching.end_told = self._resolved(partition), False, -1

    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        at = {place: fetching.delivered for place, fetching in self._fetching.items()}
        return [TopicPartition(p.topic, p.partition, at.get((p.topic, p.partition), NO_OFFSET)) for p in partitions]

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[FakeMessage]:
        """A rebalance may come at any moment of the poll: what was gathered before it is returned with the rest."""
        self._check_open()
        self._poller = self._world.scheduler.current
        try:
            if self._world.faults.meet(self._process, "consume") == "forgotten brokers":
                self._cut_off_ms = self._world.now_ms
            return self._polled(num_messages, self._world.now_ms + int(timeout * 1000), False)
        finally:
            self._poller = None

    def forward(self, places: Collection[Place]) -> None:
        self._forwarded = set(places)
        self._ever_forwarded |= self._forwarded

    def take(self, most: int, timeout_s: float) -> ColumnPoll:
        """The records of forwarded places; nothing of the group is served meanwhile."""
        self._check_open()
        self._poller = self._world.scheduler.current
        try:
            return columns_of(self._polled(most, self._world.now_ms + int(timeout_s * 1000), True))
        finally:
            self._poller = None

    def _polled(self, most: int, until_ms: int, is_forwarded: bool) -> list[FakeMessage]:
        found: list[FakeMessage] = []
        while True:
            if not is_forwarded:
                self._serve_group()
            if not self._is_away:
                self._gather(found, most, is_forwarded)
            left_ms = until_ms - self._world.now_ms
            if len(found) >= most or left_ms <= 0:
                return found
            self._world.scheduler.sleep(self._world.random.randint(1, left_ms) if not found else min(left_ms, LOOK_MS))

    def poll(self, timeout: float = -1) -> FakeMessage | None:
        return next(iter(self.consume(1, timeout)), None)

    def close(self) -> None:
        """A dynamic member leaves its group; a static one is waited for."""
        if self.is_closed:
            return
        if self._is_assigned:
            self._give_up("revoke")
        self.is_closed = True
        if self._member and not self._instance and not self._is_away:
            self._broker.groups.leave(self._group, self._member)

    def _gather(self, found: list[FakeMessage], most: int, is_forwarded: bool) -> None:
        of = self._forwarded if is_forwarded else self._fetching.keys() - self._ever_forwarded
        places = [place for place in self._fetching if place in of and self._has_news(place)]
        self._world.random.shuffle(places)
        for place in places:
            fetching = self._fetching[place]
            room = min(most - len(found), self._world.random.randint(1, 60))
            if room <= 0:
                return
            log = self._broker.logs[place]
            if not log.start <= fetching.next <= log.end:
                fetching.failed = True
                error = KafkaError(KafkaError._AUTO_OFFSET_RESET, "fetch failed: Broker: Offset out of range")
                found.append(FakeMessage(*place, fetching.next, error=error))
                continue
            records, fetching.next = log.read(fetching.next, room, self._reads_committed)
            for r in records:
                found.append(FakeMessage(*place, r.offset, r.timestamp_ms, r.key, r.value, r.headers))
                fetching.delivered = r.offset + 1
            end = self._end(log)
            if self._tells_ends and fetching.next >= end and fetching.end_told != end and len(found) < most:
                fetching.end_told = end
                found.append(FakeMessage(*place, end, error=KafkaError(KafkaError._PARTITION_EOF)))

    def _has_news(self, place: Place) -> bool:
        fetching, log = self._fetching[place], self._broker.logs[place]
        if place in self._paused or fetching.failed:
            return False
        end = self._end(log)
        return fetching.next != end or (self._tells_ends and fetching.end_told != end)

    def _end(self, log: PartitionLog) -> int:
        return log.stable_end if self._reads_committed else log.end

    # -- questions ---------------------------------------------------------------------------------------------

    def committed(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        """Stable offsets: waits for transactions that hold offsets of these partitions."""
        self._check_open()
        self._world.faults.meet(self._process, "committed")
        until_ms = self._world.now_ms + int(timeout * 1000)
        asked = [(p.topic, p.partition) for p in partitions]
        while self._is_away or any(self._broker.transactions.is_pending(self._group, p) for p in asked):
            if self._world.now_ms >= until_ms:
                raise failure(TIMED_OUT, "Failed to get committed offsets: Local: Timed out", retriable=True)
            self._world.scheduler.sleep(50)
        offsets = self._broker.groups.group(self._group).offsets
        return [TopicPartition(*place, *offsets.get(place, (NO_OFFSET, ""))) for place in asked]

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        self._check_open()
        log = self._broker.logs[partition.topic, partition.partition]
        if not cached:
            self._answered("get_watermark_offsets", timeout)
        return log.start, log.stable_end if self._reads_committed and not cached else log.end

    def offsets_for_times(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        self._answered("offsets_for_times", timeout)
        found = []
        for p in partitions:
            log = self._broker.logs[p.topic, p.partition]
            first = next((r.offset for r in log.records if r.timestamp_ms >= p.offset), OFFSET_END)
            found.append(TopicPartition(p.topic, p.partition, first))
        return found

    def commit(self, offsets: list[TopicPartition], asynchronous: bool = False) -> list[TopicPartition]:
        self._check_open()
        assert not asynchronous, "nobody would hear of its failure"
        fault = self._world.faults.meet(self._process, "commit")
        self._answered("commit", 60.0)
        if fault == "lost request":
            raise failure(TIMED_OUT, "Commit failed: Local: Timed out", retriable=True)
        wanted = {(p.topic, p.partition): (p.offset, p.metadata or "") for p in offsets}
        self._world.counted.asked(self._process.name, wanted)
        member, generation = self.identity()
        try:
            self._broker.commit_offsets(self._group, member, generation, self._instance, wanted)
        except Refusal as refusal:
            raise failure(refusal.code, f"Commit failed: {refusal}") from refusal
        if fault == "lost answer":
            raise failure(TIMED_OUT, "Commit failed: Local: Timed out", retriable=True)
        return offsets

    def identity(self) -> tuple[str, int]:
        """(member id, generation) as of now."""
        packed = self.consumer_group_metadata()
        generation = struct.unpack_from("=i", packed, 7)[0]
        return packed[11:].split(b"\0")[1].decode(), generation

    def list_topics(self, topic: str, timeout: float = -1) -> Any:
        """Only what is asked of it: the cluster's id, its brokers and the topic's partitions."""
        self._check_open()
        self._answered("list_topics", timeout)
        partitions = dict.fromkeys(range(self._broker.partitions(topic)))
        topics = {topic: SimpleNamespace(partitions=partitions, error=None)}
        return SimpleNamespace(cluster_id="sim", brokers={1: "sim"}, topics=topics)

    def _answered(self, call: str, timeout_s: float) -> None:
        until_ms = self._world.now_ms + int(timeout_s * 1000)
        if call != "commit":
            self._world.faults.meet(self._process, call)
        while self._is_away:
            if self._world.now_ms >= until_ms:
                raise failure(TIMED_OUT, f"{call}: Local: Timed out", retriable=True)
            self._world.scheduler.sleep(100)

    def _resolved(self, partition: TopicPartition) -> int:
        log = self._broker.logs[partition.topic, partition.partition]
        if partition.offset == OFFSET_BEGINNING:
            return log.start
        if partition.offset == OFFSET_END:
            return log.stable_end if self._reads_committed else log.end
        return partition.offset

    def _check_open(self) -> None:
        self._world.check_alive(self._process)
        user = self._world.scheduler.current
        if self._poller is not None and self._poller is not user and not self._poller.ended:
            raise AssertionError(f"{user.name if user else '?'} calls a consumer that {self._poller.name} is polling")
        if self.is_closed:
            raise RuntimeError("Consumer closed")


def _shown(places: tuple[Place, ...]) -> str:
    return ",".join(sorted({str(p) for _, p in places})) or "none"
