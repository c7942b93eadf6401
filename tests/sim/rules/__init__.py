"""The rule files of simulated deployments. A change of rules counts the same as before, so that it warms nothing; but
for `asked`, which counts topics that were only read until then."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from rules.load import load
from rules.model import RuleSet

FILES = {
    "alone": ("alone",), "across": ("alone", "across"), "changed": ("changed",),
    "others": ("alone", "others"),
    "ordered": ("alone", "silence", "registered"),
    "derived": ("alone", "derived"), "derived-changed": ("changed", "derived-changed"),
    "read": ("alone",), "asked": ("alone", "asked"), "others-changed": ("changed", "others-changed"),
}  # fmt: skip
CHANGED = {
    "alone": "changed",
    "across": "changed",
    "others": "others-changed",
    "read": "asked",
    "ordered": "changed",
    "derived": "derived-changed",
}  # what an operator makes of each
READ = {
    "read": ("reports", "traps"),
    "ordered": ("control",),
}  # topics that are read from the start, before a rule counts them


@cache
def rules(name: str) -> RuleSet:
    return load([Path(__file__).with_name(f"{file}.yaml") for file in FILES[name]], (), "KR")


def by_version(version: str) -> RuleSet:
    return next(rules(name) for name in FILES if rules(name).version == version)
