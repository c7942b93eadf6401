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
# Modules that Hazelcast asks to have opened, or it warns.
_JET = (
    "--add-modules=java.se",
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.management/sun.management=ALL-UNNAMED",
    "--add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED",
)
_OPENS = ("--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED")

# Two cores, state on the heap, a checkpoint each second; settings of Flink's own have their dots and dashes spelt out.
_FLINK = {"CHECKPOINT_MS": "1000", "FLINK_pipeline_object___reuse": "true"}


def _java(main: str, *options: str) -> list[str]:
    return ["java", "-Xmx1g", _QUIET, *options, "-cp", "target/classes:target/lib/*", main]


# name -> (what it is, folder, command, environment)
PEERS: dict[str, tuple[str, str, list[str], dict[str, str]]] = {
    "faust": ("stock Faust, table in memory", ".", [sys.executable, "faust_stock.py", "worker", "-l", "warn"], {}),
    "flink": ("Flink 1.20, object reuse, sink at least once", "flink", _java("GrayFlink", *_OPENS), _FLINK),
    "flink2": (
        "Flink 2.3, object reuse, exactly once",
        "flink2",
        _java("GrayFlink", *_OPENS),
        {**_FLINK, "SINK": "exactly_once"},
    ),
    "jet": ("Hazelcast Jet 5.6, exactly once", "jet", _java("GrayJet", *_JET), {"CHECKPOINT_MS": "1000"}),
    "streams": (
        "Kafka Streams 4.4, 2 threads, RocksDB, exactly once",
        "kafka-streams",
        _java("GrayStreams"),
        {"KS_fetch_max_wait_ms": "5"},
    ),
}
JAVA = tuple(name for name, (_, _, command, _) in PEERS.items() if command[0] == "java")


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
