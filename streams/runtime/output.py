"""Standard output that is closed, full, or read by nobody any more: said in words, or no failure at all."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from streams.runtime.saying import say

CLOSED = "standard output is closed"
# Errors of writing, which name no file.
UNWRITABLE = (errno.EBADF, errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG)


def guard_output() -> None:
    """Makes what is printed on a closed standard output an error, not lost. A file that is opened later must not become
    one of the standard streams either: libraries write to those."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(_Closed()), encoding="utf-8")


@contextmanager
def output_problems() -> Iterator[None]:
    """Ends the process with code 1 when standard output takes no more, and says why, unless its reader has left
    (`| head`): what a check has found was not all seen."""
    try:
        try:
            yield
        finally:
            if sys.stdout is not None and not sys.stdout.closed:
                sys.stdout.flush()
    except OSError as problem:
        if problem.filename is not None or problem.errno not in (errno.EPIPE, *UNWRITABLE):
            raise
        _let_go()
        if problem.errno != errno.EPIPE:
            say(f"Error: {CLOSED if problem.errno == errno.EBADF else f'cannot write: {problem}'}", err=True)
        raise SystemExit(1) from None


def end_of_output(problem: Exception) -> None:
    """For commands whose output is records, as many as their reader wants: ends with code 0 when it has left. Passes on
    what is no error of theirs."""
    if isinstance(problem, OSError) and problem.filename is None:
        if problem.errno == errno.EPIPE:
            _let_go()
            raise SystemExit(0)
        if problem.errno == errno.EBADF:
            raise problem


def _let_go() -> None:
    """Whatever still waits to be written goes nowhere, quietly, also at the end of the process."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (for as long as the process lives)


class _Closed(io.RawIOBase):
    """A file that is there and takes nothing."""

    def writable(self) -> bool:
        return True

    def write(self, _: Any) -> int:
        raise OSError(errno.EBADF, CLOSED)
