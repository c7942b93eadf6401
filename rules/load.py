"""Loads rule files: the result is a RuleSet, or every mistake in the files at once."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from rules import catalog
from rules.advice import advise
from rules.consequences import judge
from rules.counters_file import read_counter
from rules.diagnostics import ERROR, Diagnostic, RuleErrors, render
from rules.document import BYTES_MAX, Document, Node
from rules.expression_check import NUMBER, Hidden, Kind
from rules.expressions import Expression
from rules.hours import Hours
from rules.hours_file import read_hours
from rules.kinds import ENDED
from rules.model import BLOCKS, CUT_CALL, DIRECTIONS, MODES, OPERATOR, Counter, Limit, Rule, RuleSet
from rules.protected import check_protected, load_protected
from rules.reading import choice, choice_list, duration, entries, expression, items, mapping, name, number, text
from rules.registry_file import check_registry
from rules.unreviewed_file import read_unreviewed, review_of_rule
from schemas.feeds import FEEDS, counted

SECTIONS = ("hours", "announcements", "counters", "rules", "unreviewed")
RULE_KEYS = ("name", "summary", "when", "then", "mode")
RULE_EXTRAS = ("limits", "spoofable", "unreviewed")
THEN_KEYS, THEN_EXTRAS = ("block", "directions", "for"), (CUT_CALL, "announcement")
# The parts of an announcement, the last two of which its text must name: whoever hears it can ask for the number back.
ANNOUNCED = ("text", "contact", "legal_ground")
ANNOUNCEMENT_MAX = 500  # characters
RULE_NAME = r"[a-z0-9]+(-[a-z0-9]+)*"
COLUMN_NAME = r"[a-z][a-z0-9_]*"
STDIN = Path("-")
TESTS = ".test.yaml"  # ends the name of a file of tests, which lies beside its rule file and holds no rules

RESERVED = frozenset({"and", "or", "not", "in", "is", "if", "else", "for", "lambda", "await", "async", "always"})


def load(
    paths: Sequence[Path],
    protected: Sequence[Path] = (),
    region: str = "KR",
    registry: Sequence[Path] = (),
) -> RuleSet:
    """The rules of these files and directories (their *.yaml and *.yml, by name), with the protected numbers that
    ship with them and those of the further files `protected`, and with the entries of the files `registry`; numbers
    without a country code belong to `region`. Raises RuleErrors with every diagnostic."""
    rules, diagnostics = check(paths)
    numbers, more = check_protected(protected, region)
    listed, others = check_registry(registry, region)
    if rules is None or numbers is None or listed is None:
        raise RuleErrors([*diagnostics, *more, *others])
    return replace(rules, protected=numbers, registry=listed)


def load_text(text: str, name: str = "rules.yaml") -> RuleSet:
    """Like `load`, for the text of one file."""
    rules, diagnostics = check_texts([(name, text)])
    if rules is None:
        raise RuleErrors(diagnostics)
    return replace(rules, protected=load_protected())


def check(paths: Sequence[Path], feed: str = "events") -> tuple[RuleSet | None, list[Diagnostic]]:
    """The rules (None when anything is an error; without protected numbers, which only the engine needs) and every
    diagnostic, errors and warnings, in the order of the files. Reads files, raises nothing. feed: see rules.advice."""
    texts: list[tuple[str, str]] = []
    unread: list[Diagnostic] = []
    for path in paths:
        for file in rule_files(Path(path), unread):
            if (content := _read(file, unread)) is not None:
                texts.append(("standard input" if file == STDIN else str(file), content))
    if not paths:
        unread.append(Diagnostic("rules", 0, 0, "no rule file was given", hint="name a file or a directory"))
    if not texts:
        return None, unread
    rules, diagnostics = check_texts(texts, feed)
    return (None if unread else rules), unread + diagnostics


def check_texts(texts: Sequence[tuple[str, str]], feed: str = "events") -> tuple[RuleSet | None, list[Diagnostic]]:
    """Like `check`, for (name, text) pairs."""
    documents = [Document(name, content) for name, content in texts]
    taken: dict[str, str] = {}
    read = [(doc, _file(doc, taken, feed)) for doc in documents]
    if not any(d.severity == ERROR for doc in documents for d in doc.diagnostics):
        judge([(doc, found) for doc, found in read if found])
    rules = [rule for _, found in read for rule in found]
    diagnostics = [d for doc in documents for d in sorted(doc.diagnostics, key=lambda d: (d.line, d.column))]
    if any(d.severity == ERROR for d in diagnostics):
        return None, diagnostics
    content = json.dumps([doc.root.plain() for doc in documents if doc.root], sort_keys=True, ensure_ascii=False)
    version = hashlib.sha256(content.encode()).hexdigest()[:12]
    return RuleSet(tuple(rules), version, tuple(f"{d.position}: {d.message}" for d in diagnostics)), diagnostics


def packs() -> Path:
    """The directory of the rules that ship with Grayline and run unless others are named."""
    return Path(__file__).parent / "packs"


def witnesses() -> Path:
    """The directory of the rules that ship besides: on topics of what others saw of a number, which not everybody
    has."""
    return packs() / "witnesses"


# ----------------------------------------------------------------------------------------------------------- files


def rule_files(path: Path, unread: list[Diagnostic]) -> list[Path]:
    """The file itself, or the rule files of a directory."""
    if path.name.endswith(TESTS):
        hint = f"run them: grayline rules test {path}"
        unread.append(Diagnostic(str(path), 0, 0, "this file holds tests and no rules", hint=hint))
        return []
    if path == STDIN or not path.is_dir():
        return [path]
    files = sorted(f for f in path.iterdir() if f.suffix in (".yaml", ".yml") and not f.name.endswith(TESTS))
    if not files:
        unread.append(Diagnostic(str(path), 0, 0, "this directory holds no *.yaml or *.yml file"))
    return files


def _read(path: Path, unread: list[Diagnostic]) -> str | None:
    """The text of a file, of which no more is read than a rule file may have."""
    try:
        with nullcontext(sys.stdin.buffer) if path == STDIN else path.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
        if len(content) > BYTES_MAX:
            hint = "split it into several files of a directory"
            unread.append(Diagnostic(str(path), 0, 0, f"larger than {BYTES_MAX:,} bytes", hint=hint))
            return None
        return content.decode()
    except OSError as e:
        unread.append(Diagnostic(str(path), 0, 0, f"cannot be read: {e.strerror}"))
    except UnicodeDecodeError as e:
        unread.append(Diagnostic(str(path), 0, 0, f"is not UTF-8 (byte {e.start})"))
    return None


def _file(doc: Document, taken: dict[str, str], feed: str) -> list[Rule]:
    if doc.root is None or doc.root.empty:
        if not doc.diagnostics:
            doc.whole("is empty", "it needs `counters:` and `rules:`")
        return []
    keys = mapping(doc, doc.root, "a rule file", ("rules",), SECTIONS)
    if keys is None:
        return []
    hours = _hours(doc, keys["hours"]) if "hours" in keys else {}
    counters = _counters(doc, keys["counters"]) if "counters" in keys else {}
    announcements = _announcements(doc, keys["announcements"]) if "announcements" in keys else {}
    review_ms = read_unreviewed(doc, keys["unreviewed"]) if "unreviewed" in keys else 0
    reader = _RuleReader(doc, hours, counters, announcements, taken, review_ms or 0)
    listed = items(doc, keys["rules"], "`rules`") if "rules" in keys else None
    rules = [rule for item in listed or () if (rule := reader.rule(item)) is not None]
    if not any(d.severity == ERROR for d in doc.diagnostics):
        advise(doc, rules, feed)
    return rules


def _hours(doc: Document, node: Node) -> dict[str, Hours | None]:
    """The hours by name. None stands for hours that are wrong, so that a rule that names them causes no further
    error."""
    out: dict[str, Hours | None] = {}
    for key, value in entries(doc, node, "`hours`") or ():
        if key.text == "always":
            doc.error(key, "`always` is what a limit is outside all hours", "choose another name")
        elif name(doc, key, "hours", r"[a-z][a-z0-9_-]*", "small letters, digits, _ and -"):
            out[key.text] = read_hours(doc, key.text, value)
    return out


def _counters(doc: Document, node: Node) -> dict[str, Counter | None]:
    """The counters by name. None stands for a counter that is wrong or has a wrong name, so that a rule that reads it
    causes no further error."""
    fields = catalog.all_fields()
    out: dict[str, Counter | None] = {}
    for key, value in entries(doc, node, "`counters`") or ():
        if taken := key.text in fields or key.text in RESERVED:
            what = "a record field has that name" if key.text in fields else "the word means something in expressions"
            doc.error(key, f"a counter cannot be named `{key.text}`: {what}", "choose another name")
        named = not taken and name(doc, key, "a counter", COLUMN_NAME, "small letters, digits and _")
        counter = read_counter(doc, key.text, value)
        out[key.text] = counter if named else None
    return out


def _announcements(doc: Document, node: Node) -> dict[str, str | None]:
    """Announcements to callers of a blocked number by name, each with its contact and legal ground filled in. None
    stands for one that is wrong."""
    out: dict[str, str | None] = {}
    for key, value in entries(doc, node, "`announcements`") or ():
        if name(doc, key, "an announcement", RULE_NAME, "small letters and digits joined by -"):
            out[key.text] = _announcement(doc, value)
    return out


def _announcement(doc: Document, node: Node) -> str | None:
    keys = mapping(doc, node, "an announcement", ANNOUNCED) or {}
    said = {key: text(doc, value, f"`{key}`") for key, value in keys.items()}
    announced = said.get("text")
    if announced is None or len(said) < len(ANNOUNCED):
        return None
    for key in ANNOUNCED[1:]:
        if f"{{{key}}}" not in announced:
            doc.error(keys["text"], f"the text does not say the {key.replace('_', ' ')}", f"write {{{key}}} in it")
        announced = announced.replace(f"{{{key}}}", said[key] or "")
    if len(announced) > ANNOUNCEMENT_MAX:
        doc.error(keys["text"], f"an announcement has at most {ANNOUNCEMENT_MAX} characters, not {len(announced)}")
    return announced


# ----------------------------------------------------------------------------------------------------------- rules


class _RuleReader:
    def __init__(
        self,
        doc: Document,
        hours: dict[str, Hours | None],
        counters: dict[str, Counter | None],
        announcements: dict[str, str | None],
        taken: dict[str, str],
        review_ms: int,
    ) -> None:
        """review_ms: of rules in review that do not say `unreviewed` themselves."""
        self.doc, self.hours, self.counters, self.taken = doc, hours, counters, taken
        self.announcements, self.review_ms = announcements, review_ms

    def rule(self, node: Node) -> Rule | None:
        doc, before = self.doc, len(self.doc.diagnostics)
        keys = mapping(doc, node, "a rule", RULE_KEYS, RULE_EXTRAS)
        if keys is None:
            return None
        rule_name = self._name(keys["name"]) if "name" in keys else None
        summary = text(doc, keys["summary"], "summary") if "summary" in keys else None
        limits = self._limits(keys["limits"]) if "limits" in keys else {}
        when = self._when(keys["when"], limits) if "when" in keys else None
        then = self._then(keys["then"]) if "then" in keys else _Then()
        mode = choice(doc, keys["mode"], "mode", MODES) if "mode" in keys else None
        review_ms = review_of_rule(doc, keys, mode, then.period_ms, self.review_ms)
        if "spoofable" in keys:
            choice(doc, keys["spoofable"], "value of `spoofable`", ("accepted",))
        if len(doc.diagnostics) > before or when is None or rule_name is None or summary is None or mode is None:
            return None
        read = {n.split(".")[0] for n in when.names}
        return Rule(
            name=rule_name,
            summary=summary,
            when=when,
            counters={n: c for n, c in self.counters.items() if c is not None and n in read},
            limits={n: limit for n, limit in limits.items() if limit is not None},
            block=then.block,
            directions=then.directions,
            period_ms=then.period_ms,
            cut_call=then.cut_call,
            announcement=then.announcement,
            mode=mode,
            spoofable="spoofable" in keys,
            file=doc.name,
            line=node.line + 1,
            review_ms=review_ms,
        )

    def _name(self, node: Node) -> str | None:
        rule_name = name(self.doc, node, "a rule", RULE_NAME, "small letters and digits joined by -")
        if rule_name is None:
            return None
        if rule_name == OPERATOR:
            self.doc.error(
                node, f"a rule cannot be named `{OPERATOR}`: holds that operators order are", "choose another"
            )
            return None
        if rule_name in self.taken:
            self.doc.error(node, f"a rule named `{rule_name}` exists already", f"it is at {self.taken[rule_name]}")
            return None
        self.taken[rule_name] = f"{self.doc.name}:{node.line + 1}"
        return rule_name

    def _limits(self, node: Node) -> dict[str, Limit | None]:
        doc = self.doc
        fields = catalog.all_fields()
        out: dict[str, Limit | None] = {}
        for key, value in entries(doc, node, "`limits`") or ():
            if key.text in self.counters or key.text in fields or key.text in RESERVED:
                what = "counter" if key.text in self.counters else "field" if key.text in fields else "word"
                doc.error(key, f"a limit cannot be named `{key.text}`: a {what} has that name", "choose another name")
            elif name(doc, key, "a limit", COLUMN_NAME, "small letters, digits and _"):
                out[key.text] = self._limit(key.text, value)
        return out

    def _limit(self, limit_name: str, node: Node) -> Limit | None:
        """Reads a limit: a plain number, or `always` and a number for each of some hours."""
        doc = self.doc
        if node.kind != "mapping":
            value = number(doc, node, f"limit `{limit_name}`")
            return Limit(limit_name, value) if value is not None else None
        keys = mapping(doc, node, f"limit `{limit_name}`", ("always",), tuple(self.hours))
        values = {key: number(doc, value, f"limit `{limit_name}`") for key, value in (keys or {}).items()}
        if values.get("always") is None:
            return None
        during = []
        for key, value in values.items():
            hours = self.hours.get(key)
            if key != "always" and hours is not None and value is not None:
                during.append((key, hours, value))
        return Limit(limit_name, values["always"] or 0.0, tuple(during))

    def _when(self, node: Node, limits: dict[str, Limit | None]) -> Expression | None:
        doc, source = self.doc, node.text
        words = set(re.findall(r"[A-Za-z_]\w*", re.sub(r"\"[^\"]*\"|'[^']*'", "", source)))
        read = [c for n, c in self.counters.items() if n in words]
        known = [c for c in read if c is not None]
        topics = sorted({c.topic for c in known}) or [f.name for f in counted() if f.vouching]
        names: dict[str, Kind | Hidden] = {}
        names |= catalog.texts(topics)
        names |= catalog.registry_fields(topics)
        names |= dict.fromkeys(limits, NUMBER)
        # Of a counter that is wrong, which has been noted, the topic is not known.
        likely = topics if None not in read else [f.name for f in counted()]
        for field, kind in ((field, kind) for topic in likely for field, kind in catalog.fields(topic).items()):
            if None in read or all(field in FEEDS[topic].columns for topic in topics):
                names[field] = kind
        for n, counter in self.counters.items():
            for part in counter.outputs if counter is not None else ():
                names[f"{n}.{part}" if part else n] = NUMBER
        names |= {n: Hidden() for n, c in self.counters.items() if c is None}
        when = expression(doc, node, "when", names)
        if when is None:
            return None
        if not known:
            doc.error(node, "when: reads no counter", "compare a counter with a limit", tuple(self.counters))
            return None
        if "duration" in when.names and not any(c.events & ENDED for c in known):
            hint = f"read a counter with {catalog.said_on(ENDED.issuperset)}"
            doc.error(node, "when: `duration` is not known before the call ends", hint)
            return None
        return when

    def _then(self, node: Node) -> _Then:
        doc = self.doc
        keys = mapping(doc, node, "then", THEN_KEYS, THEN_EXTRAS) or {}
        block = choice_list(doc, keys["block"], "thing to block", BLOCKS) if "block" in keys else ()
        directions = choice_list(doc, keys["directions"], "direction", DIRECTIONS) if "directions" in keys else ()
        low, high = catalog.PERIOD_MS_MIN, catalog.PERIOD_MS_MAX
        period_ms = duration(doc, keys["for"], "the period `for`", low, high) if "for" in keys else 0
        cut = choice(doc, keys[CUT_CALL], f"value of `{CUT_CALL}`", ("true", "false")) if CUT_CALL in keys else "false"
        if cut == "true" and block and "calls" not in block:
            doc.error(keys[CUT_CALL], "a call can be cut only where calls are blocked", "add `calls` to `block:`")
        named = None
        if "announcement" in keys:
            named = choice(doc, keys["announcement"], "announcement", tuple(self.announcements))
        said = self.announcements.get(named) if named is not None else None
        return _Then(block or (), directions or (), period_ms or 0, cut == "true", said)


@dataclass(frozen=True)
class _Then:
    """A rule's `then`; empty where it is wrong."""

    block: tuple[str, ...] = ()
    directions: tuple[str, ...] = ()
    period_ms: int = 0
    cut_call: bool = False
    announcement: str | None = None


__all__ = ["RuleErrors", "check", "check_texts", "load", "load_protected", "load_text", "packs", "render", "rule_files"]
