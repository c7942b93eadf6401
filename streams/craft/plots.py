"""Plots as SVG inside a page: no script, nothing from elsewhere, every text escaped."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 760, 240, 56, 34, 16, 12
BEFORE, AFTER, MARK = "#8a8f98", "#c2410c", "#1d4ed8"
STEPS = 4  # of an axis


@dataclass(frozen=True)
class Mark:
    """A vertical line. text: what it stands for."""

    at: float
    text: str
    colour: str = MARK


@dataclass(frozen=True)
class Axis:
    low: float
    high: float
    is_log: bool = False

    def share(self, value: float) -> float:
        """The place between 0 and 1; values beyond an end are at the end."""
        low, high = (math.log10(max(one, 1e-9)) if self.is_log else one for one in (self.low, self.high))
        at = math.log10(max(value, 1e-9)) if self.is_log else value
        return min(1.0, max(0.0, (at - low) / (high - low))) if high > low else 0.5

    def steps(self) -> list[float]:
        if self.is_log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            every = max(1, (last - first + STEPS) // (STEPS + 1))
            return [10.0**power for power in range(first, last + 1, every)]
        return [self.low + (self.high - self.low) * i / STEPS for i in range(STEPS + 1)]


def bars(title: str, labels: Sequence[str], series: Sequence[tuple[str, str, Sequence[float]]], note: str = "") -> str:
    """Bars side by side. series: (name, colour, a value for each label)."""
    most = max((value for _, _, values in series for value in values), default=0) or 1
    y = Axis(0, most)
    width = (WIDTH - LEFT - RIGHT) / max(1, len(labels))
    each = max(1.0, width * 0.8 / len(series))
    body = []
    for s, (name, colour, values) in enumerate(series):
        for i, value in enumerate(values):
            if value:
                x, top = LEFT + i * width + s * each, _y(y.share(value))
                told = escape(f"{labels[i]}: {name} {value:,g}")
                body.append(
                    f'<rect x="{x:.1f}" y="{top:.1f}" width="{each:.1f}" height="{HEIGHT - BOTTOM - top:.1f}" '
                    f'fill="{colour}"><title>{told}</title></rect>'
                )
    every = max(1, len(labels) // 8)
    below = [(LEFT + (i + 0.5) * width, label) for i, label in enumerate(labels) if i % every == 0]
    return _figure(title, "".join(body) + _y_axis(y) + _below(below) + _legend(series), note)


def histogram(title: str, edges: Sequence[float], counts: Sequence[int], marks: Sequence[Mark], note: str = "") -> str:
    """Counts between edges, both axes by powers of ten; vertical lines at the marks."""
    x, y = Axis(edges[0], edges[-1], is_log=True), Axis(0.5, max([*counts, 1]), is_log=True)
    body = []
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        if count:
            left, right, top = _x(x.share(low)), _x(x.share(high)), _y(y.share(count))
            told = escape(f"{low:,.4g} to {high:,.4g}: {count:,} numbers")
            body.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{max(1.0, right - left - 1):.1f}" '
                f'height="{HEIGHT - BOTTOM - top:.1f}" fill="{BEFORE}"><title>{told}</title></rect>'
            )
    for i, mark in enumerate(marks):
        at, row = _x(x.share(mark.at)), TOP + 10 + 13 * (i % 5)
        body.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="{mark.colour}"/>'
            f'<text x="{at + 3:.1f}" y="{row}" fill="{mark.colour}">{escape(mark.text)}</text>'
        )
    below = [(_x(x.share(step)), f"{step:,g}") for step in x.steps()]
    return _figure(title, "".join(body) + _y_axis(y) + _below(below), note)


def curve(
    title: str, points: Sequence[tuple[float, float, str]], marks: Sequence[int], names: tuple[str, str], note: str = ""
) -> str:
    """Points joined by a line. points: (x, y, what it is). marks: the indices of those that stand out."""
    x = Axis(0, max([p[0] for p in points] + [1]))
    y = Axis(0, max([p[1] for p in points] + [1]))
    places = [(_x(x.share(a)), _y(y.share(b))) for a, b, _ in points]
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
    body = [f'<polyline points="{line}" fill="none" stroke="{BEFORE}"/>']
    for i, ((a, b), (_, _, text)) in enumerate(zip(places, points, strict=True)):
        out = i in marks
        body.append(
            f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{6 if out else 3.5}" fill="{AFTER if out else MARK}">'
            f"<title>{escape(text)}</title></circle>"
            f'<text x="{a + 7:.1f}" y="{b - 5:.1f}">{escape(text)}</text>'
        )
    below = [(_x(x.share(step)), f"{step:,g}") for step in x.steps()]
    axes = f'<text x="{WIDTH / 2}" y="{HEIGHT - 2}" text-anchor="middle">{escape(names[0])}</text>'
    axes += f'<text x="{LEFT}" y="{TOP - 4}">{escape(names[1])}</text>'
    return _figure(title, "".join(body) + _y_axis(y) + _below(below) + axes, note)


def page(title: str, parts: Sequence[str]) -> str:
    """A whole page. It may load nothing and run nothing, whatever it holds."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1>{''.join(parts)}</body></html>\n"
    )


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]], note: str = "") -> str:
    """Whole numbers stand to the right."""
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    below = f"<p>{escape(note)}</p>" if note else ""
    return f"<h2>{escape(title)}</h2><table><tr>{head}</tr>{body}</table>{below}"


_STYLE = (
    "body{font:14px system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#1f2328}"
    "table{border-collapse:collapse}td,th{border-bottom:1px solid #d0d7de;padding:.2rem .6rem;text-align:left}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}svg text{font:11px system-ui,sans-serif;fill:#57606a}"
    "figure{margin:1.5rem 0}figcaption{font-weight:600}.good td{background:#fff1e5}"
)


def _cell(value: object) -> str:
    return f'<td class="n">{value:,}</td>' if isinstance(value, int) else f"<td>{escape(str(value))}</td>"


def _figure(title: str, body: str, note: str) -> str:
    below = f"<p>{escape(note)}</p>" if note else ""
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'role="img"><title>{escape(title)}</title>{body}</svg>{below}</figure>'
    )


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)


def _y_axis(y: Axis) -> str:
    shown: Callable[[float], str] = lambda value: f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"  # noqa: E731
    lines = [
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(y.share(step)):.1f}" y2="{_y(y.share(step)):.1f}" '
        f'stroke="#d0d7de" stroke-width=".5"/>'
        f'<text x="{LEFT - 5}" y="{_y(y.share(step)) + 4:.1f}" text-anchor="end">{shown(step)}</text>'
        for step in y.steps()
    ]
    return "".join(lines)


def _below(labels: Sequence[tuple[float, str]]) -> str:
    return "".join(
        f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle">{escape(label)}</text>'
        for at, label in labels
    )


def _legend(series: Sequence[tuple[str, str, Sequence[float]]]) -> str:
    return "".join(
        f'<rect x="{LEFT + 8 + i * 110}" y="2" width="10" height="10" fill="{colour}"/>'
        f'<text x="{LEFT + 22 + i * 110}" y="11">{escape(name)}</text>'
        for i, (name, colour, _) in enumerate(series)
    )
