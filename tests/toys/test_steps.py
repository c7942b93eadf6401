"""The steps of CONTRIBUTING.md, followed: each file that it says is to be changed has its counterpart here."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.load import check_texts, load_text, render
from schemas import decoding, export, feeds
from schemas.feeds import FEEDS, InputTopic
from schemas.subjects import SUBJECTS
from schemas.topics import TOPICS
from streams.cli import command
from streams.counting.kinds.base import Events
from tests.toys import pings
from tests.toys.oracle_streaks import OracleStreaks
from tests.toys.pings import PINGS
from tests.toys.streaks import Streak

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
STEPS = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
# What follows each step here; None: it is about documents and tests of what ships, and those fail without it.
FOLLOWED: dict[str, dict[str, str | None]] = {
    "topic": {
        "schemas/topics.py": "pings.py", "schemas/records.py": "pings.py", "schemas/subjects.py": "pings.py",
        "schemas/feeds.py": "pings.py", "schemas/export.py": "pings.py", "docs/records.md": None,
        "docker/acls.sh": None, "tests/unit/test_decode.py": None,
    },
    "kind of counter": {
        "streams/kernels/NAME.py": "kernel.py", "streams/counting/kinds/NAME.py": "streaks.py",
        "streams/counting/kinds/registry.py": "conftest.py", "tests/kernels/oracle_NAME.py": "oracle_streaks.py",
        "tests/reference/counting.py": None, "tests/unit/test_counter_identity.py": None, "docs/rules.md": None,
    },
    "subject": {
        "schemas/subjects.py": "pings.py", "schemas/feeds.py": "pings.py", "tests/reference/rule_files.py": None,
    },
    "command": {"streams/cli/NAME.py": "knock.py", "streams/cli/__init__.py": "conftest.py", "README.md": None},
}  # fmt: skip


@pytest.mark.parametrize("what", FOLLOWED)
def test_the_steps_are_those_that_are_followed_here(what: str) -> None:
    text = re.split(r"^## Adding an? ", STEPS, flags=re.M)
    (section,) = [part for part in text if part.startswith(f"{what}\n")]
    assert re.findall(r"^\d+\. `([^`]+)`", section, re.M) == list(FOLLOWED[what])
    assert all((HERE / name).exists() for name in FOLLOWED[what].values() if name)


def test_a_topics_example_is_one_of_its_schema_and_passes_the_exact_decoder() -> None:
    schema = export.schema(PINGS)
    jsonschema.validate(pings.EXAMPLE, schema, cls=jsonschema.Draft202012Validator)
    assert decoding.check_all(PINGS, json.dumps(pings.EXAMPLE).encode()) == []
    assert TOPICS[PINGS].partitions_like_input


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, "the topic has a row already"),
        ({"name": "knocks", "code": 78}, "schemas/topics.py does not say how it is made"),
        ({"name": "ledger", "events": ("knock",)}, "code 77 is another topic's"),
        ({"name": "ledger", "code": 256}, "code 256 is none from 0 to 255"),
        ({"name": "ledger", "code": 78}, "an event of its is another topic's"),
        (
            {"name": "ledger", "code": 78, "events": ("knock",), "number": "dialler"},
            "`dialler` is no field of the subject",
        ),
        (
            {"name": "ledger", "code": 78, "events": ("knock",), "choices": {"origin": ("", "moon")}},
            "a choice means something else in another topic",
        ),
    ],
)
def test_a_row_that_does_not_fit_the_others_is_refused_in_words(change: dict[str, object], says: str) -> None:
    row = {name: getattr(FEEDS[PINGS], name) for name in InputTopic.__dataclass_fields__}
    with pytest.raises(ValueError, match=re.escape(says)):
        feeds.register(InputTopic(**(row | change)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"peer": "prober"}, "its record has no field prober"),
        ({"distinct": ("colour",)}, "its record has no field colour"),
        ({"missing": {"colour": "x"}}, "its record has no field colour"),
        ({"choices": {"strength": ("", "weak")}}, "`choices` are not those of its record"),
    ],
)
def test_a_row_that_does_not_fit_its_record_is_refused_when_it_is_first_asked(
    change: dict[str, object], says: str
) -> None:
    row = {name: getattr(FEEDS[PINGS], name) for name in InputTopic.__dataclass_fields__}
    with pytest.raises(ValueError, match=says):
        InputTopic(**(row | change)).fields  # noqa: B018


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(-1, 3), st.sampled_from([0, 1, 50, 99, 100, 101, 500]), st.booleans())),
    cut=st.integers(0, 60),
)
def test_a_kind_reads_as_its_oracle_wherever_epochs_end(steps: list[tuple[int, int, bool]], cut: int) -> None:
    state, oracle, rows = Streak({"pause_ms": 100}, 2), OracleStreaks(100), np.zeros((4, 4), np.int64)  # type: ignore[arg-type]
    now, want, batch, out = 1_000_000, [], [], []
    for row, step, hit in steps:
        now += step
        if hit and row >= 0:
            oracle.add(row, now)
        want.append(oracle.read(row, now))
        batch.append((row, now, hit and row >= 0))
    for part in (batch[:cut], batch[cut:]):
        row, at, hit = (np.array([told[i] for told in part], kind) for i, kind in enumerate((np.int64, np.int64, bool)))
        n = len(part)
        none = np.zeros(n, np.int64)
        events = Events(row, at, at, hit, np.ones(n, bool), none, np.zeros(n, np.uint8), np.zeros(n, bool))
        out += state.process(rows, events)[0].tolist()
    assert out == want
    assert not rows[:, :2].any()


def test_a_kind_of_a_name_that_another_has_is_refused() -> None:
    from rules import kinds
    from tests.toys.streaks import Streaks

    with pytest.raises(ValueError, match="two kinds of counter are named 'streak'"):
        kinds.register(Streaks())


def test_a_subject_that_cannot_be_counted_yet_is_told_apart_from_a_slip_of_the_pen() -> None:
    assert not SUBJECTS["site"].is_counted
    rules = (HERE / "rules.yaml").read_text(encoding="utf-8")
    told = {"site": "counters per site do not exist yet", "sites": "`sites` is not a key of pings"}
    for per, says in told.items():
        wrong = rules.replace("per: number, distinct", f"per: {per}, distinct")
        assert says in "\n".join(render(d) for d in check_texts([("rules.yaml", wrong)])[1])
    assert load_text(rules)


def test_a_command_is_listed_has_help_runs_and_is_used_wrongly_with_code_2() -> None:
    run = CliRunner().invoke
    assert "Knock at a topic." in run(command, ["--help"]).output
    assert "grayline knock pings" in run(command, ["knock", "--help"]).output
    assert run(command, ["knock", PINGS]).output == "pings: keyed by number\n"
    wrong = run(command, ["knock", "pongs"])
    assert wrong.exit_code == 2
    assert "no such topic: pongs" in wrong.output
