"""The JSON Schema of rule files: what ships fits it, what is built wrongly does not, and editors find words in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from rules.document import Document, Node
from rules.file_schema import file_schema
from rules.kinds import KINDS
from rules.load import packs
from streams.cli.rules import command

BAD = Path(__file__).parents[1] / "bad_rules"
PACKS = [file for file in sorted(packs().rglob("*.yaml")) if not file.name.endswith(".test.yaml")]
PAGE = (Path(__file__).parents[3] / "docs/rules.md").read_text()
EXAMPLES = [text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.S) if "rules:" in text or "shared:" in text]

# Bad files whose mistakes a schema can see: keys, values to choose from, forms.
STRUCTURAL = {
    "02-scalar", "07-no-rules", "08-counter-names", "09-counters", "10-samples", "11-rules", "12-five-mistakes",
    "38-misspelt-counter-that-is-wrong", "39-part-of-a-wrong-counter", "58-hours-over-midnight",
    "59-hours-that-say-nothing", "60-durations", "64-lists", "65-announcements", "66-unreviewed",
}  # fmt: skip


def typed(node: Node) -> Any:
    """The content as an editor's YAML 1.2 reads it: numbers and booleans are such, unless quoted."""
    if node.kind == "mapping":
        return {key.text: typed(value) for key, value in node.pairs}
    if node.kind == "sequence":
        return [typed(item) for item in node.items]
    if node.quoted:
        return node.text
    if node.text in ("true", "false"):
        return node.text == "true"
    if re.fullmatch(r"[-+]?\d+", node.text):
        return int(node.text)
    return float(node.text) if re.fullmatch(r"[-+]?(\d+\.\d*|\.\d+)", node.text) else node.text or None


def problems(text: str) -> list[str]:
    root = Document("a.yaml", text).root
    assert root is not None
    return [error.message for error in jsonschema.Draft202012Validator(file_schema()).iter_errors(typed(root))]


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(file_schema())


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.name)
def test_every_shipped_pack_fits(path: Path) -> None:
    assert problems(path.read_text()) == []


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_whole_example_of_the_rule_reference_fits(text: str) -> None:
    assert problems(text) == []


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yaml")), ids=lambda path: path.stem)
def test_bad_files_do_not_fit_where_their_structure_is_bad(path: Path) -> None:
    root = Document("a.yaml", path.read_text()).root
    if root is None or root.empty:
        return
    assert bool(problems(path.read_text())) == (path.stem in STRUCTURAL), problems(path.read_text())[:2]


def test_each_kind_of_counter_takes_its_own_keys_alone() -> None:
    head = "rules: [{name: a, summary: s, when: a > 1, then: {block: [calls], for: 1d}, mode: shadow}]\ncounters:\n"
    good = head + "  c: {on: cdr.setup, per: caller, count: events, window: 1m}\n"
    assert problems(good) == []
    for wrong in ("window: 1m, max_age: 1h", "", "window: 60", "window: 1m, gray: {short: 1m, long: 1h}"):
        assert problems(good.replace("window: 1m", wrong)), wrong
    assert len(file_schema()["properties"]["counters"]["additionalProperties"]["allOf"]) == len(KINDS)


def keys(schema: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key that an editor offers, with its schema."""
    for key, inner in schema.get("properties", {}).items():
        yield f"{place}/{key}", inner
        yield from keys(inner, f"{place}/{key}")
    for inner in (schema.get("items"), schema.get("additionalProperties"), *schema.get("anyOf", ())):
        if isinstance(inner, dict):
            yield from keys(inner, place)


def test_an_editor_has_words_for_every_key_that_it_offers() -> None:
    offered = dict(keys(file_schema()))
    assert len(offered) > 100
    assert [key for key, inner in offered.items() if not inner.get("description") and "const" not in inner] == []


def test_the_command_prints_it() -> None:
    result = CliRunner().invoke(command, ["schema"])
    assert result.exit_code == 0
    assert json.loads(result.output) == json.loads(json.dumps(file_schema()))
