"""Every kind of counter that ships. A new kind is one kernel, one module beside this one, and one line here."""

from __future__ import annotations

from rules.kinds import register
from streams.counting.kinds.amounts import Mean, Sum
from streams.counting.kinds.concurrent import Live
from streams.counting.kinds.credited import CreditedReporters
from streams.counting.kinds.distinct import DistinctValues
from streams.counting.kinds.gray import GrayLevels
from streams.counting.kinds.peak import Peak
from streams.counting.kinds.quantile import Quantile
from streams.counting.kinds.ratio import Ratio
from streams.counting.kinds.share import ShareOfEvents
from streams.counting.kinds.weight import Weight
from streams.counting.kinds.window import Window

KINDS = (
    Window(), Live(), GrayLevels(), DistinctValues(), Sum(), Mean(), Weight(), ShareOfEvents(), Quantile(), Peak(),
    Ratio(), CreditedReporters(),
)  # fmt: skip
for kind in KINDS:
    register(kind)
