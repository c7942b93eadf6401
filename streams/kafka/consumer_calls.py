"""The consumer as other threads may use it.

A confluent-kafka consumer lets one thread in at a time, rebalance callbacks included: whoever calls it from another
thread waits for the poll, and for ever when the callback waits for that caller. So other threads leave their calls
here, and the polling thread makes them between two polls and while a callback waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

PATIENCE_S = 0.01


class Group:
    """The calls of the consumer that a delivery needs. Any thread may make them; only the polling thread calls `serve`.

    The metadata of the group's present generation are taken at each assignment."""

    def __init__(self, consumer: Any) -> None:
        self.polling = threading.Lock()  # held by the polling thread during a poll, callbacks included
        self._consumer = consumer
        self._metadata: Any = None
        self._left: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()

    def joined(self) -> None:
        """The polling thread: a generation begins."""
        self._metadata = self._consumer.consumer_group_metadata()

    def left(self) -> None:
        """The polling thread: the generation is over. A commit that still waits would be let pass by a group that has
        become empty, and move its offsets back."""
        self._metadata = None

    def consumer_group_metadata(self) -> Any:
        return self._metadata

    def committed(self, partitions: list[Any], timeout: float) -> Any:
        return self._ask(lambda: self._consumer.committed(partitions, timeout=timeout))

    def commit(self, *, offsets: list[Any], asynchronous: bool) -> Any:
        return self._ask(lambda: self._commit(offsets, asynchronous))

    def _commit(self, offsets: list[Any], asynchronous: bool) -> Any:
        from confluent_kafka import KafkaError, KafkaException

        if self._metadata is None:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_MEMBER_ID, "no member of the group any more"))
        return self._consumer.commit(offsets=offsets, asynchronous=asynchronous)

    def serve(self, timeout_s: float = 0.0) -> None:
        """Makes the calls that other threads have left; waits so long for the first."""
        try:
            while True:
                work, answer = self._left.get(timeout_s > 0, timeout_s or None)
                timeout_s = 0.0
                try:
                    answer.set_result(work())
                except BaseException as problem:
                    answer.set_exception(problem)
        except Empty:
            return

    def _ask(self, work: Callable[[], Any]) -> Any:
        answer: Future[Any] = Future()
        self._left.put((work, answer))
        while not answer.done():
            if self.polling.acquire(timeout=PATIENCE_S):  # nobody polls: nobody else would serve
                try:
                    self.serve()
                finally:
                    self.polling.release()
        return answer.result()
