"""Registry files: what is read from good ones, what is said of bad ones, and which entry covers a number when."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.diagnostics import RuleErrors
from rules.registry import ALWAYS_MS, Entry, Registry, empty
from rules.registry_file import PERIODS_MAX, SHOWN_MAX, check_registry, load_registry
from schemas.numbers import normalise
from schemas.registry import ACCOUNT, ALLOWED, BULK_SENDER, ENTRY_KINDS, INSTITUTION
from streams.cli.registry import command

HOUR = 3_600_000
UNTIL, UNTIL_MS = "2030-01-01T00:00:00+09:00", 1_893_423_600_000

YAML = """
entries:
  - {kind: bulk_sender, number: "1588-9999", owner: a bank, reason: "registered, no. 17", until: 2030-01-01T00:00:00+09:00}
  - {kind: institution, number: "+82 2 2100*", owner: a ministry, reason: its exchange, since: 2026-01-01T00:00:00Z, until: 1893423600000}
  - {kind: allowed, number: "010-5550-0101", owner: relay7, reason: its gateway, until: 2030-01-01T00:00:00+09:00}
"""  # noqa: E501
CSV = """kind,number,owner,reason,since,until
bulk_sender,1588-9999,a bank,"registered, no. 17",,2030-01-01T00:00:00+09:00
institution,+82 2 2100*,a ministry,its exchange,2026-01-01T00:00:00Z,1893423600000

