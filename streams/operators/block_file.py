"""The list of blocked numbers as a file that others read: replaced in one step, and never by less than is known."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile


class FileProblem(Exception):
    """The file cannot be written, or must not be replaced; the message says why, and what to do."""


class BlockFile:
    """A reader of `path` finds a whole list, an older or a newer one. Its modification time is when it was last known
    to be up to date."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self, blocked: int, allow_empty: bool) -> None:
        """Raises FileProblem if nothing is blocked and the file lists something: that unblocks everybody, and is more
        often another cluster, or a topic made anew, than the truth."""
        if blocked or allow_empty:
            return
        with suppress(FileNotFoundError):
            if self._read_numbers():
                raise FileProblem(
                    f"nothing is blocked according to the topic, but {self.path} lists numbers: it is left as it is. "
                    "If the list is to be empty, say --allow-empty"
                )

    def write(self, lines: Iterable[str]) -> None:
        """Replaces the file. Raises FileProblem, and then the old one stays."""
        try:
            mode = self._mode()
            with NamedTemporaryFile(
                "w", encoding="utf-8", newline="\n", dir=self.path.parent, prefix=f".{self.path.name}.", delete=False
            ) as file:
                try:
                    for line in lines:
                        file.write(line + "\n")
                    file.flush()
                    os.fchmod(file.fileno(), mode)
                    os.fsync(file.fileno())
                    os.replace(file.name, self.path)
                except BaseException:
                    os.unlink(file.name)
                    raise
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as problem:
            raise FileProblem(f"cannot write {self.path}: {problem.strerror or problem}") from problem

    def touch(self) -> None:
        """Says that the file is up to date. Raises FileProblem."""
        try:
            os.utime(self.path)
        except OSError as problem:
            raise FileProblem(f"cannot touch {self.path}: {problem.strerror or problem}") from problem

    def _read_numbers(self) -> bool:
        """True if a line has a number, in any of the forms."""
        try:
            with self.path.open("rb") as file:
                return any(b"+" in line for line in file)
        except IsADirectoryError as problem:
            raise FileProblem(f"{self.path} is a folder") from problem
        except FileNotFoundError:
            raise
        except OSError as problem:
            raise FileProblem(f"cannot read {self.path}: {problem.strerror or problem}") from problem

    def _mode(self) -> int:
        """The permissions of the file that is replaced, or those that a new one would get."""
        with suppress(FileNotFoundError):
            return stat.S_IMODE(self.path.stat().st_mode)
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
