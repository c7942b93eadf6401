"""One history from the first record to the last check: who runs when, what goes wrong, and that everything heals."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any
from unittest.mock import patch

from rules.registry import Entry
from schemas.feeds import FEEDS
from schemas.numbers import normalise
from schemas.registry import ALLOWED
from schemas.topics import BLOCK_EVENTS, CONTROL, CONTROL_GLOBAL, LEDGER, REKEYED, SNAPSHOTS, TOPICS
from streams.holds.pause import PAUSE_KEY, Pause
from streams.holds.registry_records import record_of
from streams.ingest.admission import Intake
from streams.kafka.reader import Span
from streams.runtime.settings import WorkerSettings
from streams.runtime.start_from import StartFrom
from streams.state import manifest
from streams.state.restore import Restore
from tests.sim.checkers import (
    blocks_followed,
    derived_once,
    expected_blocks,
    holds_add_up,
    ledger_matches,
    no_litter,
    offsets_advance,
    replay_agrees,
    state_matches,
    strays_once,
)
from tests.sim.checkers.expected import expected
from tests.sim.disk import Disk
from tests.sim.faults import Rates
from tests.sim.fibers import Process
from tests.sim.history import HOUR, MINUTE, MONDAY_0859_MS, NUMBERS, Feeds, Input
from tests.sim.log import Record
from tests.sim.primitives import installed
from tests.sim.rules import CHANGED, READ, rules
from tests.sim.worker import SimWorker
from tests.sim.world import GROUP, World

WORKERS_MAX = 3
HEAL_LIMIT_MS = 10 * MINUTE
OBEYED_MS = 6_000  # until then every worker has obeyed the operators' newest word, and told so
DAY_MS = 24 * HOUR
ENTERED = (*(normalise(number).key for number in NUMBERS[:6]), 82101111000, 821011)  # numbers, then prefixes


@dataclass
class Plan:
    """The decisions of one seed before anything happens."""

    delivery: str
    names: list[str]  # of static members; empty for dynamic ones
    has_disk: bool
    batch_size: int
    commit_interval_ms: int
    poll_timeout_ms: int
    snapshot_interval_ms: int
    bursts: int
    rules: str = "alone"  # tests.sim.rules
    breaker: tuple[int, float] = (0, 0.0)
    ids_max: int | None = None  # that a partition remembers at most
    session_ms: int = 6_000
    ends_with_echo: bool = False  # the last that comes are duplicates
    idle: float = 0.0  # share of bursts in which nothing comes, and only time passes
    slice_bytes: int = 8 * 1024 * 1024  # of a snapshot in one transaction; the first chunk goes in any case

    @classmethod
    def drawn(cls, random: Random) -> Plan:
        plan = cls(
            delivery="at_least_once" if random.random() < 0.15 else "exactly_once",
            names=[f"w{i}" for i in range(WORKERS_MAX)] if random.random() < 0.5 else [],
            has_disk=random.random() < 0.6,
            batch_size=random.choice((1, 7, 50, 10_000)),
            commit_interval_ms=random.choice((20, 200, 1_000)),
            poll_timeout_ms=random.choice((20, 300)),
            snapshot_interval_ms=random.choice((50, 1_000, 10_000)),
            bursts=random.randint(3, 12),
        )
        if plan.delivery == "exactly_once":
            plan.rules = random.choice(("alone", "across", "others", "read", "ordered", "derived"))
            if random.random() < 0.3:
                plan.breaker = random.choice(((1, 0.0), (2, 3.0)))
            if random.random() < 0.2:
                plan.ids_max = 9
        if random.random() < 0.3:
            plan.idle = 0.4
        plan.ends_with_echo = random.random() < 0.3
        if random.random() < 0.3:
            plan.slice_bytes = 1
        return plan


@dataclass
class History:
    """Runs as soon as it is told to; `world` and `workers` are for the checkers."""

    seed: int
    rates: Rates | None = None
    plan: Plan | None = None
    world: World = field(init=False)
    feeds: Feeds = field(init=False)
    workers: list[SimWorker] = field(default_factory=list)
    started: int = 0
    has_changed_rules: bool = False
    has_choice: bool = True  # workers that start are told where to begin

    def __post_init__(self) -> None:
        self.world = World(self.seed, MONDAY_0859_MS + self.seed % 7 * 5 * HOUR, 1 + self.seed % 4, self.rates)
        random = self.random = self.world.random
        strays = frozenset(random.sample(NUMBERS, 3)) if random.random() < 0.4 else frozenset()
        self.plan = self.plan or Plan.drawn(random)
        self.world.rules_in_force, self.world.breaker = rules(self.plan.rules), self.plan.breaker
        self.world.also = READ.get(self.plan.rules, ())
        topics = tuple(topic for topic in FEEDS if topic in self.world.topics)
        has_relays = bool(self.world.rules_in_force.others)
        self.feeds = Feeds(random, self.world.partitions, topics, strays, has_relays)
        if self.plan.delivery == "at_least_once":
            # Nobody fences a worker that sleeps past its session: docs/operations.md says what it may do then. And what
            # is produced again after a crash is produced under the word and the rules of that moment.
            rates = self.world.faults.rates
            self.world.faults.rates = replace(rates, freeze=0.0, jump=0.0, pause=0.0, reload=0.0, enter=0.0)
        if self.plan.ids_max:
            # When a full memory forgets hangs on how many of its ids are too old to count; here none gets that old.
            self.world.faults.rates = replace(self.world.faults.rates, jump=0.0)

    # -- the course of it --------------------------------------------------------------------------------------

    def run(self) -> None:
        """Raises AssertionError when a law is broken, whatever a fiber raised, and Stuck."""
        assert self.plan is not None
        ids_max = self.plan.ids_max
        intake = Intake if ids_max is None else partial(Intake, remembered_max=ids_max)
        with (
            warnings.catch_warnings(),
            installed(self.world.scheduler),
            patch("streams.counting.counts.Intake", intake),
            patch("streams.state.snapshots.SLICE_BYTES_MAX", self.plan.slice_bytes),
            patch.object(Restore, "_count", self._noted(Restore._count)),
        ):
            warnings.simplefilter("ignore")  # coroutines of killed processes are never awaited
            self._trouble()
            self._heal()
            self.check()
            self._begin_anew()
            self._heal()
            self._snapshot_all()
            self.check()
            no_litter.check(self.world)
            self._end_of_it()

    def _noted(self, count: Callable[..., None]) -> Callable[..., None]:
        """`Restore._count`, and the log of what is counted knows of it."""

        def noted(restore: Restore, span: Span, messages: list[Any]) -> None:
            place, offsets = (span.topic, restore.partition), {message.offset() for message in messages}
            self.world.counted.replayed(restore._engine.rules, place, offsets)
            count(restore, span, messages)

        return noted

    def _end_of_it(self) -> None:
        """Somebody changes the topics: whoever runs ends, and nobody can start."""
        self.random.choice((self._grow, self._make_anew))()

    def check(self) -> None:
        assert self.plan is not None
        world, once = self.world, self.plan.delivery == "exactly_once"
        offsets_advance.check(world)
        strays_once.check(world, once)
        holds_add_up.check(world, once)
        if world.counted.is_made_up_for:
            return
        made = expected(world)
        derived_once.check(world, made, once)
        expected_blocks.check(world, made, once, self._is_plain())
        state_matches.check(world, made, self._running())
        ledger_matches.check(world, made)
        blocks_followed.check(world, made)
        if self._is_plain() and not self.feeds.strays:
            replay_agrees.check(world, once)

    def _is_plain(self) -> bool:
        """True if the reference knows all that happened."""
        assert self.plan is not None
        is_changed = self.world.rules_in_force is not rules(self.plan.rules) or self.has_changed_rules
        is_told = self.world.pause or self.world.has_entered
        is_read = set(self.world.also) - {CONTROL}  # topics that the reference does not know
        return not (is_changed or is_read or is_told or self.plan.breaker[0] or self.plan.ids_max)

    def _begin_anew(self) -> None:
        """Everybody is killed, and what is on the disks is lost: one worker finds everything again in the topics."""
        for worker in self._running():
            self.world.crashed(worker.process)
        self.world.disks.clear()
        self.world.note(None, "all killed, all disks lost")
        self._start()

    def _trouble(self) -> None:
        assert self.plan is not None
        random, rates = self.random, self.world.faults.rates
        for _ in range(random.randint(1, 2)):
            self._start()
        for _ in range(self.plan.bursts):
            if self.plan.idle and random.random() < self.plan.idle:
                self._pass(random.choice((2_000, 8_000, 30_000)))
            else:
                self._feed(random.choice((1, 5, 20, 60)))
                self._pass(random.choice((1, 50, 300, 2_000, 8_000)))
            if random.random() < rates.away:
                self.world.broker.away_until_ms = self.world.now_ms + random.choice((300, 5_000, 20_000))
                self.world.note(None, "the broker is away")
            if random.random() < rates.scale:
                self._start()
            if random.random() < rates.stop and self._running():
                random.choice(self._running()).stop()
            if random.random() < rates.compact:
                self._compact()
            if random.random() < rates.trim:
                self._trim()
            if random.random() < rates.jump:
                self._jump()
            if rates.enter and random.random() < rates.enter:
                self._enter()
            if random.random() < rates.pause:
                self._tell()
            if random.random() < rates.reload:
                self._change_rules()
            if random.random() < rates.lose_disk and self._running():
                self._lose_disk()
            if not self._running() or random.random() < 0.2:
                self._start()
        if self.plan.ends_with_echo:
            self._put(self.feeds.echo(self.world.now_ms, 5))

    def _heal(self) -> None:
        """No more trouble: within a few minutes everything that was fed is committed, whoever has to do it."""
        world = self.world
        world.faults.is_quiet = True
        world.note(None, "from here on nothing goes wrong")
        for worker in self.workers:
            worker.process.frozen_until_ms = 0
        self._until(self.is_caught_up)
        self._pass(OBEYED_MS)
        self._until(self.is_caught_up)

    def _until(self, holds: Callable[[], bool]) -> None:
        limit_ms = self.world.now_ms + HEAL_LIMIT_MS
        while not holds():
            if not self._running():
                self._start()
            self._pass(500, limit_ms)
            assert self.world.now_ms < limit_ms, f"no peace after {HEAL_LIMIT_MS / MINUTE:.0f} minutes: {self.lag()}"

    def _snapshot_all(self) -> None:
        """Something comes in every partition, and a snapshot of each covers it."""
        world = self.world
        for topic, partition in world.input_places():
            if topic in world.topics:
                world.broker.logs[topic, partition].append(world.now_ms, b"k", b"{")
        self._until(lambda: self.is_caught_up() and all(self._is_covered(p) for p in range(world.partitions)))

    def _is_covered(self, partition: int) -> bool:
        newest = no_litter.newest(self.world, partition)
        committed = {topic: at for (topic, p), at in self.world.committed().items() if p == partition}
        return newest is not None and newest.offsets == committed

    def _grow(self) -> None:
        world = self.world
        world.note(None, "one more partition")
        world.broker.grow([name for name, spec in TOPICS.items() if spec.partitions_like_input], world.partitions + 1)
        self._all_end(world.committed(), "another partition count")

    def _make_anew(self) -> None:
        """An input, `rekeyed` or `ledger` is made anew, and an input has more records than before."""
        world = self.world
        topic = self.random.choice((*world.rules_in_force.topics, REKEYED, LEDGER))
        world.note(None, f"{topic} is made anew")
        ends = {place: world.broker.logs[place].end for place in world.broker.places(topic)}
        committed = world.committed()
        world.broker.make_anew(topic)
        self.has_choice = False
        if topic not in (REKEYED, LEDGER):
            for place, end in ends.items():
                for _ in range(end + 3):
                    world.broker.logs[place].append(world.now_ms, b"k", b"{")
        self._all_end(committed, f"{topic} made anew")

    def _all_end(self, before: dict[tuple[str, int], int], what: str) -> None:
        """Every worker ends with code 2, and so does one that starts. before: what was committed, and all that may
        be."""
        world = self.world
        limit_ms = world.now_ms + HEAL_LIMIT_MS
        for starts in (False, True):
            outputs = [len(world.broker.logs[place].records) for place in world.output_places()]
            if starts:
                self._start()
            while self._running():
                self._pass(500, limit_ms)
                assert world.now_ms < limit_ms, f"with {what} a worker goes on"
            assert self.workers[-1].exit == 2, f"{what}: {self.workers[-1].problem!r}"
        assert world.committed().items() <= before.items(), f"something was committed with {what}"
        now = [len(world.broker.logs[place].records) for place in world.output_places()]
        assert now == outputs, f"something was published with {what}"

    def _pass(self, duration_ms: int, limit_ms: int | None = None) -> None:
        until_ms = self.world.now_ms + duration_ms
        scheduler = self.world.scheduler
        timer = scheduler.tick
        scheduler.tick = lambda: min(timer(), until_ms) if scheduler.now_ms < until_ms else timer()
        scheduler.run(lambda: self.world.now_ms >= until_ms, until_ms + DAY_MS)
        scheduler.tick = timer

    def lag(self) -> dict[tuple[str, int], int]:
        committed = self.world.committed()
        behind = {}
        for place in self.world.input_places():
            # Behind the last record may lie the ends of transactions, which nobody commits.
            records = self.world.broker.logs[place].committed()
            last = records[-1].offset + 1 if records else 0
            if committed.get(place, 0) < last:
                behind[place] = last - committed.get(place, 0)
        return behind

    def told(self) -> str:
        """One line about how it went."""
        assert self.plan is not None
        told = "\n".join(self.world.trace)
        counts = {what: told.count(what) for what in ("killed", "frozen", "lost", "assigned", "disk error", "ended")}
        shown = ", ".join(f"{what} {count}" for what, count in counts.items() if count)
        return (
            f"{self.plan.delivery}, {len(self.feeds.sent)} records, {self.world.partitions} partitions, "
            f"{self.started} workers, {len(self.world.commits)} commits; {shown}"
        )

    def is_caught_up(self) -> bool:
        """Nothing to read, nothing undecided, everything back."""
        logs = self.world.broker.logs.values()
        theirs = [w.flow.partitions for w in self._running() if w.flow is not None]
        live = [p for partitions in theirs if partitions.ready for p in partitions.live]
        # A worker that was frozen may not have heard yet that its partitions are another's.
        is_owned = sorted(live) == list(range(self.world.partitions))
        return is_owned and not self.lag() and not any(log.open for log in logs)

    # -- what happens ------------------------------------------------------------------------------------------

    def _running(self) -> list[SimWorker]:
        return [worker for worker in self.workers if worker.is_running]

    def _start(self) -> None:
        """One more worker. Of static ones a name is given twice only while its first bearer is frozen or gone."""
        assert self.plan is not None
        running = self._running()
        taken = {w.settings.name for w in running if w.process.frozen_until_ms <= self.world.now_ms}
        names = [name for name in self.plan.names if name not in taken]
        if len(running) >= WORKERS_MAX or (self.plan.names and not names):
            return
        name = names[0] if names else ""
        self.started += 1
        process = Process(f"{name or 'w'}.{self.started}")
        settings = WorkerSettings(
            consumer={"session.timeout.ms": self.plan.session_ms},
            producer={},
            group=GROUP,
            start_from=StartFrom("earliest") if self.has_choice else None,
            batch_size=self.plan.batch_size,
            commit_interval_ms=self.plan.commit_interval_ms,
            poll_timeout_ms=self.plan.poll_timeout_ms,
            snapshot_interval_ms=self.plan.snapshot_interval_ms,
            delivery=self.plan.delivery,
            name=name,
        )
        # Two processes never share a disk: a real one is locked.
        has_disk = self.plan.has_disk and not any(w.settings.name == name for w in running)
        if has_disk and not name:
            self.world.disks[""] = Disk()
            has_disk = False
        self.workers.append(SimWorker(self.world, process, settings, has_disk))

    def _feed(self, count: int) -> None:
        now_ms = self.world.now_ms
        is_echo = self.random.random() < 0.15
        self._put(self.feeds.echo(now_ms, count) if is_echo else self.feeds.burst(now_ms, count))

    def _put(self, records: list[Input]) -> None:
        for record in records:
            place = (record.topic, record.partition)
            self.world.broker.logs[place].append(self.world.now_ms, record.key, record.value)
        self.world.note(None, f"fed {len(records)}")

    def _compact(self) -> None:
        self.world.note(None, "compaction")
        for topic in (LEDGER, SNAPSHOTS, BLOCK_EVENTS, CONTROL_GLOBAL):
            for place in self.world.broker.places(topic):
                log = self.world.broker.logs[place]
                log.compact(self.random.randint(0, log.end), self.world.now_ms - DAY_MS)

    def _trim(self) -> None:
        """Retention as operators are told to set it: never beyond what a restore needs."""
        snapshots = [manifest.decode(r.value) for r in self._manifests()]
        for place in self.world.input_places():
            needed = [m.offsets.get(place[0], 0) for m in snapshots if m.partition == place[1]]
            if needed:
                self.world.broker.logs[place].trim(self.random.randint(0, needed[-1]))

    def _manifests(self) -> list[Record]:
        found = []
        for place in self.world.broker.places(LEDGER):
            found += [r for r in self.world.broker.logs[place].committed() if (r.key or b"").startswith(b"#snapshot")]
        return found

    def _tell(self) -> None:
        """The operators' next word."""
        world, random = self.world, self.random
        paused = random.random() < 0.7 if world.pause is None else not world.pause.paused
        # One that ends by itself is over before everything is checked.
        until_ms = world.now_ms + 2_000 if paused and random.random() < 0.3 else None
        pause = world.pause = Pause(id=f"p{len(world.trace)}", paused=paused, at=world.now_ms, until=until_ms)
        world.broker.append((CONTROL_GLOBAL, 0), PAUSE_KEY, pause.row())
        world.note(None, f"operators tell: paused={paused}")

    def _enter(self) -> None:
        """The operators tell an entry, replace one, or take one back."""
        world, random = self.world, self.random
        key = random.choice(ENTERED)
        digits = 0 if key > 10**11 else len(str(key))
        hours = random.choice(((-200, 200), (-1, 1), (0, 200), (-200, 0)))
        since_ms, until_ms = (world.now_ms + hour * HOUR for hour in hours)
        entry = Entry(ALLOWED, digits, key, since_ms, until_ms, "an owner", "a reason")
        record = record_of(entry, f"e{len(world.trace)}", world.now_ms, "")
        is_over = random.random() < 0.4
        world.entries.pop(record.key or b"", None)
        if not is_over:
            world.entries[record.key or b""] = entry
        world.has_entered = True
        world.broker.append((CONTROL_GLOBAL, 0), record.key, None if is_over else record.value)
        world.note(None, f"operators {'take back' if is_over else 'tell'} an entry")

    def _change_rules(self) -> None:
        assert self.plan is not None
        world = self.world
        changed = CHANGED[self.plan.rules]
        name = self.plan.rules if world.rules_in_force is rules(changed) else changed
        world.rules_in_force, self.has_changed_rules = rules(name), True
        world.note(None, f"operators change the rules: {world.rules_in_force.version}")
        for worker in self._running():
            worker.reload()

    def _lose_disk(self) -> None:
        worker = self.random.choice(self._running())
        self.world.note(worker.process, "killed, and its disk is lost")
        self.world.crashed(worker.process)
        self.world.disks.pop(worker.settings.name, None)

    def _jump(self) -> None:
        """Every machine sleeps, the broker's too, and its timers are due when they wake up."""
        duration_ms = self.random.choice((MINUTE, HOUR))
        self.world.note(None, f"nobody runs for {duration_ms // 1000} s")
        self.world.scheduler.now_ms += duration_ms
