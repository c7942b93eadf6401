"""The identity of a counter, by which its rows are known wherever they are loaded."""

from __future__ import annotations

import hashlib
from dataclasses import fields

from rules.expressions import Expression
from rules.model import Counter
from streams.counting.kinds.base import CounterState


def _plain(value: object) -> object:
    """A form of a definition's field that is the same for equal values in every process."""
    if isinstance(value, frozenset):
        return sorted(value)
    return value.source if isinstance(value, Expression) else value


def identity_of(counter: Counter, state: CounterState) -> str:
    """The identity of a counter: a hash of its definition and of the form in which it is kept. Rows of one id mean the
    same in any worker. A part of the definition that came later and says nothing is left out, so that older rows keep
    their id."""
    said = [(field, getattr(counter, field.name)) for field in fields(counter) if field.compare]
    said = [(field, value) for field, value in said if value is not None or "came_later" not in field.metadata]
    definition = (
        [(field.name, _plain(value)) for field, value in said],
        state.words, [(name, pool.cells.shape[1], pool.cells.dtype.name) for name, pool in state.pools().items()],
    )  # fmt: skip
    return hashlib.blake2b(repr(definition).encode(), digest_size=8).hexdigest()
