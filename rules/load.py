"""Loads rule files: the result is a RuleSet, or every mistake in the files at once."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rules import catalog
from rules.advice import advise
from rules.consequences import judge
from rules.definitions import SECTIONS, SHARED, Definitions, limit_of, read_own, read_shared
from rules.diagnostics import ERROR, Diagnostic, RuleErrors, render
from rules.document import Document, Node, text_of, version_of
from rules.expression_check import NUMBER, ExpressionErrors, Hidden, Kind, Known
from rules.expressions import Expression, parse, renamed
from rules.kinds import ENDED
from rules.limits_file import Levels, measured
from rules.model import MODES, OPERATOR, Counter, Rule, RuleSet
from rules.protected import check_protected, load_protected
from rules.reading import choice, entries, expression, items, mapping, name, text
from rules.registry_file import check_registry
from rules.then_file import RULE_NAME, Then, read_announcements, read_then
from rules.unreviewed_file import read_unreviewed, review_of_rule
from schemas import subjects
from schemas.feeds import FEEDS, counted

MORE_SECTIONS = ("announcements", "unreviewed", "rules")
RULE_KEYS = ("name", "summary", "when", "then", "mode")
RULE_EXTRAS = ("limits", "spoofable", "unreviewed")
WARNING_NAME = "{}-warning"  # of the rule that shows what is at its warning and not yet critical
CRITICAL = "{}__critical"  # the critical value of a limit, in that rule
STDIN = Path("-")
TESTS = ".test.yaml"  # ends the name of a file of tests, which lies beside its rule file and holds no rules


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
            name, opened = ("standard input", sys.stdin.buffer) if file == STDIN else (str(file), None)
            if (content := text_of(file, unread, opened=opened)) is not None:
                texts.append((name, content))
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
    shared = _shared(documents)
    read = [found for doc in documents if (found := _file(doc, shared, taken, feed)) is not None]
    if not any(d.severity == ERROR for doc in documents for d in doc.diagnostics):
        judge([(found.doc, found.rules) for found in read if found.rules])
    rules = [rule for found in read for rule in found.all()]
    if not rules and documents and not any(doc.diagnostics for doc in documents):
        documents[0].whole("holds no rule, nor do the other files", "definitions need rules that read them")
    diagnostics = [d for doc in documents for d in sorted(doc.diagnostics, key=lambda d: (d.line, d.column))]
    if any(d.severity == ERROR for d in diagnostics):
        return None, diagnostics
    warnings = tuple(f"{d.position}: {d.message}" for d in diagnostics)
    return RuleSet(tuple(rules), version_of(documents), warnings), diagnostics


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


def _shared(documents: Sequence[Document]) -> Definitions:
    """The definitions that any of the files shares with all."""
    shared = Definitions()
    for doc in documents:
        for key, value in doc.root.pairs if doc.root is not None else ():
            if key.text == SHARED:
                read_shared(doc, value, shared)
    return shared


def _file(doc: Document, shared: Definitions, taken: dict[str, str], feed: str) -> _RuleReader | None:
    """Reads the rules of a file."""
    if doc.root is None or doc.root.empty:
        if not doc.diagnostics:
            doc.whole("is empty", "it needs `counters:` and `rules:`")
        return None
    needs = () if any(key.text == SHARED for key, _ in doc.root.pairs) else ("rules",)
    keys = mapping(doc, doc.root, "a rule file", needs, (*SECTIONS, SHARED, *MORE_SECTIONS))
    if keys is None:
        return None
    announcements = read_announcements(doc, keys["announcements"]) if "announcements" in keys else {}
    review_ms = read_unreviewed(doc, keys["unreviewed"]) if "unreviewed" in keys else 0
    reader = _RuleReader(doc, read_own(doc, keys, shared).beside(shared), announcements, taken, review_ms or 0)
    reader.read(items(doc, keys["rules"], "`rules`") or () if "rules" in keys else ())
    if not any(d.severity == ERROR for d in doc.diagnostics):
        advise(doc, reader.rules, feed)
    return reader


# ----------------------------------------------------------------------------------------------------------- rules


class _RuleReader:
    """Reads the rules of a file. warnings: of rules with limits that have a warning, by the rule's name. review_ms: of
    rules in review that do not say `unreviewed` themselves."""

    def __init__(
        self,
        doc: Document,
        known: Definitions,
        announcements: Mapping[str, str | None],
        taken: dict[str, str],
        review_ms: int,
    ) -> None:
        self.doc, self.known, self.taken = doc, known, taken
        self.announcements, self.review_ms = announcements, review_ms
        self.counters = known.counters
        self.rules: list[Rule] = []
        self.warnings: dict[str, Rule] = {}

    def read(self, nodes: Sequence[Node]) -> None:
        self.rules = [rule for node in nodes if (rule := self.rule(node)) is not None]

    def all(self) -> list[Rule]:
        """The rules in file order, each followed by the one that shows its warnings."""
        return [one for rule in self.rules for one in (rule, self.warnings.get(rule.name)) if one is not None]

    def rule(self, node: Node) -> Rule | None:
        doc, before = self.doc, len(self.doc.diagnostics)
        keys = mapping(doc, node, "a rule", RULE_KEYS, RULE_EXTRAS)
        if keys is None:
            return None
        rule_name = self._name(keys["name"]) if "name" in keys else None
        summary = text(doc, keys["summary"], "summary") if "summary" in keys else None
        limits = {**self.known.limits, **(self._limits(keys["limits"]) if "limits" in keys else {})}
        found = self._when(keys["when"], limits) if "when" in keys else None
        read = {n.split(".")[0] for n in found[0].names} if found is not None else _words(keys.get("when"))
        counters = {n: c for n, c in self.counters.items() if c is not None and n in read}
        about = self._subject(keys["when"], counters) if "when" in keys else subjects.NUMBER.name
        then = read_then(doc, keys["then"], about, self.announcements) if "then" in keys else Then()
        mode = choice(doc, keys["mode"], "mode", MODES) if "mode" in keys else None
        review_ms = review_of_rule(doc, keys, mode, then.period_ms, self.review_ms)
        if "spoofable" in keys:
            choice(doc, keys["spoofable"], "value of `spoofable`", ("accepted",))
        if len(doc.diagnostics) > before or found is None or rule_name is None or summary is None or mode is None:
            return None
        when, levels = found
        own = {key.text for key, _ in keys["limits"].pairs} if "limits" in keys else set()
        rule = Rule(
            name=rule_name,
            summary=summary,
            when=when,
            counters=counters,
            limits={n: one.critical for n, one in levels.items() if n in own or n in read},
            block=then.block,
            directions=then.directions,
            period_ms=then.period_ms,
            again_ms=then.again_ms,
            cut_call=then.cut_call,
            announcement=then.announcement,
            recommend=then.recommend,
            stop_at_origin=then.stop_at_origin,
            mode=mode,
            spoofable="spoofable" in keys,
            file=doc.name,
            line=node.line + 1,
            review_ms=review_ms,
        )
        if any(one.warning is not None and n in read for n, one in levels.items()):
            self._warn_before(rule, levels, keys["name"])
        return rule

    def _warn_before(self, rule: Rule, levels: Mapping[str, Levels], node: Node) -> None:
        """Adds the rule that shows to people what is beyond the warnings and not yet critical."""
        taken = WARNING_NAME.format(rule.name)
        if taken in self.taken:
            hint = f"it is at {self.taken[taken]}"
            self.doc.error(
                node, f"a rule named `{taken}`, as that of the warnings of `{rule.name}`, exists already", hint
            )
            return
        self.taken[taken] = f"{self.doc.name}:{node.line + 1}"
        two = {n: one.warning for n, one in levels.items() if one.warning is not None and n in rule.when.names}
        limits = {n: two.get(n) or one for n, one in rule.limits.items()}
        limits |= {CRITICAL.format(n): replace(rule.limits[n], name=CRITICAL.format(n)) for n in two}
        critical = renamed(rule.when.source, {n: CRITICAL.format(n) for n in two})
        names: Known = dict.fromkeys((*rule.when.names, *limits), NUMBER) | dict(rule.when.choices)
        mode = "shadow" if rule.mode == "shadow" else "review"
        try:
            when = parse(f"({rule.when.source}) and not ({critical})", names)
        except ExpressionErrors as errors:
            self.doc.error(node, f"the warnings of `{rule.name}`: {errors}", "make its `when` shorter")
            return
        self.warnings[rule.name] = replace(rule, name=taken, when=when, limits=limits, mode=mode, review_ms=0)

    def _subject(self, node: Node, counters: dict[str, Counter]) -> str:
        """Whom the rule is about. Its counters must agree."""
        by_subject = {counter.subject: name for name, counter in counters.items()}
        if len(by_subject) > 1:
            said = " and ".join(f"`{name}` is per {subject}" for subject, name in sorted(by_subject.items()))
            self.doc.error(node, f"when: {said}, and a rule is about one of them", "write a rule for each")
        return next(iter(by_subject), subjects.NUMBER.name)

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

    def _limits(self, node: Node) -> dict[str, Levels | None]:
        out: dict[str, Levels | None] = {}
        for key, value in entries(self.doc, node, "`limits`") or ():
            if key.text in self.known.limits:
                hint = f"choose another name: that one is at {self.known.places[f'limits {key.text}']}"
                self.doc.error(key, f"a limit named `{key.text}` is defined for all rules already", hint)
            else:
                found = limit_of(self.doc, key, value, self.known)
                if found is not None or not self.known.names(key.text):
                    out[key.text] = found
        return out

    def _when(
        self, node: Node, limits: dict[str, Levels | None]
    ) -> tuple[Expression, dict[str, Levels]] | None:  # fmt: skip
        """The condition, and the limits that it reads in the units of what they are compared with."""
        doc = self.doc
        words = _words(node)
        read = [c for n, c in self.counters.items() if n in words]
        known = [c for c in read if c is not None]
        topics = sorted({c.topic for c in known}) or [f.name for f in counted() if f.vouching]
        names: dict[str, Kind | Hidden] = {}
        names |= catalog.texts(topics)
        if {c.subject for c in known} <= {subjects.NUMBER.name}:
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
        names |= {n: Hidden() for n, c in {**self.counters, **limits}.items() if c is None}
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
        usable = {n: one for n, one in limits.items() if one is not None}
        read_limits = {n: one for n, one in usable.items() if n in when.names}
        counters = {n: c for n, c in self.counters.items() if c is not None}
        return when, usable | measured(doc, node, when, read_limits, counters)


def _words(node: Node | None) -> set[str]:
    """The words of an expression that may be names, whatever is wrong with it."""
    source = "" if node is None else node.text
    return set(re.findall(r"[A-Za-z_]\w*", re.sub(r"\"[^\"]*\"|'[^']*'", "", source)))


__all__ = ["RuleErrors", "check", "check_texts", "load", "load_protected", "load_text", "packs", "render", "rule_files"]
