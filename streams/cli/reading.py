"""The reading of numbers' states by commands: one reader, one way in which it is ended."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from streams.runtime.clock import now_ms
from streams.runtime.saying import say

if TYPE_CHECKING:
    from streams.kafka.settings import KafkaSettings
    from streams.operators.blocks import BlockChange, BlockReader


def complain(text: str) -> None:
    """Prints on standard error."""
    say(text, err=True)


def reader_of(settings: KafkaSettings, **more: Any) -> BlockReader:
    """A reader that goes by this machine's clock and complains on standard error. more: `topic`, of another topic than
    block-events."""
    from streams.operators.blocks import BlockReader

    return BlockReader(settings, now_ms=now_ms, complain=complain, **more)


def states_in_force(settings: KafkaSettings, **more: Any) -> list[BlockChange]:
    """The states that are in force now, by number. more: as for `reader_of`. Raises ClickException."""
    from streams.kafka.settings import KafkaProblem

    try:
        with reader_of(settings, **more) as reader:
            return reader.snapshot()
    except KafkaProblem as problem:
        raise click.ClickException(str(problem)) from problem


def holds_in_force(change: BlockChange) -> list[dict[str, Any]]:
    """The holds of a state that have not ended, as its record has them."""
    from schemas.json_reading import JsonReader

    at_ms = now_ms()
    state: dict[str, Any] = JsonReader(dict).read(change.value or b"{}")
    return [hold for hold in state.get("holds") or () if hold["until"] > at_ms]


@contextmanager
def until_ended() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the block, and are no failure."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
