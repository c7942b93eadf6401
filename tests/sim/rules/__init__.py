"""The rule files of simulated deployments. A change of rules counts the same as before, so that it warms nothing."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from rules.load import load
from rules.model import RuleSet

FILES = {
    "alone": ("alone",), "across": ("alone", "across"), "changed": ("changed",),
    "others": ("alone", "others"), "others-changed": ("changed", "others-changed"),
}  # fmt: skip
CHANGED = {"alone": "changed", "across": "changed", "others": "others-changed"}  # what an operator makes of each


@cache
def rules(name: str) -> RuleSet:
    return load([Path(__file__).with_name(f"{file}.yaml") for file in FILES[name]], (), "KR")


def by_version(version: str) -> RuleSet:
    return next(rules(name) for name in FILES if rules(name).version == version)
