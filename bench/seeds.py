"""The seeds for which a bench runs, as its option says them."""

from __future__ import annotations

import click


def seeds_of(text: str) -> list[int]:
    """Reads `1,2,7-9`. Raises BadParameter."""
    try:
        parts = [[int(end) for end in part.split("-")] for part in text.split(",")]
        return [seed for ends in parts for seed in range(ends[0], ends[-1] + 1)]
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of seeds; write 1,2,7-9", param_hint="--seeds") from None
