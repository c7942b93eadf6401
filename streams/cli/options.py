"""Options that several commands have, so that they mean the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from schemas.regions import HOME, RegionProblem, parse_region

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo


class Region(click.ParamType):
    """The code of a country whose numbers phonenumbers knows."""

    name = "country"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return parse_region(value)
        except RegionProblem as problem:
            self.fail(str(problem), param, ctx)


class Duration(click.ParamType):
    """A length of time as rules write it, in ms."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from rules.units import duration_ms

        if isinstance(value, int):
            return value
        try:
            return duration_ms(value)
        except ValueError as problem:
            self.fail(str(problem), param, ctx)


class Time(click.ParamType):
    """A time as records have it, in ms."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from schemas.times import TimeError, parse_time

        if isinstance(value, int):
            return value
        try:
            return parse_time(int(value) if value.isascii() and value.isdigit() else value)
        except TimeError as problem:
            self.fail(f"{value} {problem}", param, ctx)


class Zone(click.ParamType):
    """A time zone by its IANA name."""

    name = "zone"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ZoneInfo:
        from zoneinfo import ZoneInfo

        from rules.hours import zone

        if isinstance(value, ZoneInfo):
            return value
        try:
            return zone(value)
        except ValueError:
            self.fail(f"no such time zone: {value}", param, ctx)


def feeds_file(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --feeds."""
    return click.option(
        "--feeds",
        "feeds_path",
        envvar="GRAYLINE_FEEDS",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="File of feeds: for each, what it vouches for, its clock, its numbers. [default: records speak for "
        "themselves]",
    )(command)


def home_region(of: str = "numbers") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds --home-region. of: the numbers that it is about."""
    belong = "belongs" if of.startswith("a ") else "belong"
    return click.option(
        "--home-region",
        type=Region(),
        envvar="GRAYLINE_HOME_REGION",
        default=HOME,
        show_default=True,
        metavar="COUNTRY",
        help=f"Country (ISO code) to which {of} without a country code {belong}.",
    )


def order_options(wait: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds what every order to running workers has: --operator, --timeout, --json. wait: the help of --timeout."""

    def added(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
            click.option(
                "--timeout", "timeout_s", type=click.FloatRange(min=0.1), default=30.0, show_default=True,
                metavar="SECONDS", help=wait,
            ),
            click.option(
                "--operator", default="", metavar="NAME",
                help="Name of the person who gives the order, kept with it. [default: the user's login name]",
            ),
        ):  # fmt: skip
            command = option(command)
        return command

    return added
