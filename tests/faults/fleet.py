"""A few workers under a supervisor, and everything that may happen to them: one round of the kill loop."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.faults.kills import STEPS
from tests.faults.scene import Scene
from tests.faults.traffic import OTHER_RULES, RULES, five_hours_ago, traffic
from tests.faults.zygote import Process

RECORDS = 400  # new ones for each fault
LIMIT_S = 150.0
FLEET_MAX = 3
SLEEPS_S = (0.5, 2.0, 5.0)


@dataclass
class Member:
    """One place in the fleet; `number` names a static member and its folder."""

    number: int
    worker: Process


class Round:
    """`faults` faults, one after the other, while traffic comes; the scene's seed draws all of them. happened: how
    often which did."""

    def __init__(self, scene: Scene, faults: int, silences_s: Sequence[float]) -> None:
        self.scene = scene
        self.faults = faults
        self.silences_s = silences_s
        self.happened: Counter[str] = Counter()
        self._draw = random.Random(scene.seed)
        self._are_named, pauses = self._draw.random() < 0.5, self._draw.random() < 0.5
        # Under pauses, less can be compared.
        self._weights = FAULTS if pauses else {fault: n for fault, n in FAULTS.items() if fault is not Round._pause}
        self._fleet: list[Member] = []
        self._paused = self._reloaded = False

    def run(self) -> None:
        """All is caught up, and everybody has ended in order, when it returns."""
        scene, draw = self.scene, self._draw
        records = traffic(scene.seed, five_hours_ago(), RECORDS * (self.faults + 1))
        scene.on_look = self._supervise
        for _ in range(draw.randint(1, FLEET_MAX)):
            self._join()
        with scene.feeding(records):
            for _ in range(self.faults):
                if draw.random() < 0.75:  # else two faults in a row
                    self._progress()
                (fault,) = draw.choices(list(self._weights), list(self._weights.values()))
                self.happened[fault.__name__.strip("_")] += 1
                fault(self)
            if self._paused:
                self._pause()
            self._progress()
        scene.wait_caught_up(limit_s=LIMIT_S)
        while self._fleet:
            self._leave()

    def _progress(self) -> None:
        """A hundred records more are committed, or all there are."""
        scene = self.scene
        before = sum(scene.committed().values())
        scene.wait_until(
            lambda: sum(scene.committed().values()) >= before + 100 or scene.lag() == 0, "progress", limit_s=LIMIT_S
        )

    # --------------------------------------------------------------------------------------------------- supervision

    def _supervise(self) -> None:
        """Whoever was killed, or failed with code 1, is started again; nobody may end otherwise."""
        for member in self._fleet:
            code = member.worker.exit_code
            if code is None:
                continue
            self._look_at(member.worker, code, (1, -signal.SIGKILL))
            self.happened["restarted"] += 1
            member.worker = self._start(member.number)

    def _start(self, number: int, kill_at: dict[str, str] | None = None) -> Process:
        if self._are_named:
            return self.scene.start_named(member=number, kill_at=kill_at)
        return self.scene.start(kill_at=kill_at)

    def _join(self) -> None:
        number = min({*range(1, FLEET_MAX + 1)} - {member.number for member in self._fleet})
        self._fleet.append(Member(number, self._start(number)))

    def _leave(self, member: Member | None = None) -> None:
        member = member or self._fleet[-1]
        self._end(member)
        self._fleet.remove(member)

    def _end(self, member: Member) -> None:
        """In order, unless it has failed just now, or has not even begun."""
        member.worker.signal(signal.SIGTERM)
        code = member.worker.wait(LIMIT_S)
        self._look_at(member.worker, code, (0, 1, -signal.SIGTERM, -signal.SIGKILL))

    def _look_at(self, worker: Process, code: int, may: tuple[int, ...]) -> None:
        assert code in may, f"ended with code {code}, seed {self.scene.seed}\n{worker.log}"
        assert "Traceback" not in worker.log, f"seed {self.scene.seed}\n{worker.log}"
        if code == 1:
            self.happened["failed"] += 1

    # -------------------------------------------------------------------------------------------------------- faults

    def _any(self) -> Member:
        return self._draw.choice(self._fleet)

    def _kill(self) -> None:
        self._any().worker.kill()
        self._supervise()

    def _kill_all(self) -> None:
        for member in self._fleet:
            member.worker.kill()
        self._supervise()

    def _kill_at_a_step(self) -> None:
        member = self._any()
        member.worker.kill()
        member.worker = self._start(member.number, self._draw.choice(STEPS))

    def _stop(self) -> None:
        member = self._any()
        self._end(member)
        member.worker = self._start(member.number)

    def _sleep(self) -> None:
        worker = self._any().worker
        worker.signal(signal.SIGSTOP)
        time.sleep(self._draw.choice(SLEEPS_S))  # the fault itself: nothing is waited for
        worker.signal(signal.SIGCONT)

    def _come_or_go(self) -> None:
        if len(self._fleet) == 1 or (len(self._fleet) < FLEET_MAX and self._draw.random() < 0.5):
            self._join()
        else:
            self._leave(self._any())

    def _lose_the_store(self) -> None:
        member = self._any()
        member.worker.kill()
        shutil.rmtree(self.scene.state_of(member.number), ignore_errors=True)
        member.worker = self._start(member.number)

    def _kill_the_broker(self) -> None:
        self.scene.broker.kill()
        self.scene.broker.start()

    def _silence_the_broker(self) -> None:
        self.scene.silence(self._draw.choice(self.silences_s))

    def _reload(self) -> None:
        self._reloaded = not self._reloaded
        self.scene.reload(OTHER_RULES if self._reloaded else RULES)

    def _pause(self) -> None:
        self._paused = not self._paused
        self.scene.pause(self._paused)


# How often each is drawn.
FAULTS: dict[Callable[[Round], None], int] = {
    Round._kill: 4,
    Round._kill_all: 1,
    Round._kill_at_a_step: 4,
    Round._stop: 2,
    Round._sleep: 2,
    Round._come_or_go: 3,
    Round._lose_the_store: 1,
    Round._kill_the_broker: 1,
    Round._silence_the_broker: 1,
    Round._reload: 2,
    Round._pause: 4,
}
