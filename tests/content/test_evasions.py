"""Two hundred spellings of numbers and a hundred of words: all are read but those that docs/texts.md lists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from rules.lexicon_file import load_lexicon
from schemas.numbers import normalise
from streams.content.text_reader import TextReader

HERE = Path(__file__).parent / "evasions"
PAGE = (Path(__file__).parents[2] / "docs" / "texts.md").read_text("utf-8")
READER = TextReader(load_lexicon())
COUNTS = {"numbers": 200, "words": 100}


def spellings(name: str) -> list[tuple[str, str]]:
    listed = yaml.safe_load((HERE / f"{name}.yaml").read_text("utf-8"))
    return [(str(truth), spelling) for truth, every in listed.items() for spelling in every]


def is_read(name: str, truth: str, spelling: str) -> bool:
    content = READER.read(f"여기로 {spelling}")
    if name == "words":
        return content.words == (truth,)
    return [each.number.key for each in content.numbers] == [normalise(truth).key]


def missed(name: str) -> list[str]:
    return [spelling for truth, spelling in spellings(name) if not is_read(name, truth, spelling)]


@pytest.mark.parametrize("name", COUNTS)
def test_the_page_lists_each_spelling_that_is_not_read(name: str) -> None:
    assert len({spelling for _, spelling in spellings(name)}) == COUNTS[name]
    told = re.search(rf"<!-- missed {name} -->\n(.*?)\n\n", PAGE, re.DOTALL)
    assert told is not None
    assert re.findall(r"`([^`]+)`", told[1].replace("\n", " ")) == [" ".join(m.split()) for m in missed(name)]


@pytest.mark.parametrize("name", COUNTS)
def test_the_page_says_how_many_are_read(name: str) -> None:
    assert f"{COUNTS[name] - len(missed(name))} of {COUNTS[name]} {name}" in PAGE
