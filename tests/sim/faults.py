"""The faults of a call of a client or a disk, and their rates: drawn from the seed when the history begins."""

from __future__ import annotations

from dataclasses import dataclass, fields
from random import Random
from typing import TYPE_CHECKING

from tests.sim.fibers import Process, SimCrash

if TYPE_CHECKING:
    from tests.sim.world import World

# Which calls may lose what. A lost request never reached the broker, a lost answer's did. Cut off before or behind the
# request's arrival, the client gets no other answer either for long. A late request arrives after the client has given
# up. A lost record is refused by its broker for good.
LOSSES = {
    "init_transactions": ("lost request", "lost answer"),
    "send_offsets": ("lost request", "lost answer"),
    "commit_transaction": (
        "lost request",
        "lost answer",
        "cut off before",
        "cut off behind",
        "late request",
        "lost record",
    ),
    "abort_transaction": ("lost request", "lost answer", "cut off before", "cut off behind", "late request"),
    "flush": ("lost record",),
    "commit": ("lost request", "lost answer"),
}
DISK = ("disk write", "disk drop", "disk read")


@dataclass
class Rates:
    """Chances per call, or per moment of the director's."""

    crash: float = 0.0
    freeze: float = 0.0
    freeze_between: float = 0.0  # between what a rebalance takes and what it gives
    slow: float = 0.0
    loss: float = 0.0
    disk_error: float = 0.0
    away: float = 0.0
    scale: float = 0.0  # workers come and go
    stop: float = 0.0
    compact: float = 0.0
    trim: float = 0.0
    jump: float = 0.0
    reload: float = 0.0  # operators change the rules
    pause: float = 0.0  # they pause new blocks, or resume them
    lose_disk: float = 0.0
    forget: float = 0.0
    late_marker: float = 0.0  # a partition hears late how a transaction ended
    turn: float = 0.0  # of awaits on an event loop at which others go first
    enter: float = 0.0  # operators tell an entry of the registry, or take one back

    @classmethod
    def drawn(cls, random: Random) -> Rates:
        """Most histories have a few kinds of trouble, so that each also happens alone."""
        most = cls(
            crash=0.01, freeze=0.006, freeze_between=0.1, slow=0.02, loss=0.05, disk_error=0.05, away=0.05, scale=0.1,
            stop=0.05, compact=0.2, trim=0.1, jump=0.02, reload=0.1, pause=0.15, lose_disk=0.1, forget=0.001,
            late_marker=0.05, turn=0.3, enter=0.3,
        )  # fmt: skip
        share = random.choice((0.0, 0.2, 0.4, 0.7))
        return cls(**{f.name: getattr(most, f.name) * (random.random() < share) for f in fields(cls)})


class Faults:
    def __init__(self, world: World, rates: Rates) -> None:
        self._world = world
        self.rates = rates
        self.is_quiet = False  # the trouble is over: everything must heal

    def meet(self, process: Process, call: str) -> str:
        """At the beginning of a call. Returns what it is to lose, "" for nothing; raises SimCrash."""
        world, rates, random = self._world, self.rates, self._world.random
        world.check_alive(process)
        world.scheduler.wait(world.now_ms)  # anybody else may go first
        if random.random() < 0.2:
            world.scheduler.sleep(random.randint(1, 30))
        if self.is_quiet:
            return ""
        if random.random() < rates.slow:
            world.note(process, f"slow {call}")
            world.scheduler.sleep(random.randint(30, 3_000))
        if random.random() < rates.freeze:
            duration_ms = random.choice((500, 3_000, 9_000, 12_000, 25_000))
            world.note(process, f"frozen in {call} for {duration_ms} ms")
            process.frozen_until_ms = world.now_ms + duration_ms
            world.scheduler.wait(world.now_ms)
        # Idle polls are most of all calls; the others are where a crash tells.
        if random.random() < rates.crash * (0.1 if call == "consume" else 1):
            world.note(process, f"killed in {call}")
            world.crashed(process)
            raise SimCrash(137)
        if call in LOSSES and random.random() < rates.loss:
            loss = random.choice(LOSSES[call])
            world.note(process, f"{loss} in {call}")
            return loss
        if rates.forget and call == "consume" and random.random() < rates.forget:
            world.note(process, "a consumer forgets its brokers")
            return "forgotten brokers"
        if call in DISK and random.random() < rates.disk_error:
            world.note(process, f"disk error in {call}")
            return "disk error"
        return ""

    def meet_rebalance(self, process: Process) -> None:
        """When a member has given up its partitions, and the group may go on without it."""
        if self.is_quiet or self._world.random.random() >= self.rates.freeze_between:
            return
        duration_ms = self._world.random.choice((3_000, 12_000, 40_000))
        self._world.note(process, f"frozen between two assignments for {duration_ms} ms")
        process.frozen_until_ms = self._world.now_ms + duration_ms
        self._world.scheduler.wait(self._world.now_ms)

    def marker_delay_ms(self) -> int:
        """Until one more partition hears how a transaction ended."""
        random = self._world.random
        if self.is_quiet or random.random() >= self.rates.late_marker:
            return 0
        return random.choice((5, 100, 1_000, 4_000))
