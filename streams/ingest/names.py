"""The texts of those whom records name by a text: relays, resellers, accounts, carriers.

In columns they are hashes. Beside the key of one who is counted for, the text is kept, so that what is said of him
names him: it is learnt where a record is decoded, goes with derived events, and is part of the image."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

NAMES_MAX = 1 << 20  # that one worker has learnt; whoever is new beyond them is counted for nobody
_RECENT = (1 << 16) - 1
_POSITIVE = np.int64(2**63 - 1)


class Names:
    """Texts by key. fields: by topic, the fields whose texts are learnt."""

    def __init__(self, fields: Mapping[str, frozenset[str]]) -> None:
        self.of: dict[int, str] = {}
        self._fields = fields
        self._recent = np.zeros(_RECENT + 1, np.int64)  # by their last bits, keys of which nothing is left to learn

    def learn(self, topic: str, columns: Mapping[str, np.ndarray], text: Callable[[str, int], str | None]) -> None:
        """columns: of records, with hashes of their texts. text: of a field of the i-th record."""
        for field in self._fields.get(topic, ()):
            keys = keys_of(columns[field])
            fresh = np.flatnonzero(self._recent[keys & _RECENT] != keys)  # most are among those that came just now
            found, first = np.unique(keys[fresh], return_index=True)
            self._recent[found & _RECENT] = found
            for key, i in zip(found.tolist(), fresh[first].tolist(), strict=True):
                if key and key not in self.of and len(self.of) < NAMES_MAX:
                    told = text(field, i)
                    if told is not None:  # half a character has no bytes
                        self.of[key] = told.encode("utf-8", "backslashreplace").decode()


def keys_of(hashes: np.ndarray) -> np.ndarray:
    """int64[n]: a key below 0 for each hash of a text, 0 for none. No telephone number has such a key."""
    keys = -(hashes & _POSITIVE)
    keys[(keys == 0) & (hashes != 0)] = -1
    return keys
