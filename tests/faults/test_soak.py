"""Everything at once: the kill loop of docs/reliability.md, for a minute, or for as long as `make soak` is told."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import pytest

from tests.faults.check import check
from tests.faults.fleet import Round
from tests.faults.scene import Scene
from tests.faults.zygote import Zygote
from tests.kafka_broker import Broker
from tests.kafka_proxy import Proxy

MINUTES = float(os.environ.get("GRAYLINE_SOAK_MINUTES") or 0)
FAULTS = 16 if MINUTES else 8  # of one round
# Within the workers' session, beyond it, beyond the broker's own with its controller.
SILENCES_S = (2.0, 5.0, 12.0, 60.0) if MINUTES else (2.0, 5.0, 12.0)


@pytest.mark.timeout(60 * MINUTES + 900)
def test_whatever_happens_together_and_in_whichever_order_leaves_no_trace(
    fault_broker: Broker, proxy: Proxy, zygote: Zygote, tmp_path: Path, seed: int
) -> None:
    zygote.wait_ready()
    began_s = time.monotonic()
    for i in itertools.count():
        folder = tmp_path / str(i)
        folder.mkdir()
        scene = Scene(fault_broker, proxy, zygote, folder, seed + i)
        done = Round(scene, FAULTS, SILENCES_S)
        print(f"round {i + 1}: GRAYLINE_SEED={scene.seed}", end="", flush=True)
        try:
            done.run()
            compared = check(scene, replay=True)
            records = sum(scene.ends().values())
        finally:
            scene.close()
        assert compared.total() > 5
        minutes = (time.monotonic() - began_s) / 60
        told = " ".join(f"{fault}={count}" for fault, count in sorted(done.happened.items()))
        print(f" records={records} compared={compared.total()} {told}; {minutes:.1f} minutes", flush=True)
        if minutes >= MINUTES:
            return
