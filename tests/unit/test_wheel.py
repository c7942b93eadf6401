"""The wheel works by itself where it is installed: packages, data files, command."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import orjson
import pytest

ROOT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
COMPILES_S = 500  # an installation elsewhere has kernels of its own to compile
RULES = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1m}
rules:
  - name: three-a-minute
    summary: three messages a minute
    when: sent >= 3
    then: {block: [messages], directions: [outgoing], for: 1d}
    mode: enforce
"""
SHOW_PLACES = "import rules, schemas, streams; print(rules.__file__, schemas.__file__, streams.__file__)"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run([*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)], cwd=folder)
    (built,) = folder.glob("grayline-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the wheel's content; dependencies come from the tests' own environment."""
    target = tmp_path_factory.mktemp("installed")
    run([*PIP, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)], cwd=target)
    return target


def run(command: list[str], cwd: Path, installed: Path | None = None) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("GRAYLINE_", "PYTHON"))}
    if installed is not None:
        # Before the editable installation of the checkout.
        environ |= {"PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(cwd / "cache")}
    done = subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=COMPILES_S, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_packages_are_ours_and_come_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    places = run([sys.executable, "-c", SHOW_PLACES], tmp_path, installed).split()
    assert places == [str(installed / name / "__init__.py") for name in ("rules", "schemas", "streams")]


def test_the_wheel_holds_three_packages_their_data_and_the_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"rules", "schemas", "streams"}
    data = {
        str(path.relative_to(ROOT)) for pattern in ("rules/**/*.yaml", "schemas/json/*") for path in ROOT.glob(pattern)
    }
    assert len(data) > 5
    assert data <= names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert "# Grayline" in metadata


def test_the_installed_command_checks_the_rules_that_ship(installed: Path, tmp_path: Path) -> None:
    assert run([str(installed / "bin" / "grayline"), "rules", "check"], tmp_path, installed).endswith("no errors\n")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_installed_command_replays_a_short_recording(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    with (tmp_path / "day.jsonl").open("wb") as file:
        for i in range(4):
            at = 1_795_312_800_000 + 1000 * i
            message = {"message_id": f"m{i}", "at": at, "sender": "010-1111-0001", "recipient": "010-9990-0001"}
            message["verified"] = "full"
            payload = orjson.dumps(message).decode()
            line = {"topic": "message-relay", "partition": 0, "offset": i, "ts": at, "payload": payload}
            file.write(orjson.dumps(line) + b"\n")
    command = [str(installed / "bin" / "grayline"), "replay", "--rules", "rules.yaml", "day.jsonl"]
    (event,) = map(orjson.loads, run(command, tmp_path, installed).splitlines())
    assert (event["number"], event["hold"]["from"]) == ("+821011110001", 1_795_312_802_000)
