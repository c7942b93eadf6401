"""In each generation every partition belongs to one member, and to the same one of every topic."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Owners:
    """generations: (group, generation, partition) -> the process that was told it owns the partition."""

    told: dict[tuple[str, int, int], str] = field(default_factory=dict)

    def assigned(self, process: str, group: str, generation: int, places: tuple[tuple[str, int], ...]) -> None:
        topics: dict[int, set[str]] = {}
        for topic, partition in places:
            topics.setdefault(partition, set()).add(topic)
        assert len({frozenset(names) for names in topics.values()}) <= 1, (
            f"{process} owns partitions of some topics only"
        )
        for partition in topics:
            before = self.told.setdefault((group, generation, partition), process)
            # A static member that was restarted takes its predecessor's place without a new generation.
            assert before.split(".")[0] == process.split(".")[0], (
                f"partition {partition} belongs to {before} and {process} in generation {generation}"
            )
