"""The jobs that are measured, each in a process of its own: `python -m bench.jobs.NAME '{"parameter": ...}'` prints a
line `RESULT {...}`."""

from __future__ import annotations

import json
import sys
from typing import Any


def parameters() -> dict[str, Any]:
    told: dict[str, Any] = json.loads(sys.argv[1])
    return told


def result(**figures: object) -> None:
    print("RESULT " + json.dumps(figures), flush=True)
