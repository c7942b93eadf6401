from __future__ import annotations

import logging

import pytest


@pytest.fixture(autouse=True)
def no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Workers of a history complain much, and rightly."""
    caplog.set_level(logging.CRITICAL, "grayline")
