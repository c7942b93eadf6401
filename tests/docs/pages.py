"""The documents as data: their code blocks, and a runner of the commands in them.

A comment right before a block says what is special about it:

    <!-- exit 1 -->           its last command ends with this code
    <!-- varies -->           what it prints differs from run to run (times, ids); it must print something
    <!-- stays -->            its command goes on until Ctrl-C; it is ended at the end, and must end in order
    <!-- ... after Ctrl-C --> what went on until then is ended first
    <!-- not run: reason -->  what a test cannot do, or another test does
    <!-- schema: cdr -->      a JSON block is one record of this topic
    <!-- wrong -->            a YAML block is a rule file with mistakes
    <!-- protected -->        a YAML block is a file of protected numbers, not a rule file
    <!-- map -->              a YAML block is a map of another system's files
    <!-- registry -->         a YAML block is a registry file
    <!-- feeds -->            a YAML block is a file of feeds
    <!-- shared -->           a YAML block is a rule file of several, which a command checks
    <!-- rule tests -->       a YAML block is a file of rule tests
    <!-- no record -->        a JSON block is no record of a topic

A YAML block whose first line is `# file: NAME` is also written to that file, for the commands that follow.
In shown output `...` stands for anything.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
OUR_BROKER = "localhost:9092"
COMMAND_LIMIT_S = 500  # the first command that counts may have to compile the kernels
END_LIMIT_S = 30


@dataclass(frozen=True)
class Block:
    """One fenced block. `line` is that of its first line in the page, from 1."""

    page: Path
    line: int
    language: str
    mark: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def runnable(self) -> bool:
        return self.language in ("sh", "console") and not self.mark.startswith("not run")

    @property
    def is_after_interrupt(self) -> bool:
        return self.mark.endswith("after Ctrl-C")

    @property
    def needs_broker(self) -> bool:
        return self.runnable and OUR_BROKER in self.text

    def commands(self) -> list[tuple[str, str]]:
        """(command, what it prints as shown) of a console block; a script as a whole, with nothing shown."""
        if self.language == "sh":
            return [(self.text, "")]
        out: list[tuple[str, str]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                out.append((line[2:], ""))
            elif line.startswith("> ") and out and not out[-1][1]:
                out[-1] = (f"{out[-1][0]}\n{line[2:]}", "")
            elif out:
                out[-1] = (out[-1][0], out[-1][1] + line + "\n")
            else:
                raise ValueError(f"{self.place}: a console block begins with `$ ` and a command")
        return out


def blocks(page: Path) -> list[Block]:
    out = []
    lines = page.read_text(encoding="utf-8").splitlines()
    i = 0
    while i < len(lines):
        if fence := re.fullmatch(r"(```+)([a-z]*)", lines[i]):
            end = next(k for k in range(i + 1, len(lines)) if lines[k] == fence[1])
            before = next((line for line in reversed(lines[:i]) if line.strip()), "")
            mark = re.fullmatch(r"<!-- (.*) -->", before)
            text = "\n".join(lines[i + 1 : end]) + "\n"
            out.append(Block(page, i + 2, fence[2], mark[1] if mark else "", text))
            i = end
        i += 1
    return out


class Terminal:
    """Runs a page's blocks one after another in one folder, as its reader would. `broker` stands in for the one at
    localhost:9092. A context manager: at the end, what still runs gets Ctrl-C and must end with code 0."""

    def __init__(self, folder: Path, broker: str = "", tools: Path | None = None) -> None:
        self._folder = folder
        self._broker = broker
        self._staying: list[tuple[Block, subprocess.Popen[str]]] = []
        environ = {name: value for name, value in os.environ.items() if not name.startswith("GRAYLINE_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{environ.get('PATH', '')}"
        self._environ = environ | {"PATH": path, "COLUMNS": "100"}
        (folder / ".venv").symlink_to(sys.prefix)
        if tools is not None:
            (folder / "bin").symlink_to(tools)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.interrupt()
        finally:
            for _block, process in self._staying:
                process.kill()

    def interrupt(self) -> None:
        """Ctrl-C for what still runs; raises AssertionError when one does not end with code 0."""
        while self._staying:
            block, process = self._staying[-1]
            process.send_signal(signal.SIGINT)
            said, _unused = process.communicate(timeout=END_LIMIT_S)
            assert process.returncode == 0, f"{block.place}: ended with {process.returncode}\n{said}"
            self._staying.pop()

    def write(self, block: Block) -> None:
        """A YAML block with a name becomes that file."""
        if named := re.match(r"# file: (\S+)\n", block.text):
            file = self._folder / named[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)

    def run(self, block: Block) -> list[tuple[str, str]]:
        """(command, what it printed) of each command; raises AssertionError when one ends unlike the page says."""
        wanted = re.match(r"exit (\d+)", block.mark)
        commands = block.commands()
        out = []
        for place, (command, shown) in enumerate(commands):
            code, said = self._command(command)
            expected = int(wanted[1]) if wanted and place == len(commands) - 1 else 0
            assert code == expected, f"{block.place}: `{command}` ended with {code}, not {expected}\n{said}"
            if block.language == "console":
                out.append((command, said))
            if block.mark.startswith("varies"):
                assert said.strip(), f"{block.place}: `{command}` printed nothing"
            elif block.language == "console":
                assert matches(shown, said) or UPDATE, f"{block.place}: `{command}` printed\n{said}"
        return out

    def stay(self, block: Block) -> subprocess.Popen[str]:
        """Starts the block's one command and leaves it running."""
        ((command, _),) = block.commands()
        process = subprocess.Popen(
            ["bash", "-c", f"exec {self._ours(command).strip()}"], cwd=self._folder, env=self._environ, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._staying.append((block, process))
        return process

    def _command(self, command: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._ours(command)], cwd=self._folder, env=self._environ, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=COMMAND_LIMIT_S,
            check=False,
        )  # fmt: skip
        said = done.stdout.replace(self._broker, OUR_BROKER) if self._broker else done.stdout
        return done.returncode, "".join(f"{line.rstrip()}\n" for line in said.splitlines())

    def _ours(self, command: str) -> str:
        return command.replace(OUR_BROKER, self._broker) if self._broker else command


