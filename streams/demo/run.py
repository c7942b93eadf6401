"""The demonstration: an embedded broker, labelled traffic, the real worker, and what a blocker reads from the broker.

Everything runs in this process: the broker in librdkafka's own threads, the worker and the feeder in one each, the view
here. A run ends by itself; it is sound only when every record produced was counted and committed.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rules.hours import public_holidays
from rules.model import RuleSet
from schemas.topics import BLOCK_EVENTS, CDR, DEAD_LETTERS, MESSAGE_RELAY, REVIEW_QUEUE, TOPICS
from streams.demo import readback, view
from streams.demo.feeder import Feeder
from streams.demo.readback import ReadBack
from streams.demo.summary import KOREA, FeedCounts, Summary, blocked_by_rule, lost, review_by_reason, score_all
from streams.demo.view import LiveView, Now
from streams.demo.warm import Warmth, kernels_compiled, warm
from streams.kafka.embedded import EmbeddedBroker
from streams.kafka.settings import KafkaSettings
from streams.operators.blocks import BlockState
from streams.runtime.logs import FORMAT, PrintableFormatter
from streams.runtime.settings import AT_LEAST_ONCE, WorkerSettings
from streams.runtime.start_from import StartFrom
from streams.traffic.generate import Traffic, TrafficSettings

if TYPE_CHECKING:
    from rich.console import Console

    from streams.worker.worker import Worker

PARTITIONS = 4
GROUP = "grayline-demo"
EVENT_TIME_MS_MAX = 7_200_000  # two hours, from 10:00
MS_PER_SECOND_MAX = 360_000  # a short run shows less of the day rather than the same in a blink
EVENTS_PER_S = 7_000  # what is fed: generating it shares one interpreter lock with the worker
OVERTIME = 0.1  # a busy machine falls behind; then the traffic ends early
STALLED_S = 20.0  # without one record counted
TICK_S = 0.05
ANSWER_TIMEOUT_S = 10.0
START_HOUR = 10
FRESH_DAYS = 5

ONLY = {CDR: "calls", MESSAGE_RELAY: "messages"}


def demonstrate(rules: RuleSet, seconds: float, seed: int, console: Console) -> Summary:
    """Runs the demonstration, shows it on `console`, and prints its summary there. Raises KafkaProblem when the
    embedded broker does not start, KeyboardInterrupt for a Ctrl-C before any traffic."""
    with log_file() as log, EmbeddedBroker(PARTITIONS) as broker:
        broker.create_topics(TOPICS)
        look_on = f"kcat -b {broker.bootstrap} -C -t {BLOCK_EVENTS}"
        demo = Demo(rules, seconds, seed, broker, datetime.now(UTC))
        with view.opened(console) as shown:
            shown.say(f"Embedded broker at {broker.bootstrap} while this runs; look on with\n    {look_on}")
            summary = demo.run(shown)
        summary.print(console)
        if summary.problems:
            console.print(f"The worker's log: {log}", soft_wrap=True)
        else:
            log.unlink()
    return summary


@contextmanager
def log_file() -> Iterator[Path]:
    """Sends all logging to a new file, where it does not garble the view."""
    with tempfile.NamedTemporaryFile(prefix="grayline-demo-", suffix=".log", delete=False) as file:
        path = Path(file.name)
    handler = logging.FileHandler(path)
    handler.setFormatter(PrintableFormatter(FORMAT))
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    try:
        yield path
    finally:
        root.handlers[:], level = before
        root.setLevel(level)
        handler.close()


@dataclass
class Demo:
    """One run. seconds: the time during which traffic is fed, without start, compilation and reading back."""

    rules: RuleSet
    seconds: float
    seed: int
    broker: EmbeddedBroker
    now: datetime  # picks the day; with an aware time
    interrupted: bool = False
    problems: list[str] = field(default_factory=list)

    @cached_property
    def traffic_settings(self) -> TrafficSettings:
        duration_ms = int(min(EVENT_TIME_MS_MAX, self.seconds * MS_PER_SECOND_MAX))
        return TrafficSettings(
            seed=self.seed,
            start_ms=start_ms(self.now),
            duration_ms=duration_ms,
            rate=EVENTS_PER_S * self.seconds * 1000 / duration_ms,
            only=frozenset(ONLY[topic] for topic in self.rules.topics if topic in ONLY),
        )

    def run(self, view: LiveView) -> Summary:
        """Runs to the end, whatever happens on the way; the summary's `problems` report it. A first Ctrl-C ends the
        feeding."""
        from streams.worker.worker import worker_for

        warmth = self._warm(view)
        kafka = KafkaSettings(self.broker.bootstrap)
        traffic = Traffic(self.traffic_settings)
        worker = worker_for(_worker_settings(kafka), self.rules, warmed=True)
        speed = traffic.settings.duration_ms / 1000 / self.seconds
        feeder = Feeder(traffic, kafka, speed, lambda: worker.progress().processed)
        with ReadBack(kafka, PARTITIONS) as back:
            try:
                view.joining()
                worker.start()
                begun = time.monotonic()
                self._feed(feeder, worker, back, view)
                took_s = time.monotonic() - begun
            finally:
                feeder.end(ANSWER_TIMEOUT_S)
                code = worker.stop()
            if code:
                why = f"{type(worker.problem).__name__}: {worker.problem}"
                self.problems.append(f"the worker ended with code {code}: {why}")
            back.to_end(ANSWER_TIMEOUT_S)
            dead_letters = back.records_of(DEAD_LETTERS, ANSWER_TIMEOUT_S)
        return self._summary(traffic, feeder, worker, back, warmth, took_s, dead_letters)

    def _warm(self, view: LiveView) -> Warmth:
        """Warms the kernels in a thread of its own, so that the view can show the progress."""
        begun, begun_s = time.monotonic(), time.time()
        result: list[Warmth | BaseException] = []

        def work() -> None:
            try:
                result.append(warm(self.rules))
            except BaseException as problem:
                result.append(problem)

        thread = threading.Thread(target=work, name="warm", daemon=True)
        thread.start()
        while thread.is_alive():
            view.compiling(kernels_compiled(begun_s), time.monotonic() - begun)
            thread.join(2 * TICK_S)
        if isinstance(result[0], BaseException):
            raise result[0]
        return result[0]

    def _feed(self, feeder: Feeder, worker: Worker, back: ReadBack, view: LiveView) -> None:
        """Waits until all records that were produced are counted."""
        begun = progress_at = time.monotonic()
        processed = 0
        feeder.start()
        while True:
            try:
                back.poll(TICK_S)
                view.show(self._now(feeder, worker, back))
                counted, time_now = worker.progress().processed, time.monotonic()
                if counted > processed:
                    processed, progress_at = counted, time_now
                if feeder.done and counted >= feeder.produced.total():
                    break
                if worker.problem is not None:
                    break
                if time_now - progress_at > STALLED_S:
                    self.problems.append(f"the worker has counted nothing for {STALLED_S:.0f} s")
                    break
                if time_now - begun > self.seconds * (1 + OVERTIME):
                    feeder.stop()
            except KeyboardInterrupt:
                if self.interrupted:
                    raise
                self.interrupted = True
                feeder.stop()
        if feeder.problem is not None:
            self.problems.append(f"the traffic ended early: {feeder.problem}")

    def _now(self, feeder: Feeder, worker: Worker, back: ReadBack) -> Now:
        progress, settings = worker.progress(), self.traffic_settings
        first: dict[str, BlockState] = {}
        for state in back.states[BLOCK_EVENTS]:
            if state.change == "opened":
                first.setdefault(state.number, state)
        return Now(
            start_ms=settings.start_ms,
            end_ms=settings.end_ms,
            event_time_ms=feeder.event_time_ms,
            processed=progress.processed,
            rate=progress.rate,
            lag=max(0, feeder.produced.total() - progress.processed),
            blocked=list(first.values()),
            by_rule=dict(blocked_by_rule(back.states[BLOCK_EVENTS])),
            review=len({state.number for state in back.states[REVIEW_QUEUE]}),
        )

    def _summary(
        self,
        traffic: Traffic,
        feeder: Feeder,
        worker: Worker,
        back: ReadBack,
        warmth: Warmth,
        took_s: float,
        dead_letters: int,
    ) -> Summary:
        done = readback.committed(
            KafkaSettings(self.broker.bootstrap), GROUP, self.rules.topics, PARTITIONS, ANSWER_TIMEOUT_S
        )
        feeds = {
            topic: FeedCounts(
                feeder.produced[topic], int(worker.metrics.value("records_total", topic=topic)), done[topic]
            )
            for topic in self.rules.topics
        }
        self.problems += lost(feeds)
        scored, review_only = score_all(feeder.labels(), back.values)
        review, unverified = review_by_reason(back.states[REVIEW_QUEUE], self.rules)
        return Summary(
            seed=self.seed,
            start_ms=traffic.settings.start_ms,
            end_ms=traffic.settings.end_ms,
            reached_ms=feeder.event_time_ms,
            took_s=took_s,
            warmth=warmth,
            feeds=feeds,
            dead_letters=dead_letters,
            holds=blocked_by_rule(back.states[BLOCK_EVENTS]),
            review=review,
            unverified=unverified,
            score=scored,
            review_only=review_only,
            problems=tuple(self.problems),
            interrupted=self.interrupted,
        )


def start_ms(now: datetime) -> int:
    """10:00 in Korea on the last working day that is over by then. Recent, because the worker ends holds by the real
    clock: the shortest ones would have ended by now had they begun a week ago. After long holidays, a holiday."""
    tens = [_ten_o_clock(now.astimezone(KOREA) - timedelta(days=back)) for back in range(FRESH_DAYS + 1)]
    over = [ten for ten in tens if ten + timedelta(milliseconds=EVENT_TIME_MS_MAX) <= now]
    working = [t for t in over if t.weekday() < 5 and t.date() not in public_holidays("KR", t.year)]
    return int((working or over)[0].timestamp() * 1000)


def _ten_o_clock(at: datetime) -> datetime:
    return at.replace(hour=START_HOUR, minute=0, second=0, microsecond=0)


def _worker_settings(kafka: KafkaSettings) -> WorkerSettings:
    return WorkerSettings(
        consumer=kafka.consumer(GROUP),
        producer=kafka.producer(),
        group=GROUP,
        start_from=StartFrom("earliest"),
        delivery=AT_LEAST_ONCE,  # the embedded broker has no transactions
    )
