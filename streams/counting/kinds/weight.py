"""`weigh: {FIELD: {VALUE: WEIGHT}}`: events in a sliding window, each weighted by what one of its fields says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules.kinds import Kind, bucketed_window
from rules.reading import choice, entries, number
from streams.counting.kinds.amounts import Amounts

if TYPE_CHECKING:
    from rules.document import Document, Node
    from rules.kinds import Definition
    from rules.reading import Keys
    from schemas.feeds import InputTopic

MILLI = 1_000  # weights are kept in whole thousandths, so that sums are exact
WEIGHT_MAX = 1_000_000
PREFIX = "weight_"  # of the settings, one for each value that has a weight


class Weight(Kind):
    name, key, needs, may = "weigh", "weigh", ("weigh", "window"), ("resolution",)
    form = {"type": "object", "description": "A weight for each value of a field, added up."}  # noqa: RUF012

    def settings(self, doc: Document, keys: Keys) -> dict[str, int]:
        found = bucketed_window(doc, keys)
        for value, node in self._weights(doc, keys):
            weight = number(doc, node, "a weight")
            if weight is None:
                continue
            milli = round(weight * MILLI)
            if abs(weight * MILLI - milli) > 1e-6 or not 0 < milli <= WEIGHT_MAX * MILLI:
                message = f"a weight must be from 0.001 to {WEIGHT_MAX:,}, with at most three decimals"
                doc.error(node, message, "leave out a value that is to weigh nothing" if weight == 0 else "")
            found[PREFIX + value.text] = milli
        return found

    def field(self, doc: Document, keys: Keys, feed: InputTopic) -> str | None:
        if "weigh" not in keys or keys["weigh"].kind != "mapping":
            return None
        named = keys["weigh"].pairs
        if len(named) != 1:
            doc.error(keys["weigh"], "`weigh` needs exactly one field", "", tuple(feed.choices))
            return None
        ((key, values),) = named
        field = choice(doc, key, f"field of {feed.name} to weigh by", tuple(feed.choices))
        for value, _ in values.pairs if field is not None else ():
            choice(doc, value, f"value of `{field}`", tuple(filter(None, feed.choices[field or ""])))
        return field

    def value_columns(self, counter: Definition, feed: InputTopic) -> tuple[str, ...]:
        assert counter.field is not None
        return (feed.columns[counter.field],)

    def weights(self, counter: Definition, feed: InputTopic) -> tuple[int, ...]:
        assert counter.field is not None
        return tuple(counter.setting(PREFIX + value, 0) for value in feed.choices[counter.field])

    def reach_ms(self, counter: Definition) -> int:
        return counter["window_ms"]

    def state(self, counter: Definition, at: int) -> Amounts:
        return Amounts(counter, at, mean=False)

    def _weights(self, doc: Document, keys: Keys) -> list[tuple[Node, Node]]:
        """Returns value and weight of every entry, of the first field if there are several."""
        if "weigh" not in keys:
            return []
        fields = entries(doc, keys["weigh"], "`weigh`")
        for field, values in fields or ():
            listed = entries(doc, values, f"weights of `{field.text}`")
            if listed == []:
                doc.error(values, f"no value of `{field.text}` has a weight")
            return listed or []
        return []
