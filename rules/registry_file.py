"""Registry files: YAML for a few entries, CSV for many. Reading is strict and finds every mistake, each with its place.

Both say the same of an entry: `kind`, `number` or `account`, `owner`, `reason`, `until`, and perhaps `since`. A number
that ends in `*` stands for all that begin so."""

from __future__ import annotations

import csv
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from rules.diagnostics import Diagnostic, RuleErrors
from rules.document import Document
from rules.expression_check import closest
from rules.reading import items, mapping, text
from rules.registry import ALWAYS_MS, Entry, Registry, key_of_name
from schemas.registry import (
    ABOUT,
    ENTRY_KINDS,
    OWNER_MAX,
    PREFIX_DIGITS_MAX,
    PREFIX_DIGITS_MIN,
    REASON_MAX,
    EntryKind,
    about_of,
)
from schemas.times import TimeError, parse_time

NEEDS, MAY = ("kind", "owner", "reason", "until"), (*ABOUT, "since", "score")
COLUMNS = ("kind", *ABOUT, "owner", "reason", "since", "until", "score")
NUMBER_MAX, ID_MAX = 64, 256  # characters
# Bounds: an entry takes about half a kilobyte of a worker's memory.
ENTRIES_MAX = 2_000_000
FILE_BYTES_MAX = 512_000_000
PERIODS_MAX = 16  # of one number: each costs every look-up a comparison
SHOWN_MAX = 100  # mistakes: a file of a million lines that are all wrong is wrong in one way

_PREFIX = re.compile(r"\+[1-9]\d*", re.ASCII)


