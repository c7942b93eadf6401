from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.units import duration_ms, duration_text


@given(st.integers(0, 10**12))
def test_a_duration_reads_back_as_it_was_written(ms):
    assert duration_ms(duration_text(ms)) == ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [("500ms", 500), ("1s", 1_000), ("1m", 60_000), ("4h", 14_400_000), ("2w", 1_209_600_000), ("1h30m", 5_400_000)],
)
def test_units(text, ms):
    assert duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "5", "5.5s", "1m1h", "1m1m", "-1s", "1 m", "1y", "１m"])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="`"):
        duration_ms(text)
