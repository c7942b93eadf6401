"""The words and the picture in which a sweep is told."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median, quantiles
from typing import Any

from rules.filled import shown
from streams.craft import plots
from streams.craft.tune import Sweep, Tried

OWN = "<- as the file has it"


def lines(found: Sweep) -> Iterator[str]:
    wanted = sum(found.wanted.values())
    kinds = ", ".join(f"{count} {kind}" for kind, count in found.wanted.items())
    yield f"{found.rule.name}: {wanted:,} offenders to catch ({kinds}); {found.innocents:,} innocents"
    for limit in _limits(found):
        yield ""
        yield f"{limit:>10}{'caught':>9}{'':>7}{'innocents':>11}{'review':>9}{'contacts':>10}{'p90':>7}{'seconds':>9}"
        for one in _of(found, limit):
            yield _row(one, wanted) + (f"  {OWN}" if one.setting.is_own else "")
        yield standing(found, limit)
        yield from _kinds(found.own(limit))
    own = found.own(_limits(found)[0])
    if len(own.days) > 1:
        yield ""
        yield f"{'as the file has it':<20}{'caught':>9}{'innocents':>11}"
        for day, (caught, innocents) in own.days.items():
            yield f"{day:<20}{caught:>9,}{innocents:>11,}"


def standing(found: Sweep, limit: str) -> str:
    """The place of the file's own value among the others."""
    own, better = found.own(limit), found.better(limit)
    stands = f"{limit} {shown(own.setting.value)} catches {own.caught_count} and hits {_innocents(own.innocent_count)}"
    if not better:
        return f"{stands}: no other value here is better in one thing and worse in none"
    best = max(better, key=Tried.merits)
    gain = f"catches {best.caught_count} and hits {_innocents(best.innocent_count)}"
    if best.merits()[:2] == own.merits()[:2]:
        gain = f"does the same after {median(best.contacts):g} contacts, not {median(own.contacts):g}"
    return f"{stands}; {limit} {shown(best.setting.value)} {gain}"


def as_json(found: Sweep) -> dict[str, Any]:
    return {
        "rule": found.rule.name, "wanted": found.wanted, "innocents": found.innocents,
        "limits": [
            {
                "limit": limit, "value": found.own(limit).setting.value, "standing": standing(found, limit),
                "better": [one.setting.value for one in found.better(limit)],
                "settings": [_json(one) for one in _of(found, limit)],
            }
            for limit in _limits(found)
        ],
    }  # fmt: skip


def picture(found: Sweep) -> str:
    """A page with the trade-off of each limit: innocents against offenders, a point a value."""
    wanted = sum(found.wanted.values())
    parts = []
    for limit in _limits(found):
        outcomes = _of(found, limit)
        points = [(float(o.innocent_count), float(o.caught_count), shown(o.setting.value)) for o in outcomes]
        own = [i for i, one in enumerate(outcomes) if one.setting.is_own]
        parts.append(
            plots.curve(
                f"{found.rule.name}: limit {limit}", points, own, ("innocents", "caught"), standing(found, limit)
            )
        )
        heads = (limit, "caught", f"of {wanted}", "innocents", "review", "contacts, median", "p90", "seconds, median")
        parts.append(plots.table("", heads, [(shown(o.setting.value), *_cells(o, wanted)) for o in outcomes]))
    return plots.page(f"The limits of {found.rule.name}", parts)


def _limits(found: Sweep) -> list[str]:
    return list(dict.fromkeys(one.setting.limit for one in found.outcomes))


def _of(found: Sweep, limit: str) -> list[Tried]:
    return [one for one in found.outcomes if one.setting.limit == limit]


def _row(one: Tried, wanted: int) -> str:
    caught, share, innocents, review, contacts, p90, seconds = _cells(one, wanted)
    return (
        f"{shown(one.setting.value):>10}{caught:>9,}{share:>7}{innocents:>11,}{review:>9,}{contacts:>10}{p90:>7}"
        f"{seconds:>9}"
    )


def _cells(one: Tried, wanted: int) -> tuple[int, str, int, int, str, str, str]:
    share = f"{one.caught_count / wanted:.0%}" if wanted else "-"
    return (
        one.caught_count, share, one.innocent_count, one.reviews, _median(one.contacts), _p90(one.contacts),
        _median(one.seconds),
    )  # fmt: skip


def _kinds(own: Tried) -> Iterator[str]:
    for what, kinds in (("catches", own.caught), ("hits", own.innocents)):
        if kinds:
            yield f"it {what} {', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))}"
    if own.unknown:
        yield f"it blocks {own.unknown:,} numbers that no label names"


def _json(one: Tried) -> dict[str, Any]:
    return {
        "value": one.setting.value, "is_own": one.setting.is_own, "caught": one.caught_count,
        "caught_by_kind": one.caught, "innocents": one.innocent_count, "innocents_by_kind": one.innocents,
        "unknown": one.unknown, "review": one.reviews,
        "contacts_median": median(one.contacts) if one.contacts else None,
        "seconds_median": median(one.seconds) if one.seconds else None,
        "days": [{"day": day, "caught": c, "innocents": i} for day, (c, i) in one.days.items()],
    }  # fmt: skip


def _innocents(count: int) -> str:
    return f"{count or 'no'} innocent{'s' * (count != 1)}"


def _median(values: list[int] | list[float]) -> str:
    return f"{median(values):,.5g}" if values else "-"


def _p90(values: list[int]) -> str:
    if len(values) < 2:
        return f"{values[0]:,g}" if values else "-"
    return f"{quantiles(values, n=10, method='inclusive')[-1]:,.5g}"
