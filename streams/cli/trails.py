"""The words in which commands show holds and what happened to them: evidence, orders, times."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.cli.blocks import rfc3339

if TYPE_CHECKING:
    from rules.model import RuleSet

OTHER_RULES = "(decided by other rules than --rules names)"


def rules_option(command: Any) -> Any:
    return click.option(
        "--rules", "rules_path", envvar="GRAYLINE_RULES", metavar="PATH", type=click.Path(exists=True, path_type=Path),
        help="Rule file or folder by which workers decided, to show `when` with its values. [default: those that ship]",
    )(command)  # fmt: skip


def load_rules(path: Path | None, region: str) -> RuleSet:
    """Raises ClickException for rules with mistakes."""
    from rules.load import RuleErrors, load, packs

    try:
        return load([path or packs()], (), region)
    except RuleErrors as problem:
        raise click.ClickException(str(problem)) from problem


def evidence_lines(hold: Mapping[str, Any], rules: RuleSet) -> list[str]:
    """The rule's expression with its values filled in if the rules are those that decided, else the counters alone."""
    from rules.filled import filled

    evidence = [one for one in hold.get("evidence") or () if isinstance(one, dict) and "counter" in one]
    if not evidence:
        return []
    rule = next((rule for rule in rules.rules if rule.name == hold.get("rule")), None)
    if rule is not None and hold.get("rules_version") == rules.version:
        values = {one["counter"]: float(one["value"]) for one in evidence}
        return [filled(rule, values, int(evidence[0]["as_of"]))]
    told = [
        f"{one['counter']} {one['value']:g} in {one['window']}"
        + ("" if one.get("limit") is None else f" (limit {one['limit']:g})")
        for one in evidence
    ]
    return [f"{', '.join(told)} {OTHER_RULES}"]


def order_text(order: Mapping[str, Any]) -> str:
    return f"{order.get('action')} by {order.get('operator')}: {order.get('reason')}"


def hold_text(hold: Mapping[str, Any]) -> str:
    """A hold in one line: its rule, its end, why it is in review or blocks, its reason."""
    until = hold.get("until")
    words = [str(hold.get("rule")), f"until {rfc3339(until) if isinstance(until, int) else until}"]
    if hold.get("diverted"):
        words.append(f"[{hold['diverted']}]")
    if hold.get("taken_by"):
        words.append(f"[taken by {hold['taken_by']}]")
    if hold.get("unreviewed"):
        words.append("[nobody decided in time]")
    return "  ".join([*words, f"({hold.get('reason')})"])
