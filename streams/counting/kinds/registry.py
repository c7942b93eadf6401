"""Every kind of counter and what runs it. A new kind is one kernel, one class beside this file, and one line here."""

from __future__ import annotations

from streams.counting.kinds.amounts import Amounts
from streams.counting.kinds.concurrent import Concurrent
from streams.counting.kinds.distinct import Distinct
from streams.counting.kinds.gray import Gray
from streams.counting.kinds.window import WindowCount

KINDS: dict[str, type] = {
    "events": WindowCount,
    "gray": Gray,
    "distinct": Distinct,
    "concurrent": Concurrent,
    "sum": Amounts,
    "mean": Amounts,
}
