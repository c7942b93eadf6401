"""Ends a worker with SIGKILL at one exact step: before or after the nth call of a method that the real worker makes.

The step comes from the environment, `GRAYLINE_TEST_KILL_AT=module:Class.method/before/3`. Only the parent of the fault
tests' workers looks at it; the product knows nothing of it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

VARIABLE = "GRAYLINE_TEST_KILL_AT"


def step(method: str, when: str, call: int = 1) -> dict[str, str]:
    """The environment of a worker that dies `when` ("before" or "after") the call'th call of `module:Class.method`."""
    assert when in ("before", "after")
    return {VARIABLE: f"{method}/{when}/{call}"}


def install(environment: Mapping[str, str]) -> None:
    """Wrap the method that the environment names, if it names one."""
    if VARIABLE not in environment:
        return
    method, when, call = environment[VARIABLE].split("/")
    where, _, path = method.partition(":")
    module = import_module(where)
    class_name, _, name = path.partition(".")
    victim = getattr(module, class_name)
    wrapped = _deadly(getattr(victim, name), when, int(call))
    try:
        setattr(victim, name, wrapped)
    except TypeError:  # a class of a C library: whoever looks it up in its module finds a child of it
        setattr(module, class_name, type(class_name, (victim,), {name: wrapped}))


def _deadly(method: Callable[..., Any], when: str, call: int) -> Callable[..., Any]:
    calls = 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = method(*args, **kwargs)
        if calls == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return wrapped
