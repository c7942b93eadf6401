"""The figures of one run in words: a table, the budgets beside what was measured, and where a microsecond goes."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from statistics import median
from typing import Any

from bench.measures import MEASURES, Bench
from bench.peers import JAVA


@dataclass(frozen=True)
class Budget:
    """figure: what was measured, in words; met: None when it was not measured."""

    what: str
    budget: str
    figure: str
    met: bool | None

    @property
    def verdict(self) -> str:
        return "not measured" if self.met is None else "met" if self.met else "missed"


def budgets(bench: Bench) -> list[Budget]:
    latency, memory = bench.results.get("latency", []), bench.results.get("memory", [])
    replay = bench.results.get("replay", [])
    starts = [max(result["seconds"].values()) for result in bench.results.get("start", [])]
    gray = [result["process_ns"] for result in bench.results.get("gray", []) if "process_ns" in result]
    restores = [1000 * result["empty"]["seconds"] for result in bench.results.get("restore", [])]
    flink, jet = (f"gray job against {n}, second half of the runs" for n in ("Flink 1.20", "Hazelcast Jet"))
    return [
        _ratio(bench, "gray job against the raw client", "gray", "raw", 1.0),
        _ratio(bench, flink, "gray", "flink", 2.0, "second_half"),
        _ratio(bench, jet, "gray", "jet", 1.5, "second_half"),
        _ratio(bench, "shipped packs, mixed, against the gray job", "packs", "gray", 0.6),
        _most("processor time of a message, gray job", gray, 1300, "ns"),
        _ratio(bench, "gray job against stock Faust", "gray", "faust", 300),
        _ratio(bench, "kernels alone, six counters, against the raw client", "kernels", "raw", 3.5),
        _ratio(bench, "replay of Parquet against the raw client", "parquet", "raw", 1.2),
        _ratio(bench, "replay of JSON lines against the raw client", "replay", "raw", 0.9),
        _most("memory per tracked number", [r["bytes_per_number"] for r in memory or replay], 350, "bytes"),
        _most("produce to block visible, p99, at half the peak", [r["p99_ms"] for r in latency], 500, "ms"),
        _most("the same at a third", [r["third"]["p99_ms"] for r in latency], 300, "ms"),
        _most("the same at 30,000 messages/s, p50", [r["steady"]["p50_ms"] for r in latency], 50, "ms"),
        _most("the same at 30,000 messages/s, p99", [r["steady"]["p99_ms"] for r in latency], 150, "ms"),
        _most("restore of 1 M numbers on an empty worker", restores, 10_000, "ms"),
        _most("start of the command line", [1000 * s for s in starts], 300, "ms"),
    ]


def pairs(bench: Bench, of: str, to: str, figure: str = "rate") -> float | None:
    """The median of the turns' ratios; turns that only one of them had are left out. The raw client runs before each
    peer too: it is compared by the run that came last before."""
    if to == "raw":
        ratios = [r[figure] / r["raw"] for r in bench.results.get(of, []) if figure in r and "raw" in r]
    else:
        mine, theirs = ([r[figure] for r in bench.results.get(name, []) if figure in r] for name in (of, to))
        ratios = [a / b for a, b in zip(mine, theirs, strict=False)]
    return median(ratios) if ratios else None


def text(bench: Bench, command: str) -> str:
    """All of it as Markdown."""
    return "\n".join([*_heading(bench, command), *_rates(bench), *_budgets(bench), *_details(bench)]) + "\n"


def as_json(bench: Bench, command: str) -> dict[str, Any]:
    return {
        "date": date.today().isoformat(),
        "machine": machine(),
        "command": command,
        "results": bench.results,
        "budgets": [{**budget.__dict__, "verdict": budget.verdict} for budget in budgets(bench)],
    }


def machine() -> str:
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as info:
            model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), model)
    except OSError:
        pass
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load} at the end"


def _heading(bench: Bench, command: str) -> Iterator[str]:
    sizes = bench.sizes
    yield f"# Results, {date.today().isoformat()}"
    yield ""
    yield f"Made by `{command}` on: {machine()}. The broker and all clients share the machine."
    if bench.wanted & {"raw", "gray", "older", *JAVA, "faust"}:
        yield (
            f"Gray job: {sizes.messages:,} messages of 213 bytes of JSON, 51,711 senders, one with 25 % of all, "
            f"4 partitions; stock Faust reads the first {sizes.subset:,}."
        )
    if bench.blocked:
        yield f"Checked in each run: Grayline blocked the {bench.blocked} numbers that a reference finds in the input,"
        yield "each once, and every other processor those that the reference finds in the part which that one read."
    yield ""


def _rates(bench: Bench) -> Iterator[str]:
    rows = []
    for name, what in MEASURES.items():
        if (rate := bench.rate(name)) is None or name in ("latency", "profile"):
            continue
        results = bench.results[name]
        to_raw = pairs(bench, name, "raw") if name in ("fetch", "gray", "messages", "older", *JAVA) else None
        rows.append(
            (
                what,
                f"{rate:,.0f}",
                " ".join(f"{each:,.0f}" for each in bench.rates(name)),
                _median_of(results, "second_half"),
                "" if to_raw is None else f"{to_raw:.2f}",
                _median_of(results, "rss_mb"),
                _median_of(results, "cpu_s"),
                _median_of(results, "process_ns"),
            )
        )
    if rows:
        head = ("what", "events/s (median)", "runs", "second half", "to raw", "RSS MB", "CPU s", "ns each")
        yield from _table(head, rows)
        yield ""
        if (ratio := pairs(bench, "gray", "older")) is not None:
            yield f"To the checkout of --beside, the median of the turns' ratios: {ratio:.2f}."
        yield "Rates run from the first record processed to the last. Second half: over the second half of the records."
        yield "CPU s: of the whole process, its start included. To raw: median of the ratios to the raw run before."
        yield "Ns each: processor time of the whole process for a message, from the first to the last."
        yield ""


def _budgets(bench: Bench) -> Iterator[str]:
    yield "## Budgets"
    yield ""
    yield from _table(
        ("what", "budget", "measured", "verdict"), [(b.what, b.budget, b.figure, b.verdict) for b in budgets(bench)]
    )
    yield ""


def _details(bench: Bench) -> Iterator[str]:
    if fetches := bench.results.get("fetch", []):
        shown = {name: median(r[name] for r in fetches) for name in ("thread_ns", "process_ns")}
        objects = {name: median(r["as_messages"][name] for r in fetches) for name in shown}
        yield (
            f"Fetch: a message costs the fetching thread {shown['thread_ns']:,.0f} ns in columns, without the "
            f"interpreter lock, and {objects['thread_ns']:,.0f} ns as a message that is asked for value, partition, "
            f"offset and timestamp, with it; the whole process {shown['process_ns']:,.0f} and "
            f"{objects['process_ns']:,.0f} ns."
        )
        yield ""
    for result in bench.results.get("restore", [])[-1:]:
        empty, local = result["empty"], result["local"]
        yield (
            f"Restore, after {result['records']:,} messages, shipped packs: {empty['tracked_numbers']:,.0f} numbers "
            f"({empty['state_bytes'] / 1e6:,.0f} MB) from the topics in {empty['seconds']:.1f} s, from its own "
            f"disk in {local['seconds']:.1f} s."
        )
        yield ""
    for result in bench.results.get("memory", [])[-1:]:
        yield (
            f"Memory: {result['records']:,} messages of an hour, {result['tracked_numbers']:,.0f} numbers held in "
            f"{result['engine_mb']:,.0f} MB of resident memory: {result['bytes_per_number']:.0f} bytes a number, "
            f"{result['ids_bytes_per_number']:.0f} of them for the {result['remembered_ids']:,.0f} ids remembered "
            "against duplicates."
        )
        if "bound_record" in result:
            yield (
                f"The bound on numbers was reached at message {result['bound_record']:,} with "
                f"{result['bound_mb']:,.0f} MB; from there on {result['untracked_events']:,.0f} events of further "
                "numbers were left uncounted."
            )
        yield ""
    for result in bench.results.get("latency", [])[-1:]:
        for rate, told in (
            ("half the gray job's rate", result),
            ("a third of the gray job's rate", result["third"]),
            ("a modest rate", result["steady"]),
        ):
            yield (
                f"Latency at {rate}: {told['events']} block events at {told['rate']:,.0f} "
                f"messages/s: p50 {told['p50_ms']:.0f} ms, p99 {told['p99_ms']:.0f} ms, slowest {told['max_ms']:.0f} "
                f"ms; until the worker made the event {told['made_p50_ms']:.0f} ms (median). The producer was "
                f"{1000 * told['behind_s']:.0f} ms behind schedule at most; its queue and the broker are part of this."
            )
            yield ""
    for result in bench.results.get("replay", [])[-1:]:
        yield (
            f"Replay: {result['lines']:,} lines, {result['tracked_numbers']:,.0f} tracked numbers, "
            f"{result['bytes_per_number']:.0f} bytes each with all that the engine keeps "
            f"({result['remembered_ids']:,.0f} remembered ids among it)."
        )
        yield ""
    if kernels := bench.results.get("kernels"):
        yield "## Kernels alone, ns of processor time per event"
        yield ""
        kinds = ("uniform", "heavy_tailed")
        names = kernels[-1]["uniform_ns"]
        rows = [(n, *(_median_in(kernels, f"{kind}_ns", n) for kind in kinds)) for n in names]
        rows.append(("events/s", *(_median_of(kernels, kind) for kind in kinds)))
        yield from _table(("", *kinds), rows)
        yield ""
    if starts := bench.results.get("start"):
        shown = ", ".join(
            f"`{w}` {1000 * median(r['seconds'][w] for r in starts):.0f} ms" for w in starts[-1]["seconds"]
        )
        yield f"Start of the command line: {shown}."
        yield ""
    for result in bench.results.get("profile", [])[-1:]:
        yield "## Where a microsecond goes: the gray job, ns of processor time per event"
        yield ""
        total = sum(result["ns"].values())
        rows = [(stage, f"{ns:.0f}", f"{100 * ns / total:.0f} %") for stage, ns in result["ns"].items()]
        yield from _table(("stage", "ns", "share"), [*rows, ("all", f"{total:.0f}", "100 %")])
        yield ""


def _ratio(bench: Bench, what: str, of: str, to: str, least: float, of_run: str = "rate") -> Budget:
    ratio = pairs(bench, of, to, of_run)
    figure = "" if ratio is None else f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.0f}x"
    return Budget(what, f">= {least:g}x", figure, None if ratio is None else ratio >= least)


def _most(what: str, values: list[float], most: float, unit: str) -> Budget:
    if not values:
        return Budget(what, f"<= {most:g} {unit}", "", None)
    return Budget(what, f"<= {most:g} {unit}", f"{median(values):,.0f} {unit}", median(values) <= most)


def _median_of(results: list[dict[str, Any]], name: str) -> str:
    values = [result[name] for result in results if name in result]
    return f"{median(values):,.0f}" if values else ""


def _median_in(results: list[dict[str, Any]], name: str, inner: str) -> str:
    return f"{median(result[name][inner] for result in results):,.0f}"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in (head, tuple("-" * width for width in widths), *rows):
        yield "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
