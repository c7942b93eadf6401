"""The programs of `when`, run by the kernel, against the plain oracle of expressions and against array operations."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.expressions import NUMBER, Choice, Expression, ExpressionErrors, parse
from streams.engine.conditions import Programs
from tests.unit.rules.test_expressions import NAMES, NUMBERS, ORIGIN, condition, oracle, rows

FLAG = st.booleans()


def columns_of(drawn: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    columns = {name: np.array([row[name] for row in drawn]) for name in NUMBERS}
    for name in ("origin", "other"):
        columns[name] = np.array([ORIGIN.names.index(row[name] or "") for row in drawn], np.uint8)
    return columns


def fired(whens: list[Expression], columns: dict[str, np.ndarray], looks: list[np.ndarray]) -> list[list[int]]:
    programs = Programs(whens, lambda _, name: name)
    values = programs.values()
    for name, place in programs.sources.items():
        if isinstance(NAMES[name], Choice):
            values.put_codes(place, columns[name])
        else:
            values.put_number(place, columns[name])
    return [found.tolist() for found in programs.fired(looks, values)]


def parsed(sources: list[str]) -> list[tuple[str, Expression]]:
    out = []
    for source in sources:
        with suppress(ExpressionErrors):  # a division by a zero that is written down
            out.append((source, parse(source, NAMES)))
    return out


@settings(max_examples=300, deadline=None)
@given(sources=st.lists(condition, min_size=1, max_size=6), drawn=rows, data=st.data())
def test_programs_fire_where_the_plain_oracle_and_array_operations_say(sources, drawn, data):
    known = parsed(sources)
    columns, n = columns_of(drawn), len(drawn)
    looks = [np.array(data.draw(st.lists(FLAG, min_size=n, max_size=n))) for _ in known]
    found = fired([when for _, when in known], columns, looks)
    for (source, when), look, got in zip(known, looks, found, strict=True):
        assert got == [i for i, row in enumerate(drawn) if look[i] and oracle(source, row)], source
        assert got == np.flatnonzero(look & when.evaluate(columns, n)).tolist(), source


def test_a_column_may_be_every_second_one_of_another() -> None:
    both = np.array([1.0, 9.0, 2.0, 9.0, 3.0, 9.0])
    looks = [np.ones(3, np.bool_)]
    assert fired([parse("a >= 2", NAMES)], {"a": both[0::2]}, looks) == [[1, 2]]


def test_a_reading_of_too_few_samples_is_absent_and_a_default_stands_in_for_it() -> None:
    when = parse("a >= 2", {"a": NUMBER})
    column, samples = np.array([5.0, 5.0, np.nan, 1.0]), np.array([9.0, 2.0, 9.0, np.nan])
    for default, expected in ((None, [0]), (7.0, [0, 1, 2, 3]), (0.0, [0])):
        programs = Programs([when], lambda _, name: name)
        values = programs.values()
        values.put_number(programs.sources["a"], column, samples, 3, default)
        (found,) = programs.fired([np.ones(4, np.bool_)], values)
        assert found.tolist() == expected, default


def test_of_several_hours_that_match_the_last_limit_holds() -> None:
    programs = Programs([parse("a >= b", NAMES)], lambda _, name: name)
    values = programs.values()
    values.put_number(programs.sources["a"], np.full(4, 10.0))
    early, late = np.array([0, 1, 1, 0], np.bool_), np.array([0, 0, 1, 1], np.bool_)
    values.put_limit(programs.sources["b"], 20.0, [(early, 5.0), (late, 15.0)])
    (found,) = programs.fired([np.ones(4, np.bool_)], values)
    assert found.tolist() == [1]
