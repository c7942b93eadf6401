"""The rule files of simulated deployments. All count the same, so that a change of rules warms nothing."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from rules.load import load
from rules.model import RuleSet

FILES = {"alone": ("alone",), "across": ("alone", "across"), "changed": ("changed",)}


@cache
def rules(name: str) -> RuleSet:
    return load([Path(__file__).with_name(f"{file}.yaml") for file in FILES[name]], (), "KR")


def by_version(version: str) -> RuleSet:
    return next(rules(name) for name in FILES if rules(name).version == version)
