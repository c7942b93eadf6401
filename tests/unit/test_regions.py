"""Home regions: every command's option takes countries only, and says which one was probably meant."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from schemas.regions import RegionProblem, parse_region
from streams.cli import command


@pytest.mark.parametrize(("text", "code"), [("KR", "KR"), ("kr", "KR"), (" gb\n", "GB")])
def test_a_country_is_known_in_capitals_and_small_letters(text: str, code: str) -> None:
    assert parse_region(text) == code


@pytest.mark.parametrize(
    ("text", "hint"),
    [("UK", "did you mean GB?"), ("KOR", "did you mean KR?"), ("82", "did you mean KR?"), ("+81", "did you mean JP?"),
     ("ko", "did you mean KR?"), ("", "is empty"), ("XX", "such as KR"), ("1", "such as KR"), ("001", "such as KR")],
)  # fmt: skip
def test_what_is_no_country_is_refused_with_what_was_probably_meant(text: str, hint: str) -> None:
    with pytest.raises(RegionProblem, match=hint.replace("?", r"\?")):
        parse_region(text)


def commands_with_a_region(group: click.Group, path: tuple[str, ...] = ()) -> list[list[str]]:
    found: list[list[str]] = []
    for name in group.list_commands(click.Context(group)):
        each = group.get_command(click.Context(group), name)
        if isinstance(each, click.Group):
            found += commands_with_a_region(each, (*path, name))
        elif each is not None and any("region" in (parameter.name or "") for parameter in each.params):
            found.append([*path, name])
    return found


WITH_REGION = commands_with_a_region(command) if isinstance(command, click.Group) else []


def test_the_commands_with_a_region_are_found() -> None:
    assert ["run"] in WITH_REGION
    assert ["records", "check"] in WITH_REGION
    assert ["completion"] not in WITH_REGION


@pytest.mark.parametrize("name", WITH_REGION, ids=" ".join)
@pytest.mark.parametrize("region", ["UK", ""])
def test_every_command_refuses_a_region_that_is_none(name: list[str], region: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("{}")
    result = CliRunner().invoke(command, [*name, "--home-region", region, "--out", str(tmp_path), str(file)])
    assert result.exit_code == 2
    if region:
        assert "did you mean GB?" in result.output or "No such option" in result.output
