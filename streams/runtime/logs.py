"""Logging. Lines are made printable as they are written, so that no caller has to think of it."""

from __future__ import annotations

import logging
import traceback
from typing import Any, TextIO

from schemas.printable import printable

FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_FRAME = '  File "'


class PrintableFormatter(logging.Formatter):
    """One line a record, and the lines of a traceback below it."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        return crash_text(ei[1])


def log_to(stream: TextIO) -> None:
    """Sends all logging from INFO on to this stream."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PrintableFormatter(FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def log_plainly() -> None:
    """Sets logging up for commands without a log: warnings go to standard error as they are, as is Python's default."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(PrintableFormatter("%(message)s"))


def crash_text(error: BaseException | None) -> str:
    """The traceback. Only the lines of its frames, which are our code, may end."""
    if error is None:
        return ""
    parts = traceback.TracebackException.from_exception(error).format()
    return "\n".join(_shown(part.rstrip("\n")) for part in parts)


def _shown(part: str) -> str:
    return "\n".join(map(printable, part.split("\n"))) if part.startswith(_FRAME) else printable(part)
