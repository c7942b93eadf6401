"""Mistakes put into the product, each of which some history has to notice."""

from __future__ import annotations

import pytest

from tests.sim.mutations import MUTATIONS, noticed


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mistake_put_into_the_product_is_noticed(name: str) -> None:
    assert noticed(MUTATIONS[name]), f"{MUTATIONS[name].what}: no history fails"
