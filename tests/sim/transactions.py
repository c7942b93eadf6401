"""The broker's transaction coordinator, as far as a client can tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from confluent_kafka import KafkaError

Place = tuple[str, int]
GroupOffsets = dict[Place, tuple[int, str]]  # (offset, metadata)


class Refusal(Exception):
    """An error code, as the broker answers it."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


@dataclass
class Transaction:
    """One transactional id. `epoch` fences: a producer with an older one may do nothing any more."""

    producer: int
    epoch: int
    timeout_ms: int
    began_ms: int = -1  # -1: nothing is open
    places: set[Place] = field(default_factory=set)  # that have no marker yet
    offsets: dict[str, GroupOffsets] = field(default_factory=dict)  # by group, pending
    last: str = ""  # how this epoch's last transaction ended

    @property
    def is_open(self) -> bool:
        return self.began_ms >= 0

    @property
    def is_ending(self) -> bool:
        """True if its end is decided, and some partition or group has not heard of it."""
        return not self.is_open and bool(self.places or self.offsets)


class Coordinator:
    """`finish(transaction, outcome)` writes the markers and applies or forgets the pending offsets, one partition after
    the other: it takes each out of the transaction when it has been told, at once or later."""

    def __init__(self, clock: Callable[[], int], finish: Callable[[Transaction, str], None]) -> None:
        self.ids: dict[str, Transaction] = {}
        self._clock = clock
        self._finish = finish
        self._producers = 0

    def initialise(self, transactional_id: str, timeout_ms: int) -> tuple[int, int]:
        """(producer id, epoch). Whatever a predecessor of the same name left open is aborted; it is fenced. Raises
        Refusal while that is on its way."""
        known = self.ids.get(transactional_id)
        if known is None:
            self._producers += 1
            known = self.ids[transactional_id] = Transaction(self._producers, 0, timeout_ms)
        else:
            if known.is_open:
                self._end(known, "abort")
                known.epoch += 1  # at once, whenever the successor may begin
            self._check_ended(known)
            known.epoch += 1
            known.timeout_ms = timeout_ms
            known.last = ""
        return known.producer, known.epoch

    def enter(self, transactional_id: str, epoch: int, place: Place) -> Transaction:
        """A partition takes part. Raises Refusal."""
        transaction = self._of(transactional_id, epoch)
        self._open(transaction)
        transaction.places.add(place)
        return transaction

    def add_offsets(self, transactional_id: str, epoch: int, group: str, offsets: GroupOffsets) -> None:
        transaction = self._of(transactional_id, epoch)
        self._open(transaction)
        transaction.offsets.setdefault(group, {}).update(offsets)

    def end(self, transactional_id: str, epoch: int, outcome: str) -> None:
        """outcome: "commit" or "abort". The same request again is answered alike. Raises Refusal."""
        transaction = self._of(transactional_id, epoch)
        if transaction.is_open:
            self._end(transaction, outcome)
        elif transaction.last and transaction.last != outcome:
            raise Refusal(KafkaError.INVALID_TXN_STATE, f"the transaction is over already: {transaction.last}")

    def time_out(self) -> None:
        """Aborts what has been open for too long, and fences its producer."""
        for transaction in self.ids.values():
            if transaction.is_open and self._clock() >= transaction.began_ms + transaction.timeout_ms:
                self._end(transaction, "abort")
                transaction.epoch += 1
                transaction.last = ""

    def next_ms(self) -> list[int]:
        return [t.began_ms + t.timeout_ms for t in self.ids.values() if t.is_open]

    def is_pending(self, group: str, place: Place) -> bool:
        """True if an open transaction holds an offset of this place."""
        return any(place in t.offsets.get(group, ()) for t in self.ids.values())

    def _of(self, transactional_id: str, epoch: int) -> Transaction:
        transaction = self.ids[transactional_id]
        if transaction.epoch != epoch:
            raise Refusal(KafkaError.INVALID_PRODUCER_EPOCH, "Producer attempted to produce with an old epoch")
        return transaction

    def _check_ended(self, transaction: Transaction) -> None:
        if transaction.is_ending:
            raise Refusal(KafkaError.CONCURRENT_TRANSACTIONS, "Broker: Producer attempted to update a transaction")

    def _open(self, transaction: Transaction) -> None:
        self._check_ended(transaction)
        if not transaction.is_open:
            transaction.began_ms = self._clock()
            transaction.last = ""

    def _end(self, transaction: Transaction, outcome: str) -> None:
        transaction.began_ms = -1
        transaction.last = outcome
        self._finish(transaction, outcome)
