"""Suggests shipped maps: for files that are no records, and for fields under other systems' names."""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache

from streams.captures.convert.conversion import Conversion
from streams.captures.convert.map_file import load_map, shipped
from streams.captures.convert.model import ConversionMap
from streams.captures.convert.opening import open_stream
from streams.captures.convert.tables import plain_name
from streams.captures.rows import CaptureError

ALIKE_MIN = 2  # names of one map among a sample's, to be no coincidence


def fitting(start: bytes) -> list[str]:
    """The maps by which most rows at the beginning of a file become records, best first."""
    found = []
    for map_ in _maps():
        conversion = Conversion(map_)
        # The end of the piece may cut a value off; the rows before it count.
        with suppress(CaptureError):
            for _ in conversion.run(open_stream(io.BytesIO(start), "start", map_.input.encoding)):
                pass
        if conversion.converted and conversion.converted * 2 > conversion.rows - conversion.passed.total():
            found.append((-len(conversion.made), map_.name))
    return [name for _, name in sorted(found)]


def alike(names: Iterable[str], topic: str, form: str | None = None) -> dict[str, tuple[str, str]]:
    """Name of the sample -> (field of the topic, map), for names that a map knows; of several maps the one that knows
    most of them. form: of the maps that are looked at."""
    given = {plain_name(name): name for name in names}
    best: dict[str, tuple[str, str]] = {}
    for map_ in _maps():
        known = {plain_name(name.rpartition(".")[2]): of for name, of in map_.sources.items()}
        hits = {given[name]: (known[name], map_.name) for name in given.keys() & known.keys()}
        if map_.topic == topic and form in (None, map_.input.form) and len(hits) > len(best):
            best = hits
    return dict(sorted(best.items())) if len(best) >= ALIKE_MIN else {}


def command_line(map_name: str, file: str) -> str:
    return f"`grayline records convert --map {map_name} {file}`"


@lru_cache(1)
def _maps() -> tuple[ConversionMap, ...]:
    return tuple(load_map(name) for name in shipped())