# Set to write what the commands print into the pages instead of comparing it; to `all`, where it varies as well.
UPDATE = os.environ.get("GRAYLINE_UPDATE_DOCS", "")


def matches(shown: str, said: str) -> bool:
    pattern = ".*?".join(re.escape(part) for part in shown.rstrip("\n").split("..."))
    return re.fullmatch(pattern, said.rstrip("\n"), re.DOTALL) is not None


def update(printed: Mapping[Block, list[tuple[str, str]]]) -> None:
    """Writes new output into those console blocks whose shown output no longer matches and has no `...`; where it
    varies, only when asked for all."""
    for page in {block.page for block in printed}:
        text = page.read_text(encoding="utf-8")
        for block, outputs in printed.items():
            shown = [output for _, output in block.commands()]
            stale = [not matches(old, new) for old, (_, new) in zip(shown, outputs, strict=True)]
            varies = block.mark.startswith("varies")
            keep = UPDATE != "all" if varies else any("..." in output for output in shown)
            if block.page == page and any(stale) and not keep:
                lines = ["$ " + command.replace("\n", "\n> ") + "\n" + said for command, said in outputs]
                text = text.replace(f"```console\n{block.text}```", f"```console\n{''.join(lines)}```")
        page.write_text(text, encoding="utf-8")


def rule_file(text: str) -> str:
    """A whole rule file around a block that shows only hours or only counters: every name in it is used."""
    if re.search(r"^rules:", text, re.M):
        return text
    section = {
        name: re.findall(r"^  ([a-z][\w-]*):", part, re.M)
        for name, part in re.findall(r"^(hours|counters):\n((?:[ #].*\n|\n)*)", text, re.M)
    }
    if "counters" not in section:
        text += "counters:\n  calls: {on: cdr.setup, per: caller, count: events, window: 1m}\n"
    text += "rules:\n"
    for place, counter in enumerate(section.get("counters", ["calls"])):
        gray = re.search(rf"^  {counter}:.*\bgray:", text, re.M)
        limit = "{always: 0.5" + "".join(f", {hours}: 0.2" for hours in section.get("hours", ())) + "}"
        when = f"{counter}.long > most" if gray else f"{counter} > most"
        text += f"  - {{name: r{place}, summary: s, limits: {{most: {limit}}}, when: {when}, mode: review,\n"
        text += "     then: {block: [calls], directions: [outgoing], for: 1d}}\n"
    return text
