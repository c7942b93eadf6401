"""The common part of all producers: settings, and records as arguments of the client."""

from __future__ import annotations

from typing import Any

from streams.ingest.epoch import OutRecord

# A delivery that went well is no news, and one call of Python a record is much.
ERRORS_ONLY = {"delivery.report.only.error": True}


def arguments_of(record: OutRecord) -> dict[str, Any]:
    """The arguments of `produce` besides the topic."""
    arguments: dict[str, Any] = {"key": record.key, "value": record.value}
    if record.headers:
        arguments["headers"] = record.headers
    if record.partition is not None:
        arguments["partition"] = record.partition
    return arguments