allowed,010-5550-0101,relay7,its gateway,,2030-01-01T00:00:00+09:00
"""


def said(tmp_path: Path, name: str, content: str | bytes) -> list[str]:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    registry, diagnostics = check_registry([path])
    assert (registry is None) == bool(diagnostics)
    return [f"{d.line}:{d.column} {d.message}" + (f" ({d.hint})" if d.hint else "") for d in diagnostics]


def covers(registry: Registry, kind: Any, number: str, at_ms: int) -> bool:
    key = normalise(number).key
    return bool(registry.find(kind, np.array([key]), np.array([at_ms], np.int64))[0] >= 0)


@pytest.mark.parametrize(("name", "content"), [("registry.yaml", YAML), ("registry.csv", CSV)])
def test_both_forms_say_the_same(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    registry = load_registry([tmp_path / name])
    assert len(registry) == 3
    assert covers(registry, BULK_SENDER, "+82 1588 9999", UNTIL_MS - 1)
    assert not covers(registry, BULK_SENDER, "+82 1588 9999", UNTIL_MS), "the end is exclusive"
    assert covers(registry, INSTITUTION, "02-2100-1234", UNTIL_MS - HOUR)
    assert not covers(registry, INSTITUTION, "02-2100-1234", 1_767_225_599_999), "before it begins"
    assert not covers(registry, INSTITUTION, "02-210-1234", UNTIL_MS - HOUR)
    assert covers(registry, ALLOWED, "+82 10 5550 0101", 0), "without `since` from always"
    assert not covers(registry, ALLOWED, "1588-9999", 0), "a kind is not another"
    shown = registry.entry(int(registry.find(BULK_SENDER, np.array([8215889999]), np.array([0]))[0])).shown()
    assert shown == {"kind": "bulk_sender", "owner": "a bank", "reason": "registered, no. 17", "until": UNTIL_MS}


def test_the_version_hangs_on_what_is_said_and_not_on_form_order_or_files(tmp_path: Path) -> None:
    one, other, half, rest = (tmp_path / name for name in ("one.yaml", "other.csv", "half.csv", "rest.csv"))
    one.write_text(YAML)
    other.write_text(CSV)
    lines = CSV.splitlines(keepends=True)
    half.write_text(lines[0] + lines[4])
    rest.write_text("".join(lines[:3]))
    version = load_registry([one]).version
    assert len(version) == 12
    assert {load_registry(paths).version for paths in ([other], [half, rest], [rest, half])} == {version}
    other.write_text(CSV.replace("a bank", "a banker"))
    assert load_registry([other]).version != version
    assert load_registry([half, rest]) == load_registry([one])
    assert len({load_registry([one]), load_registry([half, rest]), empty(), load_registry([])}) == 2
    assert empty().version == "" == load_registry([]).version
    assert load_registry([other]).difference(load_registry([one])) == (1, 1)
    assert load_registry([half]).difference(load_registry([one])) == (0, 2)


WRONG = {
    "kind": ("kind: bulk_sender", "kind: bulk-sender", "3:12 `bulk-sender` is no kind of entry (did you mean"),
    "prefix": ('"+82 2 2100*"', '"02-2100*"', "4:33 what stands before * must be international, with 3 to 14 digits"),
    "short": ('"+82 2 2100*"', '"+82*"', "4:33 what stands before * must be international, with 3 to 14 digits"),
    "no zone": ("until: 2030-01-01T00:00:00+09:00}\n  - {kind: inst", "until: 2030-01-01}\n  - {kind: inst",
                "3:98 `until` is not RFC 3339"),
    "short number": ("010-5550-0101", "1366", "5:29 `1366` is no telephone number as E.164 has it (other identities"),
    "seconds": ("until: 1893423600000", "until: 1893423600", "`until` is before 2000-01-01: seconds taken"),
    "turned": ("since: 2026-01-01T00:00:00Z", "since: 2036-01-01T00:00:00Z", "the entry ends before it begins"),
    "owner": ("owner: relay7, ", "", "5:5 an entry has no `owner`"),
    "empty": ("owner: relay7", "owner: ' '", "`owner` must be a text"),
    "long": ("its gateway", "g" * 501, "`reason` is longer than 500 characters"),
    "unknown": ("owner: relay7", "ownr: relay7", "5:46 unknown key `ownr` in an entry (did you mean `owner`?)"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, case: str) -> None:
    was, becomes, says = WRONG[case]
    assert YAML.count(was) == 1
    (found,) = said(tmp_path, "registry.yaml", YAML.replace(was, becomes))
    assert says in found


def test_a_line_of_csv_is_found_by_line_and_column(tmp_path: Path) -> None:
    wrong = CSV.replace("its gateway,,2030-01-01T00:00:00+09:00", "its gateway,soon,never")
    assert said(tmp_path, "r.csv", wrong)[0].startswith("5:47 `until` is not RFC 3339"), "until decides first"
    wrong = CSV.replace(',"registered, no. 17",,2030-01-01T00:00:00+09:00', ',"registered, no. 17",,2030')
    assert said(tmp_path, "r.csv", wrong)[0].startswith("2:52 `until` is before 2000"), "a comma within quotes"
    assert said(tmp_path, "r.csv", CSV + "allowed,1\n") == ["6:1 2 values, and the first line has 6"]
    assert said(tmp_path, "r.csv", CSV + 'allowed,"1,a,b,,1\n') == ["6:1 a quote is not closed"]
    assert said(tmp_path, "r.csv", CSV.replace("owner", "ownr", 1))[0] == (
        "1:13 unknown column `ownr` (did you mean `owner`?)"
    )
    assert said(tmp_path, "r.csv", "kind,number\n")[0].startswith("1:1 no column `owner`, `reason`, `until`")
    assert said(tmp_path, "r.csv", "") == ["0:0 is empty (its first line is kind,number,owner,reason,until,since)"]
    assert said(tmp_path, "r.csv", "\ufeff" + CSV.replace("\n", "\r\n")) == []


def test_whole_files_that_are_no_registry_are_refused_in_words(tmp_path: Path) -> None:
    assert said(tmp_path, "r.yaml", "") == ["0:0 is empty (it needs `entries:`)"]
    assert said(tmp_path, "r.yaml", "entries: []\n") == ["1:10 `entries` is empty"]
    assert said(tmp_path, "r.yaml", "numbers: [1]\n")[0].startswith("1:1 unknown key `numbers` in a registry")
    assert said(tmp_path, "r.yaml", b"\xff\xfe") == ["0:0 is not UTF-8 (byte 0)"]
    registry, (missing,) = check_registry([tmp_path / "none.csv"])
    assert registry is None
    assert missing.message == "the registry cannot be read: No such file or directory"
    with pytest.raises(RuleErrors, match=r"none\.csv: error: the registry cannot be read"):
        load_registry([tmp_path / "none.csv"])


def test_a_number_that_is_entered_twice_for_one_time_is_a_mistake_and_one_after_the_other_is_none(
    tmp_path: Path,
) -> None:
    line = "allowed,010-5550-0101,x,y,{},{}\n"
    days = [f"2026-01-{day:02}T00:00:00Z" for day in range(1, 32)]
    head = "kind,number,owner,reason,since,until\n"
    after = head + line.format(days[1], days[2]) + line.format(days[0], days[1]) + line.format(days[5], days[6])
    assert said(tmp_path, "r.csv", after) == []
    twice = after + line.format(days[3], days[7])
    (found,) = said(tmp_path, "r.csv", twice)
    assert found.startswith("5:1 it has an entry of this kind for that time already (it is at ")
    assert found.endswith("r.csv:4)")
    many = head + "".join(line.format(days[i], days[i + 1]) for i in range(PERIODS_MAX))
    assert said(tmp_path, "r.csv", many) == []
    (found,) = said(tmp_path, "r.csv", many + line.format(days[PERIODS_MAX], days[PERIODS_MAX + 1]))
    assert found.startswith(f"18:1 more than {PERIODS_MAX} entries of this kind for one number")


def test_mistakes_without_end_are_cut_off(tmp_path: Path) -> None:
    found = said(tmp_path, "r.csv", CSV + "x,1,a,b,,1\n" * 1000)
    assert len(found) == SHOWN_MAX + 1
    assert found[-1] == "0:0 further mistakes are not shown"


ENTRIES = st.lists(
    st.builds(
        lambda kind, place, start, length: (kind, place, start * HOUR, (start + length) * HOUR),
        st.sampled_from(sorted(ENTRY_KINDS)),
        st.sampled_from([(0, 821055500101), (0, 8215889999), (0, -77), (4, 8210), (6, 821055), (12, 821055500101)]),
        st.integers(0, 9), st.integers(1, 5),
    ),
    max_size=12,
)  # fmt: skip
ASKED = st.lists(
    st.tuples(st.sampled_from([821055500101, 821055500102, 8215889999, 8210, 821, -77, -8210]), st.integers(-1, 15)),
    max_size=20,
)


@settings(max_examples=200, deadline=None)
@given(drawn=ENTRIES, asked=ASKED, kind=st.sampled_from(sorted(ENTRY_KINDS)))
def test_an_entry_covers_what_a_plain_search_says(drawn: list[Any], asked: list[Any], kind: str) -> None:
    """Overlapping ones too: it does not matter here which of them is found."""
    entries = [Entry(ENTRY_KINDS[k], *place, since, until, "o", "r") for k, place, since, until in drawn]
    registry = Registry.of(entries)
    numbers, at = (np.array([column[i] for column in asked], np.int64) for i in (0, 1))
    found = registry.find(ENTRY_KINDS[kind], numbers, at * HOUR)
    for (number, hour), index in zip(asked, found.tolist(), strict=True):
        covering = [
            e
            for e in entries
            if e.kind.name == kind
            and e.since_ms <= hour * HOUR < e.until_ms
            and (number == e.key if e.digits == 0 else number > 0 and str(number).startswith(str(e.key)))
        ]
        assert (registry.entry(index) in covering) if index >= 0 else (covering == [])


def test_the_command_counts_what_is_over_and_what_is_to_come(tmp_path: Path) -> None:
    file = tmp_path / "r.csv"
    over = "allowed,010-1111-0001,a,b,,2001-01-01T00:00:00Z\n"
    coming = "allowed,010-1111-0002,a,b,2998-01-01T00:00:00Z,2999-01-01T00:00:00Z\n"
    file.write_text(CSV + over + coming)
    got = CliRunner().invoke(command, ["check", str(file)])
    assert got.exit_code == 0
    kinds = ["bulk_sender: 1", "institution: 1", "allowed: 3, 1 expired, 1 coming"]
    assert got.output.splitlines()[:3] == kinds
    assert got.output.splitlines()[3].startswith("5 entries, version ")
    told = json.loads(CliRunner().invoke(command, ["check", "--json", str(file)]).output)
    assert told["ok"]
    assert told["kinds"]["allowed"] == {"in_force": 1, "expired": 1, "coming": 1}
    file.write_text(CSV.replace("bulk_sender", "sender"))
    got = CliRunner().invoke(command, ["check", "--json", str(file)])
    assert got.exit_code == 1
    assert json.loads(got.output)["diagnostics"][0]["line"] == 2
    assert CliRunner().invoke(command, ["check"]).exit_code == 2


ACCOUNTS = """
entries:
  - {kind: account, account: Shop-7, owner: a shop, reason: form 8, until: 2030-01-01T00:00:00+09:00}
  - {kind: account, account: shop-7, owner: another, reason: form 9, until: 2030-01-01T00:00:00+09:00}
