"""Files of rule tests, read into RuleTests; every mistake is noted with its place, as in rule files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import tzinfo
from pathlib import Path

from rules.diagnostics import ERROR, Diagnostic
from rules.document import Document, Node, text_of
from rules.expression_check import closest
from rules.hours import zone
from rules.load import TESTS, check, check_texts
from rules.model import MODES, RuleSet
from rules.protected import load_protected
from rules.reading import choice, items, mapping, number, text
from rules.registry import Entry, Registry
from rules.registry_file import EntryProblem, entry_of
from schemas.numbers import normalise
from schemas.registry import ENTRY_KINDS
from streams.craft.rule_test_events import EventReader, instant
from streams.craft.rule_tests import OPENED, ExpectedChange, ExpectedLimit, RuleTest

CHANGES = (OPENED, "extended", "reduced", "expired", "released")
ALL = "all"


def files_of_tests(paths: Sequence[Path]) -> tuple[list[Path], list[Diagnostic]]:
    """The files of these paths and below these folders (`*.test.yaml`, by name), and what is wrong with the paths."""
    files, wrong = [], []
    for path in paths:
        found = sorted(path.rglob(f"*{TESTS}")) if path.is_dir() else [path]
        files += found
        if not found:
            wrong.append(Diagnostic(str(path), 0, 0, "this folder holds no *.test.yaml file"))
    return files, wrong


def read_tests(path: Path, region: str = "KR") -> tuple[list[RuleTest], RuleSet | None, list[Diagnostic]]:
    """The tests of a file, the rules that they are about, and every diagnostic."""
    unread: list[Diagnostic] = []
    content = text_of(path, unread)
    return ([], None, unread) if content is None else read_text(str(path), content, region)


def read_text(name: str, content: str, region: str = "KR") -> tuple[list[RuleTest], RuleSet | None, list[Diagnostic]]:
    """Like `read_tests`, for the text of a file of this name."""
    doc = Document(name, content)
    keys = mapping(doc, doc.root, "a file of tests", ("tests",), ("rules", "location")) if doc.root else None
    if keys is None:
        if not doc.diagnostics:
            doc.whole("is empty", "it needs `tests:`")
        return [], None, doc.diagnostics
    rules, wrong = _rules(doc, keys.get("rules"))
    local = _location(doc, keys["location"]) if "location" in keys else None
    if rules is None:
        return [], None, [*doc.diagnostics, *(d for d in wrong if d.severity == ERROR)]
    reader = _TestReader(doc, replace(rules, protected=load_protected()), local, region)
    listed = items(doc, keys["tests"], "`tests`") if "tests" in keys else None
    tests = [test for item in listed or () if (test := reader.test(item)) is not None]
    return tests, rules, doc.diagnostics


def _rules(doc: Document, node: Node | None) -> tuple[RuleSet | None, list[Diagnostic]]:
    """The rules that the file is about: those of its own text, of files that it names, or of the file beside it."""
    if node is not None and node.kind == "scalar" and "\n" in node.text:
        return check_texts([(f"{doc.name} (rules)", node.text)])
    here = Path(doc.name).parent
    if node is None:
        beside = Path(doc.name.removesuffix(TESTS) + ".yaml")
        return check([beside])
    named = [node] if node.kind == "scalar" else items(doc, node, "`rules`") or []
    paths = [here / value for item in named if (value := text(doc, item, "a rule file")) is not None]
    return check(paths)


def _location(doc: Document, node: Node) -> tzinfo | None:
    value = text(doc, node, "location")
    try:
        return zone(value) if value is not None else None
    except ValueError as e:
        doc.error(node, f"location: {e}", "write an IANA name like Asia/Seoul")
        return None


class _TestReader:
    """Reads the tests of one file. local: the zone of times that have none."""

    def __init__(self, doc: Document, rules: RuleSet, local: tzinfo | None, region: str) -> None:
        self.doc, self.rules, self.local, self.region = doc, rules, local, region
        self.by_name = {rule.name: rule for rule in rules.rules}
        self.names: dict[str, int] = {}

    def test(self, node: Node) -> RuleTest | None:
        doc, before = self.doc, len(self.doc.diagnostics)
        may = ("registry", "events", "expect", "none", "exact", "limits")
        keys = mapping(doc, node, "a test", ("name",), may)
        if keys is None:
            return None
        name = self._name(keys["name"]) if "name" in keys else None
        entries = self._registry(keys["registry"]) if "registry" in keys else []
        records = EventReader(doc, self.local).records(keys["events"]) if "events" in keys else []
        expected = self._expected(keys["expect"]) if "expect" in keys else []
        none = self._none(keys["none"]) if "none" in keys else frozenset()
        limits = self._limits(keys["limits"]) if "limits" in keys else []
        exact = "exact" in keys and choice(doc, keys["exact"], "value of `exact`", ("true", "false")) == "true"
        if not {"expect", "none", "limits", "exact"} & keys.keys():
            doc.error(node, "this test expects nothing", "say `expect`, `none` or `limits`")
        elif "events" not in keys and {"expect", "none", "exact"} & keys.keys():
            doc.error(node, "this test has no `events`", "add what arrives, or test `limits` alone")
        if len(doc.diagnostics) > before or name is None:
            return None
        return RuleTest(
            file=doc.name,
            line=node.line + 1,
            name=name,
            rules=replace(self.rules, registry=Registry.of(entries) if entries else None),
            zone=self.local or zone("UTC"),
            records=tuple(sorted(records, key=lambda record: record.arrives_ms)),
            expected=tuple(expected),
            limits=tuple(limits),
            none=none - {ALL},
            none_line=(keys["none"].line if "none" in keys else node.line) + 1,
            none_else=ALL in none,
            exact=exact,
        )

    def _name(self, node: Node) -> str | None:
        name = text(self.doc, node, "name")
        if name is not None and name in self.names:
            self.doc.error(node, "a test of this name exists already", f"it is on line {self.names[name]}")
        if name is not None:
            self.names[name] = node.line + 1
        return name

    def _rule(self, node: Node) -> str | None:
        name = text(self.doc, node, "rule")
        if name is None or name in self.by_name:
            return name
        choices = tuple(self.by_name)
        self.doc.error(node, f"there is no rule `{name}`", closest(name, choices), choices)
        return None

    def _registry(self, node: Node) -> list[Entry]:
        doc = self.doc
        out = []
        for kind, listed in (mapping(doc, node, "registry", (), tuple(ENTRY_KINDS)) or {}).items():
            for item in items(doc, listed, kind) or ():
                value = text(doc, item, "number")
                words = {"kind": kind, "number": value or "", "owner": "a test's own", "reason": "a test", "since": ""}
                try:
                    out += [entry_of(words | {"until": "9999-01-01T00:00:00Z"}, self.region)] if value else []
                except EntryProblem as problem:
                    doc.error(item, str(problem), problem.hint, problem.choices)
        return out

    def _expected(self, node: Node) -> list[ExpectedChange]:
        doc = self.doc
        out = []
        for item in items(doc, node, "`expect`") or () if node.items or node.kind != "sequence" else ():
            keys = mapping(doc, item, "an expected change", ("rule",), ("number", "from", "until", "mode", "change"))
            rule = self._rule(keys["rule"]) if keys and "rule" in keys else None
            if keys is None or rule is None:
                continue
            told = normalise(keys["number"].text, self.region).text if "number" in keys else None
            mode = choice(doc, keys["mode"], "mode", MODES) if "mode" in keys else self.by_name[rule].mode
            change = choice(doc, keys["change"], "change", CHANGES) if "change" in keys else OPENED
            from_ms, until_ms = (
                instant(doc, keys[key], self.local) if key in keys else None for key in ("from", "until")
            )
            out.append(ExpectedChange(item.line + 1, rule, mode or "", change or "", told, from_ms, until_ms))
        return out

    def _none(self, node: Node) -> frozenset[str]:
        if node.kind == "scalar" and node.text == ALL:
            return frozenset({ALL})
        listed = items(self.doc, node, "`none`") or ()
        return frozenset(rule for item in listed if (rule := ALL if item.text == ALL else self._rule(item)) is not None)

    def _limits(self, node: Node) -> list[ExpectedLimit]:
        doc = self.doc
        out = []
        for item in items(doc, node, "`limits`") or ():
            keys = mapping(doc, item, "an expected limit", ("rule", "limit", "at", "is"))
            rule = self._rule(keys["rule"]) if keys and "rule" in keys else None
            if keys is None or rule is None or len(keys) < 4:
                continue
            limits = tuple(self.by_name[rule].limits)
            limit = choice(doc, keys["limit"], f"limit of {rule}", limits)
            at_ms, value = instant(doc, keys["at"], self.local), number(doc, keys["is"], "`is`")
            if limit is not None and at_ms is not None and value is not None:
                out.append(ExpectedLimit(item.line + 1, rule, limit, at_ms, value))
        return out