class EntryProblem(ValueError):
    """A value of an entry that is wrong. name: of the value."""

    def __init__(self, name: str, message: str, hint: str = "", choices: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.name, self.hint, self.choices = name, hint, choices


def load_registry(paths: Sequence[Path], region: str = "KR") -> Registry:
    """The entries of all files together. `region` is where numbers without a country code belong. Raises RuleErrors
    with all that is wrong."""
    registry, diagnostics = check_registry(paths, region)
    if registry is None:
        raise RuleErrors(diagnostics)
    return registry


def check_registry(paths: Sequence[Path], region: str = "KR") -> tuple[Registry | None, list[Diagnostic]]:
    """Like `load_registry`, but returns None and the mistakes when anything is wrong."""
    gathered = _Gathered(region)
    for path in paths:
        gathered.read(Path(path))
    gathered.compare()
    if gathered.mistakes:
        return None, gathered.mistakes
    return gathered.registry(), []


def entry_of(values: Mapping[str, str], region: str) -> Entry:
    """The entry that these texts say. Raises EntryProblem for the first value that is wrong."""
    kind = ENTRY_KINDS.get(values["kind"])
    if kind is None:
        choices = tuple(ENTRY_KINDS)
        raise EntryProblem(
            "kind", f"`{values['kind'][:40]}` is no kind of entry", closest(values["kind"], choices), choices
        )
    about = about_of(kind.name)
    for other in ABOUT:
        if other != about and values.get(other):
            raise EntryProblem(other, f"an entry of kind `{kind.name}` has no `{other}`", f"write `{about}:`")
    if not values.get(about):
        raise EntryProblem("kind", f"an entry of kind `{kind.name}` needs `{about}`", f"add `{about}:`")
    digits, key = (0, _name(about, values[about])) if kind.of else _number(values["number"], region)
    for name, longest in (("owner", OWNER_MAX), ("reason", REASON_MAX)):
        if not values[name].strip():
            raise EntryProblem(name, f"`{name}` is empty", "an entry says whose number it is, and why it stands here")
        if len(values[name]) > longest:
            raise EntryProblem(name, f"`{name}` is longer than {longest} characters")
    until_ms = _time("until", values["until"])
    since_ms = _time("since", values["since"]) if values.get("since") else ALWAYS_MS
    if since_ms >= until_ms:
        raise EntryProblem("until", "the entry ends before it begins")
    score = _score(kind, values.get("score", ""))
    name = values[about] if kind.of else ""
    return Entry(kind, digits, key, since_ms, until_ms, values["owner"].strip(), values["reason"].strip(), name, score)


def _score(kind: EntryKind, value: str) -> float:
    if not kind.has_score:
        if value:
            raise EntryProblem("score", f"an entry of kind `{kind.name}` has no `score`")
        return 0.0
    if re.fullmatch(r"0?\.\d+|1(\.0+)?|0", value, re.ASCII) is None or not float(value):
        name = "score" if value else "kind"
        raise EntryProblem(name, f"an entry of kind `{kind.name}` needs a `score` above 0, to 1", "0.75")
    return float(value)


def _name(about: str, value: str) -> int:
    if len(value) > ID_MAX:
        raise EntryProblem(about, f"`{about}` is longer than {ID_MAX} characters")
    return key_of_name(value)


def _number(value: str, region: str) -> tuple[int, int]:
    """(digits, key): (0, key) of a whole number."""
    from schemas.numbers import normalise

    if len(value) > NUMBER_MAX:
        raise EntryProblem("number", f"the number is longer than {NUMBER_MAX} characters")
    if not value.strip():
        raise EntryProblem("number", "the number is empty")
    if not value.endswith("*"):
        key = normalise(value, region).key
        if key <= 0:
            hint = "other identities are blocked by no rule, so that nothing need be said of them"
            raise EntryProblem("number", f"`{value[:40]}` is no telephone number as E.164 has it", hint)
        return 0, key
    start = re.sub(r"[ -]", "", value[:-1])
    digits = len(start) - 1
    if not (_PREFIX.fullmatch(start) and PREFIX_DIGITS_MIN <= digits <= PREFIX_DIGITS_MAX):
        raise EntryProblem(
            "number",
            f"what stands before * must be international, with {PREFIX_DIGITS_MIN} to {PREFIX_DIGITS_MAX} digits",
            'write it as "+82 1588*"',
        )
    return digits, int(start[1:])


@lru_cache(maxsize=10_000)
def _time(name: str, value: str) -> int:
    try:
        return parse_time(int(value) if value.isascii() and value.isdigit() else value)
    except TimeError as problem:
        raise EntryProblem(name, f"`{name}` {problem}") from None


class _Gathered:
    """The columns of the entries of some files, the place of each, and the mistakes."""

    def __init__(self, region: str) -> None:
        self.mistakes: list[Diagnostic] = []
        self._region = region
        self._files: list[tuple[str, int]] = []  # (name, entries before it)
        # Numbers, since a million objects would keep the collector of garbage busy.
        self._kind, self._digits, self._lines = array("B"), array("B"), array("q")
        self._key, self._since, self._until, self._sum = (array(code) for code in "qqqQ")
        self._owner: list[str] = []
        self._reason: list[str] = []
        self._names: dict[int, str] = {}
        self._scores: dict[int, float] = {}
        self._texts: dict[str, str] = {}  # each once, however many entries say it

    @property
    def _is_full(self) -> bool:
        return len(self.mistakes) >= SHOWN_MAX

    def registry(self) -> Registry:
        import numpy as np

        kind, digits, key, since, until, sums = map(
            np.array, (self._kind, self._digits, self._key, self._since, self._until, self._sum)
        )
        return Registry(
            kind, digits, key, since, until, self._owner, self._reason, np.sort(sums), self._names, self._scores
        ).prepared()

    def read(self, path: Path) -> None:
        self._files.append((str(path), len(self._key)))
        content = self._content(path)
        if content is None:
            return
        if path.suffix == ".csv":
            self._csv(str(path), content)
        else:
            self._yaml(Document(str(path), content))
        if self._is_full:
            self._whole(str(path), "further mistakes are not shown")

    def _content(self, path: Path) -> str | None:
        try:
            if path.is_file() and path.stat().st_size > FILE_BYTES_MAX:
                self._whole(str(path), f"larger than {FILE_BYTES_MAX:,} bytes", "split it: the option can be repeated")
                return None
            return path.read_bytes().decode("utf-8-sig")
        except OSError as e:
            self._whole(str(path), f"the registry cannot be read: {e.strerror}")
        except UnicodeDecodeError as e:
            self._whole(str(path), f"is not UTF-8 (byte {e.start})")
        return None

    def _whole(self, name: str, message: str, hint: str = "") -> None:
        self.mistakes.append(Diagnostic(name, 0, 0, message, hint=hint))

    def _take(self, values: Mapping[str, str], line: int) -> None:
        """Raises EntryProblem."""
        entry = entry_of(values, self._region)
        if len(self._key) == ENTRIES_MAX:
            raise EntryProblem("kind", f"more than {ENTRIES_MAX:,} entries")
        if entry.score:
            self._scores[len(self._key)] = entry.score
        if entry.name:
            self._names[len(self._key)] = entry.name
        self._kind.append(entry.kind.code)
        self._digits.append(entry.digits)
        self._key.append(entry.key)
        self._since.append(entry.since_ms)
        self._until.append(entry.until_ms)
        self._sum.append(entry.sum)
        self._owner.append(self._texts.setdefault(entry.owner, entry.owner))
        self._reason.append(self._texts.setdefault(entry.reason, entry.reason))
        self._lines.append(line)

    # -- YAML --------------------------------------------------------------------------------------------------

    def _yaml(self, doc: Document) -> None:
        if doc.root is not None and not doc.root.empty:
            keys = mapping(doc, doc.root, "a registry", ("entries",)) or {}
            for node in (items(doc, keys["entries"], "`entries`") or ()) if "entries" in keys else ():
                before = len(doc.diagnostics)
                found = mapping(doc, node, "an entry", NEEDS, MAY) or {}
                values = {name: text(doc, value, f"`{name}`") or "" for name, value in found.items()}
                if len(doc.diagnostics) == before:
                    try:
                        self._take(values, node.line + 1)
                    except EntryProblem as problem:
                        doc.error(found[problem.name], str(problem), problem.hint, problem.choices)
                if len(doc.diagnostics) >= SHOWN_MAX:
                    break
        elif not doc.diagnostics:
            doc.whole("is empty", "it needs `entries:`")
        self.mistakes += doc.diagnostics[:SHOWN_MAX]

    # -- CSV ---------------------------------------------------------------------------------------------------

    def _csv(self, name: str, content: str) -> None:
        lines = content.replace("\r\n", "\n").split("\n") if content else []
        header = self._header(name, lines[0]) if lines else None
        if not lines:
            self._whole(name, "is empty", f"its first line is kind,number,{','.join(NEEDS[1:])},since")
        if header is None:
            return
        for at, line in enumerate(lines[1:], 2):
            if self._is_full:
                break
            if not line.strip():
                continue
            cells = _cells(line)
            if cells is None or len(cells) != len(header):
                found = "a quote is not closed" if cells is None else f"{len(cells)} values, and the first line has"
                self._at(name, at, 1, line, found if cells is None else f"{found} {len(header)}")
                continue
            try:
                self._take(dict(zip(header, cells, strict=True)), at)
            except EntryProblem as problem:
                column = _column(line, header.index(problem.name))
                self._at(name, at, column, line, str(problem), problem.hint, problem.choices)

    def _header(self, name: str, line: str) -> list[str] | None:
        header = [cell.strip() for cell in _cells(line) or ()]
        before = len(self.mistakes)
        for place, column in enumerate(header):
            if column not in COLUMNS or column in header[:place]:
                message = f"unknown column `{column[:40]}`" if column not in COLUMNS else f"`{column}` is given twice"
                self._at(name, 1, _column(line, place), line, message, closest(column, COLUMNS), COLUMNS)
        missing = [column for column in NEEDS if column not in header]
        missing += [] if set(ABOUT) & set(header) else ["number"]
        if missing and len(self.mistakes) == before:
            self._at(name, 1, 1, line, f"no column {', '.join(f'`{c}`' for c in missing)}", "", COLUMNS)
        return header if len(self.mistakes) == before else None

    def _at(
        self, name: str, at: int, column: int, line: str, message: str, hint: str = "", choices: tuple[str, ...] = ()
    ) -> None:
        self.mistakes.append(Diagnostic(name, at, column, message, line[:500], hint, choices=choices))

    # -- one entry beside others -------------------------------------------------------------------------------

    def compare(self) -> None:
        """Notes entries of one kind and number whose times overlap, and numbers with too many entries: which of them is
        meant could not be told."""
        import numpy as np

        kind, digits, key, since, until = (
            np.array(column) for column in (self._kind, self._digits, self._key, self._since, self._until)
        )
        order = np.lexsort((since, key, digits, kind))
        same = np.ones(max(len(order) - 1, 0), bool)
        for column in (kind, digits, key):
            same &= column[order[1:]] == column[order[:-1]]
        overlaps = same & (since[order[1:]] < until[order[:-1]])
        many = same.copy()  # PERIODS_MAX neighbours in a row
        for step in range(1, PERIODS_MAX):
            many[step:] &= same[:-step]
        many[: PERIODS_MAX - 1] = False
        for i in np.flatnonzero(overlaps | many).tolist():
            if self._is_full:
                return
            early, late = sorted(order[i : i + 2].tolist())
            if overlaps[i]:
                self._place(late, "it has an entry of this kind for that time already", early)
            else:
                self._place(late, f"more than {PERIODS_MAX} entries of this kind for one number", early)

    def _place(self, of: int, message: str, other: int) -> None:
        (name, line), (elsewhere, at) = self._where(of), self._where(other)
        self.mistakes.append(Diagnostic(name, line, 1, message, hint=f"it is at {elsewhere}:{at}"))

    def _where(self, i: int) -> tuple[str, int]:
        return next(name for name, first in reversed(self._files) if first <= i), self._lines[i]


def _cells(line: str) -> list[str] | None:
    """The values of a line; None if a quote is not closed on it."""
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error:
        return None


def _column(line: str, place: int) -> int:
    """The column, from 1, at which the value of this place begins."""
    return 1 + next((at for i, at in enumerate(_begins(line)) if i == place), 0)


def _begins(line: str) -> Iterator[int]:
    yield 0
    quoted = False
    for at, letter in enumerate(line):
        quoted ^= letter == '"'
        if letter == "," and not quoted:
            yield at + 1
