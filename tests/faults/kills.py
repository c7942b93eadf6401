"""Sends a worker a signal at one exact step: before, during or after the nth call of a method that it makes.

The step comes from the environment, `GRAYLINE_TEST_KILL_AT=module:Class.method/before/3/9`. Only the parent of the
fault tests' workers looks at it; the product knows nothing of it.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

VARIABLE = "GRAYLINE_TEST_KILL_AT"
DURING_S = 0.003  # a commit takes about so long


def step(method: str, when: str, call: int = 1, number: int = signal.SIGKILL) -> dict[str, str]:
    """The environment of a worker that gets the signal at the call'th call of `module:Class.method`: before it, after
    it, or during it, a moment after it began."""
    assert when in ("before", "during", "after")
    return {VARIABLE: f"{method}/{when}/{call}/{int(number)}"}


PRODUCER = "confluent_kafka:Producer"
DELIVERY = "streams.delivery.transactional:Transactional"
LOCAL = "streams.state.local:LocalState"
SNAPSHOTS = "streams.state.snapshots:Snapshots"
ENGINE = "streams.engine.engine:Engine"
READER = "streams.kafka.reader:Reader"

COMMIT = [
    step(f"{PRODUCER}.init_transactions", "after"),
    step(f"{DELIVERY}.produce", "before", 3),
    step(f"{DELIVERY}.produce", "after", 3),
    step(f"{PRODUCER}.send_offsets_to_transaction", "before", 3),
    step(f"{PRODUCER}.send_offsets_to_transaction", "during", 3),
    step(f"{PRODUCER}.send_offsets_to_transaction", "after", 3),
    step(f"{PRODUCER}.commit_transaction", "before", 3),
    step(f"{PRODUCER}.commit_transaction", "during", 3),
    step(f"{PRODUCER}.commit_transaction", "during", 5),
    step(f"{PRODUCER}.commit_transaction", "after", 3),
    step(f"{DELIVERY}.commit", "after", 4),
]
SNAPSHOT = [
    step(f"{SNAPSHOTS}.take_if_due", "after", 5),
    step(f"{SNAPSHOTS}.next_slice", "after", 5),
    step(f"{SNAPSHOTS}.committed", "before", 4),
    step(f"{LOCAL}.write", "before", 2),  # between the commit and the local write
    step(f"{LOCAL}.write", "during", 3),
    step(f"{LOCAL}.write", "after", 4),
]
DROP = [step(f"{LOCAL}.drop", "before"), step(f"{LOCAL}.drop", "after")]
RESTORE = [
    step(f"{READER}.ends", "after", 1),
    step(f"{ENGINE}.load", "before", 1),
    step(f"{ENGINE}.load", "after", 2),
    step(f"{ENGINE}.count", "after", 1),
    step(f"{ENGINE}.load_ledger", "before", 1),
    step(f"{ENGINE}.load_ledger", "after", 3),
    step(f"{PRODUCER}.commit_transaction", "before", 1),
    *DROP,
]
STEPS = [*COMMIT, *SNAPSHOT, *RESTORE]


def install(environment: Mapping[str, str]) -> None:
    """Wrap the method that the environment names, if it names one."""
    if VARIABLE not in environment:
        return
    method, when, call, number = environment[VARIABLE].split("/")
    where, _, path = method.partition(":")
    module = import_module(where)
    class_name, _, name = path.partition(".")
    victim = getattr(module, class_name)
    wrapped = _deadly(getattr(victim, name), when, int(call), int(number))
    try:
        setattr(victim, name, wrapped)
    except TypeError:  # a class of a C library: whoever looks it up in its module finds a child of it
        setattr(module, class_name, type(class_name, (victim,), {name: wrapped}))


def _deadly(method: Callable[..., Any], when: str, call: int, number: int) -> Callable[..., Any]:
    calls = 0

    def strike() -> None:
        os.kill(os.getpid(), number)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and when == "before":
            strike()
        if calls == call and when == "during":
            threading.Timer(random.uniform(0, DURING_S), strike).start()
        result = method(*args, **kwargs)
        if calls >= call and when == "after":  # the first that succeeds
            strike()
        return result

    return wrapped
