"""The credit of reporters: how much a report of each weighs, by what became of those before.

    weight = (upheld + 1) / (upheld + 2 x rejected + 1)

in whole thousandths, of the reports in force that people have judged. Nobody weighs more than 1, which is also what
somebody weighs of whom nothing was rejected; a first report that is rejected leaves a third, and each that is upheld
wins some of it back. A judgement is an entry of the registry, from its `since` until its `until`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from schemas.registry import REPORT_REJECTED, REPORT_UPHELD

if TYPE_CHECKING:
    import numpy as np

    from rules.registry import Registry

WHOLE = 1000  # thousandths: what somebody weighs of whom nothing is known
WORTH = 2  # a false report costs as much as so many true ones win


@dataclass(frozen=True, eq=False)
class Credit:
    """The judgements of some registries. is_mixed: instead every reporter weighs something of his own, by which a sum
    tells whether two rows hold the same ones."""

    registries: Sequence[Registry] = ()
    is_mixed: bool = False

    @cached_property
    def steps(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reporter, time, and his weight from then on: int64[k] each, by reporter and time."""
        import numpy as np

        none = np.empty(0, np.int64)
        whom, when, verdict, count = [none], [none], [none], [none]
        for registry in self.registries:
            for code, kind in enumerate((REPORT_UPHELD, REPORT_REJECTED)):
                mine = np.flatnonzero((registry.kind == kind.code) & (registry.digits == 0))
                for times, change in ((registry.since, 1), (registry.until, -1)):
                    whom.append(registry.key[mine])
                    when.append(times[mine])
                    verdict.append(np.full(len(mine), code, np.int64))
                    count.append(np.full(len(mine), change, np.int64))
        key, at, is_false, more = (np.concatenate(column) for column in (whom, when, verdict, count))
        order = np.lexsort((at, key))
        key, at, is_false, more = key[order], at[order], is_false[order], more[order]
        last_of_key = np.append(key[1:] != key[:-1], True) if len(key) else np.empty(0, np.bool_)
        # Every entry that began ends, so the sums over a reporter's steps are 0 and the next one starts at none.
        upheld, rejected = np.cumsum(more * (1 - is_false)), np.cumsum(more * is_false)
        last = last_of_key | (np.append(at[1:] != at[:-1], True) if len(at) else last_of_key)
        return key[last], at[last], (WHOLE * (upheld + 1) // (upheld + WORTH * rejected + 1))[last]

    def weight(self, reporter: int, at_ms: int) -> float:
        """From above 0 to 1."""
        import numpy as np

        key, at, weight = self.steps
        low = int(np.searchsorted(key, reporter))
        place = low + int(np.searchsorted(at[low : np.searchsorted(key, reporter, "right")], at_ms, "right"))
        return float(weight[place - 1]) / WHOLE if place > low else 1.0


NO_CREDIT = Credit()
FINGERPRINT = Credit(is_mixed=True)
