"""The views of a running demonstration: a live screen on a terminal, a line a second elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from schemas.printable import printable
from streams.demo.summary import cell, korean_time
from streams.operators.blocks import BlockState

if TYPE_CHECKING:
    from rich.console import Console

LINE_INTERVAL_S = 1.0
FRAME_INTERVAL_S = 0.25
COMPILED_FIRST = "compiling kernels (first start only)"
JOINING = "the worker joins its consumer group"
# Rows of the screen that are not the list of newest blocks.
FRAME_ROWS = 12
RULES_SHOWN_MAX = 8
NEWEST_MIN = 3
WIDE = 100  # columns; with fewer, a block's reason needs the room of its rule


@dataclass(frozen=True)
class Now:
    """One moment of the run."""

    start_ms: int
    end_ms: int
    event_time_ms: int
    processed: int  # records
    rate: float  # records a second
    lag: int  # records produced and not yet counted
    blocked: list[BlockState]  # numbers blocked for the first time, oldest first
    by_rule: dict[str, int]
    review: int  # numbers in the review queue

    @property
    def share(self) -> float:
        return min(1.0, max(0.0, (self.event_time_ms - self.start_ms) / (self.end_ms - self.start_ms)))


class LiveView(Protocol):
    def say(self, line: str) -> None: ...

    def compiling(self, kernels: int, seconds: float) -> None:
        """Called now and then while the kernels are warmed."""
        ...

    def joining(self) -> None:
        """Called once, before the worker joins its group, which takes some seconds."""
        ...

    def show(self, now: Now) -> None: ...


@contextmanager
def opened(console: Console) -> Iterator[LiveView]:
    """Opens the view that suits the console. At the end a screen disappears; lines stay."""
    if not console.is_terminal:
        yield Lines(console)
        return
    from rich.live import Live

    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield Screen(console, live)


class Lines:
    """One line a second at most."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._due = 0.0

    def say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)

    def compiling(self, kernels: int, seconds: float) -> None:
        if kernels and self._is_due(10 * LINE_INTERVAL_S):
            self.say(f"{COMPILED_FIRST}: {kernels} so far, {seconds:.0f} s")

    def joining(self) -> None:
        self.say(JOINING)

    def show(self, now: Now) -> None:
        if not self._is_due(LINE_INTERVAL_S):
            return
        newest = max(now.blocked, key=_begun, default=None)
        newest_text = printable(f"  newest {newest.number} {_rule(newest)}") if newest else ""
        self.say(
            f"{korean_time(now.event_time_ms):%H:%M:%S}  {now.processed:>9,} events  {now.rate:>7,.0f}/s  "
            f"lag {now.lag:>6,}  blocked {len(now.blocked):>3}  review {now.review:>3}{newest_text}"
        )

    def _is_due(self, interval_s: float) -> bool:
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + interval_s
        return True


class Screen:
    """A frame that is drawn over itself four times a second, within the terminal's own height."""

    def __init__(self, console: Console, live: Any) -> None:
        from rich.spinner import Spinner

        self._console, self._live = console, live
        self._spinner = Spinner("dots")
        self._due = 0.0

    def say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)

    def compiling(self, kernels: int, seconds: float) -> None:
        what = f"{COMPILED_FIRST}: {kernels} so far, {seconds:.0f} s" if kernels else "loading kernels"
        self._spinner.update(text=f" {what}")
        self._live.update(self._spinner, refresh=True)

    def joining(self) -> None:
        # Nothing draws while the worker joins: a spinner would stand still.
        self._live.update(JOINING, refresh=True)

    def show(self, now: Now) -> None:
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + FRAME_INTERVAL_S
        self._live.update(self._frame(now), refresh=True)

    def _frame(self, now: Now) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        at = korean_time(now.event_time_ms)
        top = Table.grid(expand=True, padding=(0, 1))
        top.add_column(no_wrap=True)
        top.add_column(ratio=1)
        top.add_column(justify="right", no_wrap=True)
        top.add_row(
            Text(f"{at:%a %d %b %H:%M:%S} KST", style="bold"),
            ProgressBar(total=1.0, completed=now.share),
            f"{now.share:4.0%}",
        )
        figures = Table.grid(padding=(0, 3))
        figures.add_row(
            f"[bold]{now.processed:,}[/] events", f"[bold]{now.rate:,.0f}[/]/s", f"lag [bold]{now.lag:,}[/]",
            f"blocked [bold red]{len(now.blocked):,}[/]", f"for review [bold yellow]{now.review:,}[/]",
        )  # fmt: skip
        return Group(top, figures, self._rules(now), self._newest(now))

    def _rules(self, now: Now) -> Any:
        from rich.text import Text

        if not now.by_rule:
            return Text("nobody blocked yet", style="dim")
        table = _columns()
        table.add_column("blocks by rule", no_wrap=True)
        table.add_column(justify="right")
        table.add_column(ratio=1)
        most = max(now.by_rule.values())
        ranked = sorted(now.by_rule.items(), key=lambda item: -item[1])
        for rule, count in ranked[: self._rules_max()]:
            table.add_row(cell(rule), f"{count:,}", Text("█" * max(1, round(count / most * 20)), style="red"))
        return table

    def _newest(self, now: Now) -> Any:
        from rich.text import Text

        if not now.blocked:
            return Text()
        table = _columns()
        table.add_column("newest", no_wrap=True)
        table.add_column("number", no_wrap=True)
        wide = self._console.width >= WIDE
        if wide:
            table.add_column("rule", no_wrap=True)
        table.add_column("reason", no_wrap=True, overflow="ellipsis", ratio=1)
        rules = min(self._rules_max(), len(now.by_rule))
        room = max(NEWEST_MIN, self._console.height - FRAME_ROWS - rules)
        # Partitions are read one after the other, so that what was read last need not be the newest.
        for state in sorted(now.blocked, key=_begun, reverse=True)[:room]:
            reason = (state.hold.reason or "") if state.hold else ""
            rule = (cell(_rule(state)),) if wide else ()
            table.add_row(f"{korean_time(_begun(state)):%H:%M:%S}", cell(state.number), *rule, cell(reason))
        return table

    def _rules_max(self) -> int:
        return max(NEWEST_MIN, min(RULES_SHOWN_MAX, (self._console.height - FRAME_ROWS) // 2))


def _columns() -> Any:
    from rich import box
    from rich.table import Table

    return Table(
        box=box.SIMPLE_HEAD, expand=True, pad_edge=False, padding=(0, 1), collapse_padding=True, header_style="dim"
    )


def _rule(state: BlockState) -> str:
    return state.hold.rule if state.hold else ""


def _begun(state: BlockState) -> int:
    """Event time of the hold that this record opened."""
    return (state.hold.from_ if state.hold else None) or 0
