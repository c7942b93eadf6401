"""Every kind of counter and what runs it. A new kind is one kernel, one class beside this file, and one line here."""

from __future__ import annotations

from streams.counters.amounts import Amounts
from streams.counters.concurrent import Concurrent
from streams.counters.distinct import Distinct
from streams.counters.gray import Gray
from streams.counters.window import WindowCount

KINDS: dict[str, type] = {
    "events": WindowCount,
    "gray": Gray,
    "distinct": Distinct,
    "concurrent": Concurrent,
    "sum": Amounts,
    "mean": Amounts,
}