"""


def test_an_account_is_a_name_and_told_from_another_by_every_letter(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(ACCOUNTS)
    (tmp_path / "b.csv").write_text(
        "kind,account,owner,reason,until\naccount,Shop-7,a shop,form 8,2030-01-01T00:00:00+09:00\n"
        "account,shop-7,another,form 9,2030-01-01T00:00:00+09:00\n"
    )
    registry = load_registry([tmp_path / "a.yaml"])
    assert registry == load_registry([tmp_path / "b.csv"])
    assert [(entry.name, entry.number, entry.owner) for entry in registry.entries_of(ACCOUNT)] == [
        ("Shop-7", "Shop-7", "a shop"), ("shop-7", "shop-7", "another"),
    ]  # fmt: skip
    assert len({entry.key for entry in registry.entries_of(ACCOUNT)}) == 2
    assert all(entry.key < 0 for entry in registry.entries_of(ACCOUNT)), "never a number"


@pytest.mark.parametrize(
    ("was", "becomes", "says"),
    [
        ("account: Shop-7", 'number: "010-5550-0101"', "3:29 an entry of kind `account` has no `number`"),
        ("account: Shop-7, ", "", "3:12 an entry of kind `account` needs `account`"),
        ("kind: account, account: Shop-7", "kind: allowed, account: Shop-7", "an entry of kind `allowed` has no `acc"),
        ("account: Shop-7", f"account: {'x' * 257}", "`account` is longer than 256 characters"),
        ("account: shop-7", "account: Shop-7", "it has an entry of this kind for that time already"),
    ],
)
def test_an_entry_says_what_its_kind_is_about(tmp_path: Path, was: str, becomes: str, says: str) -> None:
    assert ACCOUNTS.count(was) == 1
    (found,) = said(tmp_path, "registry.yaml", ACCOUNTS.replace(was, becomes))
    assert says in found


def test_an_entry_without_a_beginning_is_written_without_one() -> None:
    entry = Entry(ALLOWED, 0, 821055500101, ALWAYS_MS, UNTIL_MS, "o", "r")
    assert entry.sum != replace(entry, since_ms=0).sum
    assert entry.times() == "until 2029-12-31T15:00:00.000Z"
