"""The gray job on other stream processors. Each program takes its settings from the environment, ends by itself, and
prints `RESULT {...}`; the Java ones are built by Maven when they are first needed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.say import say
from bench.scene import BenchFailed, Scene, run

HERE = Path(__file__).parent
_QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
_OPENS = ("--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED")

# name -> (what it is, folder, command, environment)
PEERS: dict[str, tuple[str, str, list[str], dict[str, str]]] = {
    "faust": ("stock Faust, table in memory", ".", [sys.executable, "faust_stock.py", "worker", "-l", "warn"], {}),
    "flink": (
        "Flink, parallelism 2, heap state, checkpoint each second",
        "flink",
        ["java", "-Xmx1g", _QUIET, *_OPENS, "-cp", "target/classes:target/lib/*", "GrayFlink"],
        {"CHECKPOINT_MS": "1000"},
    ),
    "streams": (
        "Kafka Streams, 2 threads, RocksDB, exactly-once",
        "kafka-streams",
        ["java", "-Xmx1g", _QUIET, "-cp", "target/classes:target/lib/*", "GrayStreams"],
        {"KS_fetch_max_wait_ms": "5"},
    ),
}
JAVA = ("flink", "streams")


def build(name: str) -> None:
    """Compile a Java peer and fetch what it needs, once. Raises BenchFailed."""
    folder = HERE / PEERS[name][1]
    if (folder / "target" / "lib").is_dir() and any((folder / "target" / "classes").glob("*.class")):
        return
    if shutil.which("mvn") is None or shutil.which("java") is None:
        raise BenchFailed("--peers needs Java 17 and Maven on the PATH")
    say(f"building {name} with Maven")
    goals = ["package", "dependency:copy-dependencies", "-DoutputDirectory=target/lib"]
    done = subprocess.run(["mvn", "-q", "-B", *goals], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchFailed(f"Maven could not build {name}:\n{(done.stdout + done.stderr)[-2000:]}")


def run_peer(name: str, here: Scene, topic: str, messages: int, out: str) -> dict[str, Any]:
    """One run over the first `messages` of `topic`; block events go to the new topic `out`."""
    _, folder, command, extra = PEERS[name]
    here.make_topic(out)
    state = tempfile.mkdtemp(prefix="grayline-bench-")
    environment = {
        "BROKER": here.bootstrap,
        "TOPIC": topic,
        "N": str(messages),
        "OUT": out,
        "APP_ID": out,
        "STATE_DIR": f"{state}/state",
        "JAVA_TOOL_OPTIONS": f"-Djava.io.tmpdir={state}",
        **extra,
    }
    try:
        return run(name, command, environment, HERE / folder)
    finally:
        shutil.rmtree(state, ignore_errors=True)
