"""`grayline serve` against its own description, asked by Schemathesis: every answer is one that is described."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from schemas.topics import BLOCK_EVENTS
from streams.kafka.embedded import EmbeddedBroker
from tests.conftest import missing
from tests.integration.test_block_services import TOKEN, publish, running
from tests.integration.test_blocks import A, event

# Not every text of at most 64 characters is a number, nor every pair of parameters a question: those are refused.
NOT_ASKED = "positive_data_acceptance"
WAITS = ("--request-timeout", "60", "--max-response-time", "60")  # who asks for news may wait 30 s
EXAMPLES = 40
LONG_S = 240


def test_every_answer_is_one_that_the_description_has(tmp_path: Path) -> None:
    asks = Path(sys.executable).with_name("st")
    if not asks.exists():
        missing("no Schemathesis: pip install -r requirements-dev.lock")
    with EmbeddedBroker(partitions=2) as broker:
        broker.create_topics([BLOCK_EVENTS])
        publish(broker, (A, event(A)))
        with running(broker, "serve", "--web-port", "0", GRAYLINE_WEB_TOKEN=TOKEN) as service:
            assert service.stdout is not None
            site = service.stdout.readline().strip()
            told = subprocess.run(
                [str(asks), "run", f"{site}/v1/openapi.json", "--header", f"Authorization: Bearer {TOKEN}",
                 "--no-color", "--checks", "all", "--exclude-checks", NOT_ASKED, "--max-examples", str(EXAMPLES),
                 "--max-time", "40", *WAITS],
                capture_output=True, text=True, timeout=LONG_S, cwd=tmp_path,
            )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    assert "4 selected / 4 total" in " ".join(told.stdout.split())
