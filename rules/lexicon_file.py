"""Lexicon files, strictly read: the result is a Lexicon, or every mistake in the files at once.

Those that ship are `rules/lexicons/*.yaml`. Files are read together: one names a word that another uses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from rules.diagnostics import ERROR, Diagnostic, RuleErrors
from rules.document import Document, Node, text_of, version_of
from rules.expression_check import closest
from rules.lexicon import HAS, IMPOSTURES, WORDS_MAX, Brand, Combination, Lexicon
from rules.reading import Keys, choice_list, entries, items, mapping, name, text

SECTIONS = ("words", "longer", "groups", "impostures", "brands", "shorteners", "allowed", "denied")
SPELLING_MAX = 40  # characters
_NAME = r"[a-z][a-z0-9-]*"
_DOMAIN = re.compile(r"[^\s/:@.]+(\.[^\s/:@.]+)+")


@lru_cache(maxsize=1)
def load_lexicon() -> Lexicon:
    """The lexicon that ships. Raises RuleErrors."""
    lexicon, diagnostics = check_lexicons()
    if lexicon is None:
        raise RuleErrors(diagnostics)
    return lexicon


def check_lexicons(paths: Sequence[Path] = ()) -> tuple[Lexicon | None, list[Diagnostic]]:
    """The shipped lexicon and the files of `paths` together; None and every mistake when anything is wrong."""
    unread: list[Diagnostic] = []
    texts = []
    for path in (*sorted((Path(__file__).parent / "lexicons").glob("*.yaml")), *map(Path, paths)):
        if (content := text_of(path, unread, "the lexicon")) is not None:
            texts.append((str(path) if path in paths else path.name, content))
    lexicon, diagnostics = check_lexicon_texts(texts)
    return (None if unread else lexicon), unread + diagnostics


def check_lexicon_texts(texts: Iterable[tuple[str, str]]) -> tuple[Lexicon | None, list[Diagnostic]]:
    """Like `check_lexicons`, for (name, text) pairs and nothing else."""
    gathered = _LexiconParts()
    documents = [Document(file, content) for file, content in texts]
    keyed = [(doc, keys) for doc in documents if (keys := _sections(doc)) is not None]
    for doc, keys in keyed:
        gathered.words(doc, keys)
    for doc, keys in keyed:
        gathered.named(doc, keys)
    for doc, keys in keyed:
        gathered.combinations(doc, keys)
        gathered.domains(doc, keys)
    diagnostics = [d for doc in documents for d in doc.diagnostics]
    if any(d.severity == ERROR for d in diagnostics):
        return None, diagnostics
    return gathered.lexicon(version_of(documents)), diagnostics


def _sections(doc: Document) -> Keys | None:
    if doc.root is None or doc.root.empty:
        if not doc.diagnostics:
            doc.whole("is empty", f"a lexicon has {', '.join(f'`{section}:`' for section in SECTIONS)}")
        return None
    return mapping(doc, doc.root, "a lexicon", (), SECTIONS)


class _LexiconParts:
    """All that the files say, put together section by section."""

    def __init__(self) -> None:
        self._words: dict[str, list[str]] = {}
        self._longer: list[str] = []
        self._groups: dict[str, frozenset[str]] = {}
        self._combinations: list[Combination] = []
        self._brands: list[Brand] = []
        self._listed: dict[str, set[str]] = {"shorteners": set(), "allowed": set(), "denied": set()}
        self._taken: dict[str, str] = {}  # spelling -> the word that it stands for

    def lexicon(self, version: str) -> Lexicon:
        listed = self._listed
        return Lexicon(
            {word: tuple(spellings) for word, spellings in self._words.items()},
            tuple(self._longer),
            tuple(sorted(self._combinations, key=lambda c: IMPOSTURES.index(c.imposture))),
            tuple(self._brands),
            frozenset(listed["shorteners"]),
            frozenset(listed["allowed"]),
            frozenset(listed["denied"]),
            version,
        )

    def words(self, doc: Document, keys: Keys) -> None:
        for key, node in entries(doc, keys["words"], "`words`") or () if "words" in keys else ():
            if name(doc, key, "a word", _NAME, "small letters, digits and -") is None:
                continue
            spellings = self._words.setdefault(key.text, [])
            spellings += self._spellings(doc, node, key.text)
            if len(self._words) > WORDS_MAX:
                doc.error(key, f"more than {WORDS_MAX} words", "give its spellings to a word that there is")
        if "longer" in keys:
            self._longer += self._spellings(doc, keys["longer"], "longer")

    def named(self, doc: Document, keys: Keys) -> None:
        for key, node in entries(doc, keys["groups"], "`groups`") or () if "groups" in keys else ():
            if key.text in self._words:
                doc.error(key, f"`{key.text}` is a word already", "choose another name for the group")
            members = choice_list(doc, node, "word", tuple(self._words))
            self._groups[key.text] = frozenset(members or ())
        for key, node in entries(doc, keys["brands"], "`brands`") or () if "brands" in keys else ():
            of = mapping(doc, node, f"brand `{key.text}`", ("words", "domains")) or {}
            spellings = self._spellings(doc, of["words"], key.text) if "words" in of else []
            domains = self._domains(doc, of["domains"], "`domains`") if "domains" in of else []
            self._brands.append(Brand(key.text, tuple(spellings), tuple(domains)))

    def combinations(self, doc: Document, keys: Keys) -> None:
        known = {word: frozenset({word}) for word in self._words} | self._groups
        for key, node in entries(doc, keys["impostures"], "`impostures`") or () if "impostures" in keys else ():
            if key.text not in IMPOSTURES:
                doc.error(key, f"`{key.text}` is no imposture", closest(key.text, IMPOSTURES), IMPOSTURES)
                continue
            for item in items(doc, node, f"imposture `{key.text}`") or ():
                of = mapping(doc, item, "a combination", ("words",), ("has",)) or {}
                named = choice_list(doc, of["words"], "word or group", tuple(known)) if "words" in of else None
                has = choice_list(doc, of["has"], "feature", HAS) if "has" in of else ()
                if named is not None and has is not None:
                    sets = tuple(known[each] for each in named)
                    self._combinations.append(Combination(key.text, sets, frozenset(has)))

    def domains(self, doc: Document, keys: Keys) -> None:
        for key, listed in self._listed.items():
            if key in keys and (keys[key].kind != "sequence" or keys[key].items):
                listed |= set(self._domains(doc, keys[key], f"`{key}`"))

    def _spellings(self, doc: Document, node: Node, of: str) -> list[str]:
        found = []
        for item in items(doc, node, f"`{of}`") or ():
            spelling = text(doc, item, "a spelling")
            if spelling is None:
                continue
            if len(spelling) > SPELLING_MAX:
                doc.error(item, f"longer than {SPELLING_MAX} characters", "a spelling is a word or a few")
            elif self._taken.get(spelling, of) != of:
                doc.error(item, f"`{spelling}` is a spelling of `{self._taken[spelling]}` already", "list it once")
            elif spelling not in found:
                self._taken[spelling] = of
                found.append(spelling)
        return found

    def _domains(self, doc: Document, node: Node, what: str) -> list[str]:
        found = []
        for item in items(doc, node, what) or ():
            domain = text(doc, item, "a domain")
            if domain is not None and not _DOMAIN.fullmatch(domain):
                doc.error(item, f"`{domain[:40]}` is no domain", "write it as example.co.kr")
            elif domain is not None:
                found.append(domain.lower())
        return found
