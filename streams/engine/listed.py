"""The registry's answers about one epoch, as columns that `when` reads."""

from __future__ import annotations

from collections import Counter

import numpy as np

from rules.registry import InForce
from schemas.registry import ANSWERS, FALSE, REGISTRY_FIELDS, TRUE
from streams.ingest.merge import Merged

_TRUE, _FALSE = ANSWERS.index(TRUE), ANSWERS.index(FALSE)


class Listed:
    """Each question is asked once, however many rules ask it. matches: by kind of entry, the events of numbers that had
    one in force."""

    def __init__(self, registry: InForce) -> None:
        self.matches: Counter[str] = Counter()
        self._registry = registry
        self._columns: dict[tuple[str, int], np.ndarray] = {}

    def column(self, name: str, events: Merged) -> np.ndarray:
        """uint8[n]: codes of ANSWERS, each as of the event's own time."""
        # By identity: the events live as long as the epoch.
        asked = name, id(events)
        if asked not in self._columns:
            kind = REGISTRY_FIELDS[name]
            found = self._registry.find(kind, events["number"], events["at"]) >= 0
            if count := int(np.count_nonzero(found)):
                self.matches[kind.name] += count
            self._columns[asked] = np.where(found, _TRUE, _FALSE).astype(np.uint8)
        return self._columns[asked]
