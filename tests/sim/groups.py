"""The broker's group coordinator: the classic protocol with the eager `range` assignor, and static members."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from confluent_kafka import KafkaError

from tests.sim.transactions import GroupOffsets, Place, Refusal

REBALANCE_MS = 300_000  # max.poll.interval.ms


@dataclass
class Member:
    id: str
    topics: tuple[str, ...]
    instance: str
    session_ms: int
    is_alive: Callable[[], bool]  # its process runs, and so its heartbeats go on
    seen_ms: int
    has_joined: bool = False
    assignment: tuple[Place, ...] = ()


@dataclass
class Group:
    """`generation` counts assignments. Between a change of members and the next assignment the group is unsettled."""

    members: dict[str, Member] = field(default_factory=dict)
    generation: int = 0
    is_settled: bool = True
    offsets: GroupOffsets = field(default_factory=dict)
    made: int = 0
    unsettled_ms: int = 0  # since when


class Groups:
    """partitions: topic -> its partition count."""

    def __init__(self, clock: Callable[[], int], partitions: Callable[[str], int]) -> None:
        self.groups: dict[str, Group] = {}
        self._clock = clock
        self._partitions = partitions

    def group(self, name: str) -> Group:
        return self.groups.setdefault(name, Group())

    def join(
        self,
        name: str,
        topics: Iterable[str],
        session_ms: int,
        is_alive: Callable[[], bool],
        member_id: str = "",
        instance: str = "",
    ) -> str:
        """Join or join again; returns the member id. A static member that comes back takes its predecessor's place,
        and its assignment, without a rebalance. Raises Refusal."""
        group = self.group(name)
        now_ms = self._clock()
        if member_id:
            member = self._known(group, member_id, instance)
            member.seen_ms, member.has_joined = now_ms, True
            self._settle(group)
            return member.id
        group.made += 1
        member = Member(f"m{group.made}", tuple(topics), instance, session_ms, is_alive, now_ms)
        before = next((m for m in group.members.values() if instance and m.instance == instance), None)
        if before is not None:
            del group.members[before.id]
            member.assignment = before.assignment
        else:
            self._unsettle(group)
        group.members[member.id] = member
        member.has_joined = True
        self._settle(group)
        return member.id

    def leave(self, name: str, member_id: str) -> None:
        group = self.group(name)
        if group.members.pop(member_id, None) is not None:
            self._unsettle(group)
            self._settle(group)

    def state(self, name: str, member_id: str, instance: str = "") -> tuple[int, bool, tuple[Place, ...]]:
        """(generation, whether the group is settled, the member's assignment). Raises Refusal."""
        group = self.group(name)
        member = self._known(group, member_id, instance)
        return group.generation, group.is_settled, member.assignment

    def check_commit(
        self, name: str, member_id: str, generation: int, instance: str, *, is_transactional: bool
    ) -> None:
        """Checks a commit of offsets as the broker does, in a transaction or not. Raises Refusal."""
        group = self.group(name)
        if generation < 0 and (not group.members or (is_transactional and not member_id)):
            return  # as Apache Kafka has it: who names no member is taken for a consumer outside of any group
        self._known(group, member_id, instance)
        if generation != group.generation:
            raise Refusal(KafkaError.ILLEGAL_GENERATION, "Broker: Specified group generation id is not valid")

    def store(self, name: str, offsets: GroupOffsets) -> None:
        self.group(name).offsets.update(offsets)

    def rebalance(self) -> None:
        """The topics are not what they were."""
        for group in self.groups.values():
            self._unsettle(group)
            self._settle(group)

    def beat(self) -> None:
        """Heartbeats of all whose process runs; the others are thrown out when their session is over, and so is who
        does not join again within REBALANCE_MS."""
        now_ms = self._clock()
        for group in self.groups.values():
            for member in list(group.members.values()):
                if member.is_alive():
                    member.seen_ms = now_ms
                if now_ms >= member.seen_ms + member.session_ms or (
                    not group.is_settled and not member.has_joined and now_ms >= group.unsettled_ms + REBALANCE_MS
                ):
                    del group.members[member.id]
                    self._unsettle(group)
                    self._settle(group)

    def next_ms(self) -> list[int]:
        """When the next session ends, as things stand."""
        out = []
        for group in self.groups.values():
            out += [m.seen_ms + m.session_ms for m in group.members.values() if not m.is_alive()]
            if not group.is_settled:
                out.append(group.unsettled_ms + REBALANCE_MS)
        return out

    def _known(self, group: Group, member_id: str, instance: str) -> Member:
        if instance:
            holder = next((m for m in group.members.values() if m.instance == instance), None)
            if holder is not None and holder.id != member_id:
                raise Refusal(KafkaError.FENCED_INSTANCE_ID, "Broker: Static consumer fenced by other consumer")
        member = group.members.get(member_id)
        if member is None:
            raise Refusal(KafkaError.UNKNOWN_MEMBER_ID, "Broker: Unknown member")
        return member

    def _unsettle(self, group: Group) -> None:
        if group.is_settled:
            group.is_settled = False
            group.unsettled_ms = self._clock()
            for member in group.members.values():
                member.has_joined = False

    def _settle(self, group: Group) -> None:
        """Once all members have joined: a new generation, partitions by range over the sorted members of each topic."""
        if group.is_settled or not all(member.has_joined for member in group.members.values()):
            return
        group.generation += 1
        group.is_settled = True
        # Static members are sorted by their instance, so that they keep their partitions.
        members = sorted(group.members.values(), key=lambda m: (m.instance, int(m.id[1:])))
        shares: dict[str, list[Place]] = {member.id: [] for member in members}
        for topic in sorted({topic for member in members for topic in member.topics}):
            takers = [member for member in members if topic in member.topics]
            each, more = divmod(self._partitions(topic), len(takers))
            first = 0
            for i, member in enumerate(takers):
                count = each + (i < more)
                shares[member.id] += [(topic, p) for p in range(first, first + count)]
                first += count
        for member in members:
            member.assignment = tuple(shares[member.id])
