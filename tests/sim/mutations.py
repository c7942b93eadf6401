"""Mistakes put into the product on purpose: the simulator is worth something only if it notices each of them.

`python -m tests.sim.mutations [NAME...]` says for each after how many histories it was noticed, and by which law."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

from confluent_kafka import TopicPartition

from schemas.topics import DERIVED, LEDGER
from streams.captures.writing import CaptureWriter
from streams.counting.image import Images
from streams.counting.others import Others
from streams.counting.table import VOUCHED, TopicState
from streams.delivery.flow import Flow
from streams.delivery.orders import Orders
from streams.delivery.outbox import Outbox
from streams.delivery.partitions import Partitions
from streams.delivery.transactional import Transactional
from streams.engine.engine import Engine
from streams.holds.breaker import Breaker
from streams.holds.firings import ENFORCE
from streams.holds.hold import Change, LedgerHold
from streams.holds.ledger import Ledger
from streams.holds.obey import held
from streams.holds.passes import NEVER as FOREVER
from streams.holds.registrations import Registrations
from streams.holds.registry_records import ToldEntries
from streams.holds.rulings import Rulings
from streams.holds.sanctions import Sanctions
from streams.ingest import strays
from streams.ingest.admission import NEVER, Intake
from streams.ingest.derived import pack
from streams.ingest.epoch import home_of
from streams.ingest.memory import PlaceMemories
from streams.kafka.consumer_calls import Group
from streams.kafka.reader import BROKER_TIMEOUT_S, Reader
from streams.kafka.reconnecting import LastingConsumer
from streams.kernels.intake import ANSWERS_NOTED
from streams.operators.blocks import BlockTable
from streams.state.restore import Restore
from streams.state.snapshots import Snapshots
from tests.sim.consumer import FakeConsumer
from tests.sim.director import History, Plan
from tests.sim.faults import Rates
from tests.sim.world import World

HISTORIES_MAX = 100

CRASHES = Rates(crash=0.02, scale=0.2, slow=0.02)
LOSSES = Rates(loss=0.3, slow=0.02)
FREEZES = Rates(freeze=0.03, slow=0.05, scale=0.3)
CHANGES = Rates(scale=0.6, stop=0.4, slow=0.02)
TURNS = Rates(turn=0.5)
ENTERS = Rates(enter=0.8, crash=0.01, scale=0.3, stop=0.2)
LATE_MARKERS = Rates(late_marker=0.5, scale=0.6, stop=0.4, slow=0.02)
FROZEN_BETWEEN = Rates(freeze_between=0.6, scale=0.6, stop=0.3)
OTHERS = {"rules": "derived"}
COMES_AND_GOES = Rates(freeze=0.06, slow=0.1, scale=0.5, stop=0.4)


@dataclass(frozen=True)
class Mutation:
    """apply: puts the mistake in for the time of a `with`. world: of the history that runs."""

    what: str
    rates: Rates
    apply: Callable[[], Any]
    plan: dict[str, Any] = field(default_factory=dict)  # in what its histories differ from others


def offsets_before_outputs() -> Any:
    produce, commit = Transactional.produce, Transactional.commit

    def held_back(self: Any, records: Any) -> None:
        self.__dict__.setdefault("held", []).extend(records)

    def mutant(self: Any, offsets: Any) -> bool:
        held = self.__dict__.pop("held", [])
        if not commit(self, offsets):
            return False
        produce(self, held)
        return commit(self, offsets)

    return _both(patch.object(Transactional, "produce", held_back), patch.object(Transactional, "commit", mutant))


def records_forgotten_at_an_abort() -> Any:
    abort = Transactional._abort

    def mutant(self: Any, why: Any) -> None:
        abort(self, why)
        self._records = []

    return patch.object(Transactional, "_abort", mutant)


def unanswered_commit_taken_for_none() -> Any:
    return patch.object(Transactional, "_finds", lambda self, note, places: False)


def unanswered_commit_taken_for_done() -> Any:
    return patch.object(Transactional, "_finds", lambda self, note, places: True)


def ledger_not_loaded() -> Any:
    return patch.object(Engine, "load_ledger", lambda self, rows: None)


def nothing_counted_silently() -> Any:
    async def mutant(self: Any, manifest: Any) -> Any:
        return
        yield

    return patch.object(Restore, "_replay", mutant)


def memory_kept_after_a_foreign_commit() -> Any:
    revoked = Partitions.revoked

    def mutant(self: Any, is_exact: bool) -> None:
        revoked(self, is_exact=True)
        self.is_ahead = False

    return _both(
        patch.object(Partitions, "revoked", mutant),
        patch.object(Partitions, "_is_untouched", lambda self, partition, kept, start: kept is not None),
    )


def snapshot_says_more_than_it_has() -> Any:
    take = Snapshots._take

    def mutant(self: Any, partition: int, state: Any, offsets: dict[str, int]) -> Any:
        return take(self, partition, state, {topic: at + 1 for topic, at in offsets.items()})

    return patch.object(Snapshots, "_take", mutant)


def manifest_outside_of_the_transaction() -> Any:
    next_slice, init = Snapshots.next_slice, World.__post_init__
    worlds: list[World] = []

    def begun(self: World) -> None:
        init(self)
        worlds.append(self)

    def mutant(self: Any) -> list[Any]:
        records = next_slice(self)
        for record in records:
            if record.topic == LEDGER:
                worlds[-1].broker.append((LEDGER, record.partition), record.key, record.value)
        return records

    return _both(patch.object(World, "__post_init__", begun), patch.object(Snapshots, "next_slice", mutant))


def zombie_commits_without_a_generation() -> Any:
    def metadata(self: Any) -> Any:
        poller, self._consumer._poller = self._consumer._poller, None
        try:
            return self._consumer.consumer_group_metadata()
        finally:
            self._consumer._poller = poller

    return _both(
        patch.object(Group, "consumer_group_metadata", metadata),
        patch("streams.delivery.transactional.is_member", lambda member: True),
    )


def pause_taken_for_forgotten() -> Any:
    resume = FakeConsumer.resume

    def mutant(self: Any, places: Any) -> None:
        if self._poller is None:  # not from a callback of the group
            resume(self, places)

    return patch.object(FakeConsumer, "resume", mutant)


def outcomes_wait_for_their_caller() -> Any:
    process = Flow.process

    def step(self: Any, decoded: Any) -> None:
        self.__dict__.setdefault("late", []).append(self.engine.step(decoded))

    async def mutant(self: Any, epoch: Any) -> None:
        await process(self, epoch)
        for outcome in self._outbox.__dict__.pop("late", []):
            self._outbox._gather(outcome)

    return _both(patch.object(Outbox, "step", step), patch.object(Flow, "process", mutant))


def notes_not_compared() -> Any:
    def mutant(self: Any, partition: int, kept: Any, start: Any) -> bool:
        return kept == {place: at for place, at in start.offsets.items() if place[1] == partition}

    return patch.object(Partitions, "_is_untouched", mutant)


def ledger_read_to_its_stable_end() -> Any:
    def mutant(self: Any, topic: str, partition: int) -> Any:
        return self._committed.get_watermark_offsets(TopicPartition(topic, partition), timeout=BROKER_TIMEOUT_S)

    return patch.object(Reader, "ends", mutant)


def forwarded_once_only() -> Any:
    forward = LastingConsumer.forward

    def mutant(self: Any, places: Any) -> None:
        if not self.__dict__.get("has_forwarded"):
            self.__dict__["has_forwarded"] = True
            forward(self, places)

    return patch.object(LastingConsumer, "forward", mutant)


def lost_brokers_are_waited_for() -> Any:
    return patch.object(LastingConsumer, "_another", lambda self, topic: None)


class _AsEver(dict[Any, Any]):
    def get(self, key: Any, default: Any = None) -> Any:
        class Same:
            def __eq__(self, other: object) -> bool:
                return True

        return Same()


def clocks_that_only_duplicates_moved_left_out() -> Any:
    place = Images._place

    def mutant(self: Any, *arguments: Any) -> Any:
        self._last_marks = _AsEver(self._last_marks)
        return place(self, *arguments)

    return patch.object(Images, "_place", mutant)


def unfinished_chunks_left_for_ever() -> Any:
    adopt, interrupt = Snapshots.adopt, Snapshots.interrupt

    def adopted(self: Any, partition: int, manifest: Any, *, is_local: bool, litter: Any = ()) -> None:
        adopt(self, partition, manifest, is_local=is_local)

    def interrupted(self: Any) -> None:
        interrupt(self)
        for state in self._partitions.values():
            state.litter = ()

    return _both(patch.object(Snapshots, "adopt", adopted), patch.object(Snapshots, "interrupt", interrupted))


def floor_of_ids_not_saved() -> Any:
    save = Intake.save
    return patch.object(Intake, "save", lambda self, source, whole: replace(save(self, source, whole), floor=NEVER))


def forgotten_answers_not_told() -> Any:
    make_room = PlaceMemories.make_room

    def mutant(self: Any, seen_since: int, answers_since: int) -> None:
        noted = self.state[ANSWERS_NOTED]
        make_room(self, seen_since, answers_since)
        self.state[ANSWERS_NOTED] = noted

    return patch.object(PlaceMemories, "make_room", mutant)


def clocks_of_feeds_not_saved() -> Any:
    def mutant(self: Any, source: int, whole: bool) -> Any:
        saved = save(self, source, whole)
        return replace(saved, clocks=saved.clocks[:0])

    save = Intake.save
    return patch.object(Intake, "save", mutant)


def breaker_rows_not_written() -> Any:
    return patch.object(Breaker, "changed_rows", lambda self: [])


def strays_counted_where_they_lie() -> Any:
    return patch("streams.ingest.decode_share.sort_out", lambda raw, decoded, partitions: decoded)


def strays_forget_where_they_came_from() -> Any:
    unwrap = strays.unwrap

    def mutant(raw: Any, read: Any, partitions: int) -> Any:
        batches, wrong = unwrap(raw, read, partitions)
        return [replace(batch, partition=home_of(batch.partition)) for batch in batches], wrong

    return patch("streams.ingest.decode_share.unwrap", mutant)


def vouched_reading_left_out_of_images() -> Any:
    save = TopicState._save

    def mutant(self: Any, reading: str, index: Any) -> Any:
        return save(self, reading, index[:0] if reading == VOUCHED else index)

    return patch.object(TopicState, "_save", mutant)


def topics_only_read_left_out_of_images() -> Any:
    place = Images._place

    def mutant(self: Any, at: Any, *arguments: Any) -> Any:
        return place(self, at, *arguments) if self._states[at[0]].counters else iter(())

    return patch.object(Images, "_place", mutant)


def rules_not_written_to_the_ledger() -> Any:
    def mutant(self: Any, live: Any) -> None:
        told, self._next_rules = self._next_rules, None
        if told is not None:
            self._outbox.switch(*told)

    return patch.object(Orders, "switch_rules", mutant)


def follower_keeps_what_it_read_first() -> Any:
    apply = BlockTable.apply

    def mutant(self: Any, key: Any, value: Any) -> Any:
        number = (key or b"").decode()
        return self._newest[number] if number in self._newest else apply(self, key, value)

    return patch.object(BlockTable, "apply", mutant)


def recorded_without_timestamps() -> Any:
    write = CaptureWriter.write

    def mutant(self: Any, records: Any) -> None:
        write(self, [record._replace(timestamp=0) for record in records])

    return patch.object(CaptureWriter, "write", mutant)


def entries_obeyed_in_the_middle_of_a_commit() -> Any:
    def mutant(self: Any, told: Any, *, at_once: bool = False) -> None:
        self._next_told = told
        self._go_by(told)

    return patch.object(Orders, "adopt_registry", mutant)


def entries_not_told_to_what_is_restored() -> Any:
    tell = Orders.tell

    def mutant(self: Any, partition: int, rules: Any, pause: Any, registry: Any) -> None:
        tell(self, partition, rules, pause, self._outbox.engine.registry.version)

    return patch.object(Orders, "tell", mutant)


def entries_never_taken_back() -> Any:
    take = ToldEntries.take
    return patch.object(ToldEntries, "take", lambda self, key, value: value and take(self, key, value))


@contextmanager
def _both(one: Any, other: Any) -> Iterator[None]:
    with one, other:
        yield


def rulings_not_loaded() -> Any:
    load = Ledger.load

    def mutant(self: Any, rows: Any, partitions: int = 0) -> int:
        numbers = load(self, rows, partitions)
        for number in list(self.rulings):
            self.rulings.put(number, ())
        return numbers

    return patch.object(Ledger, "load", mutant)


def registrations_not_loaded() -> Any:
    load = Ledger.load

    def mutant(self: Any, rows: Any, partitions: int = 0) -> int:
        numbers = load(self, rows, partitions)
        for number in list(self.registrations):
            self.registrations.put(number, ())
        return numbers

    return patch.object(Ledger, "load", mutant)


def rules_blind_for_the_orders_of_their_epoch() -> Any:
    return patch.object(Registrations, "during", lambda self, orders: {})


def releases_not_written() -> Any:
    end = Ledger.end

    def mutant(self: Any, hold: Any, at_ms: int) -> None:
        is_touched = hold.number in self._touched
        end(self, hold, at_ms)
        if not is_touched:
            del self._touched[hold.number]

    return _both(patch.object(Ledger, "end", mutant), patch.object(Ledger, "add_ruling", lambda *_: None))


def rulings_say_nothing() -> Any:
    return patch.object(Rulings, "against", lambda self, number, rule, at_ms: ("", FOREVER))


def orders_obeyed_each_time_they_come() -> Any:
    return patch("streams.engine.order_reader.DUPLICATE", -1)


def review_times_not_loaded() -> Any:
    load = Ledger.load

    def mutant(self: Any, rows: Any, partitions: int = 0) -> int:
        numbers = load(self, rows, partitions)
        for hold in self._holds.values():
            hold.review_by_ms = None
        return numbers

    return patch.object(Ledger, "load", mutant)


def silence_ends_by_wall_time() -> Any:
    return patch.object(Ledger, "expire", _expire_and_block)


def _expire_and_block(self: Any, clock_ms: int) -> Iterator[Change]:
    due = [hold for hold in self._holds.values() if hold.review_by_ms is not None and hold.review_by_ms <= clock_ms]
    for hold in due:
        at_ms, key = hold.review_by_ms, (hold.number, hold.rule, ENFORCE)
        self.end(hold, at_ms)
        yield Change("unreviewed", hold, -1)
        yield held(self, key, at_ms, hold.until_ms, hold.content, hold.partition)
    yield from _expire(self, clock_ms)


_expire = Ledger.expire


def orders_ask_for_notices() -> Any:
    return patch.object(LedgerHold, "stands", lambda self, at_ms: self.active)


def derived_events_sent_outside_of_the_transaction() -> Any:
    """They leave with the next commit, which another worker may make."""
    take = Outbox.take

    def mutant(self: Any) -> list[Any]:
        records = take(self)
        held = self.__dict__.pop("held", [])
        self.__dict__["held"] = [record for record in records if record.topic == DERIVED]
        return [*held, *(record for record in records if record.topic != DERIVED)]

    return patch.object(Outbox, "take", mutant)


def derived_events_not_counted_again() -> Any:
    return patch.object(Others, "count", lambda self, parts: None)


def others_left_out_of_images() -> Any:
    return patch.object(Others, "take", lambda self, partition, partitions, whole: iter(()))


def recommendations_not_loaded() -> Any:
    return patch.object(Sanctions, "load", lambda self, rows: None)


def derived_events_sent_to_their_own_partition() -> Any:
    def mutant(parts: Any, partitions: int, *more: Any) -> Any:
        here = {name: int(events[0]["partition"][0]) % (1 << 16) for name, events in parts.items()}
        for record in pack(parts, partitions, *more):
            yield replace(record, partition=next(iter(here.values())))

    return patch("streams.delivery.outbox.pack", mutant)


MUTATIONS = {
    mutation.apply.__name__: mutation
    for mutation in (
        Mutation("the offsets are committed first, then the outputs", CRASHES, offsets_before_outputs),
        Mutation("an aborted transaction's records are not made again", LOSSES, records_forgotten_at_an_abort),
        Mutation("a commit without an answer is always repeated", LOSSES, unanswered_commit_taken_for_none),
        Mutation("a commit without an answer is never repeated", LOSSES, unanswered_commit_taken_for_done),
        Mutation("a restore leaves the holds out", CRASHES, ledger_not_loaded),
        Mutation("a restore does not count what follows the snapshot", CRASHES, nothing_counted_silently),
        Mutation(
            "memory is used again though others have committed", COMES_AND_GOES, memory_kept_after_a_foreign_commit
        ),
        Mutation("a snapshot names offsets ahead of its counts", CRASHES, snapshot_says_more_than_it_has),
        Mutation("a manifest is written outside of the transaction", CRASHES, manifest_outside_of_the_transaction),
        Mutation("a zombie commits without a generation", FREEZES, zombie_commits_without_a_generation),
        Mutation("a pause is taken for forgotten with its assignment", COMES_AND_GOES, pause_taken_for_forgotten),
        Mutation("what the engine returns is gathered by whoever counted", TURNS, outcomes_wait_for_their_caller),
        Mutation(
            "a delta leaves out clocks that only duplicates moved",
            CRASHES,
            clocks_that_only_duplicates_moved_left_out,
            {"ends_with_echo": True},
        ),
        Mutation(
            "unfinished snapshots' chunks are never removed",
            CRASHES,
            unfinished_chunks_left_for_ever,
            {"slice_bytes": 1},
        ),
        Mutation(
            "a snapshot does not say what a full memory has forgotten", CRASHES, floor_of_ids_not_saved, {"ids_max": 9}
        ),
        Mutation(
            "a delta leaves the answers standing that a full memory has forgotten",
            CRASHES,
            forgotten_answers_not_told,
            {"ids_max": 9, "bursts": 20},
        ),
        Mutation("a snapshot does not say which times the feeds have shown", CRASHES, clocks_of_feeds_not_saved),
        Mutation("what a breaker knows is not written", CRASHES, breaker_rows_not_written, {"breaker": (1, 0.0)}),
        Mutation(
            "memory is used again though another has committed equal offsets",
            FROZEN_BETWEEN,
            notes_not_compared,
            {"idle": 0.6, "bursts": 16, "names": []},
        ),
        Mutation("the ledger is read to its stable end only", LATE_MARKERS, ledger_read_to_its_stable_end),
        Mutation("who has lost its brokers waits for them", Rates(forget=0.02), lost_brokers_are_waited_for),
        Mutation("only the first assignment of a consumer is forwarded", CHANGES, forwarded_once_only),
        Mutation("a stray is counted where it lies", Rates(), strays_counted_where_they_lie),
        Mutation("a stray counts by its new partition's clock", Rates(), strays_forget_where_they_came_from),
        Mutation("an image leaves out what is vouched for", CRASHES, vouched_reading_left_out_of_images),
        Mutation(
            "an image leaves out topics that are only read",
            CRASHES,
            topics_only_read_left_out_of_images,
            {"rules": "read"},
        ),
        Mutation("the ledger is not told of other rules", Rates(reload=0.3), rules_not_written_to_the_ledger),
        Mutation("entries take effect between two commits", ENTERS, entries_obeyed_in_the_middle_of_a_commit),
        Mutation("what is restored is not told the entries", ENTERS, entries_not_told_to_what_is_restored),
        Mutation("an entry that is taken back stays", ENTERS, entries_never_taken_back),
        Mutation("who follows blocks keeps what came first", Rates(), follower_keeps_what_it_read_first),
        Mutation("a recorded file has no timestamps", Rates(), recorded_without_timestamps),
        Mutation("a restore leaves out what orders left behind", CRASHES, rulings_not_loaded, {"rules": "ordered"}),
        Mutation("a restore leaves out who is registered", CRASHES, registrations_not_loaded, {"rules": "ordered"}),
        Mutation(
            "rules do not see who registers in the same epoch",
            Rates(),
            rules_blind_for_the_orders_of_their_epoch,
            {"rules": "ordered"},
        ),
        Mutation("a release is not written to the ledger", CRASHES, releases_not_written, {"rules": "ordered"}),
        Mutation("a release bars nothing of before it", Rates(), rulings_say_nothing, {"rules": "ordered"}),
        Mutation(
            "an order that comes twice is obeyed twice",
            Rates(),
            orders_obeyed_each_time_they_come,
            {"rules": "ordered"},
        ),
        Mutation("a restore leaves out when silence blocks", CRASHES, review_times_not_loaded, {"rules": "ordered"}),
        Mutation("silence ends by wall time", Rates(), silence_ends_by_wall_time, {"rules": "ordered"}),
        Mutation("an order asks whether an end was noticed", Rates(), orders_ask_for_notices, {"rules": "ordered"}),
        Mutation("derived events leave a commit late", CRASHES, derived_events_sent_outside_of_the_transaction, OTHERS),
        Mutation("a restore does not count derived events", CRASHES, derived_events_not_counted_again, OTHERS),
        Mutation("an image leaves out all but numbers", CRASHES, others_left_out_of_images, OTHERS),
        Mutation("a restore leaves recommendations out", CRASHES, recommendations_not_loaded, OTHERS),
        Mutation("derived events stay in their partition", Rates(), derived_events_sent_to_their_own_partition, OTHERS),
    )
}


def noticed(mutation: Mutation, histories: int = HISTORIES_MAX) -> tuple[int, str] | None:
    """(how many histories it took, what the simulator said), or None when it noticed nothing."""
    with mutation.apply():
        for seed in range(1, histories + 1):
            try:
                history(seed, mutation).run()
            except (AssertionError, RuntimeError) as problem:
                law = root(problem)
                if not isinstance(law, AssertionError) and not hasattr(law, "exit_code"):
                    raise  # the mutation itself does not fit the product any more
                return seed, str(law)
    return None


def root(problem: BaseException) -> BaseException:
    """The error that a fiber raised, below the one that the scheduler made of it."""
    while problem.__cause__ is not None:
        problem = problem.__cause__
    return problem


def history(seed: int, mutation: Mutation) -> History:
    """Small and eventful."""
    plan = Plan(
        delivery="exactly_once", names=["w0", "w1", "w2"] if seed % 2 else [], has_disk=seed % 3 == 0, batch_size=50,
        commit_interval_ms=(20, 200)[seed % 2], poll_timeout_ms=50, snapshot_interval_ms=(50, 1_000)[seed // 2 % 2],
        bursts=8,
    )  # fmt: skip
    return History(seed, mutation.rates, replace(plan, **mutation.plan))


def main() -> int:
    logging.getLogger("grayline").setLevel(logging.CRITICAL)
    missed = 0
    for name in sys.argv[1:] or MUTATIONS:
        found = noticed(MUTATIONS[name])
        missed += found is None
        told = f"noticed in history {found[0]}: {found[1][:120]}" if found else "NOT NOTICED"
        print(f"{name}: {MUTATIONS[name].what}: {told}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
