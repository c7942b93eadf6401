"""The image, the trial installation, alarms and dashboard, as far as they can be tried without a container engine: the
image's steps run as the scripts that they are, and everything that is data is checked against what it speaks of."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.feeds import FEEDS
from schemas.topics import TOPICS
from streams.runtime.metrics import Metrics

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
PROMETHEUS = DOCKER / "prometheus"
DASHBOARD = DOCKER / "grafana" / "dashboards" / "grayline.json"
STEP_LIMIT_S = 900  # the first build ever has kernels to compile
RULES = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1m}
rules:
  - name: three-a-minute
    summary: three messages a minute
    when: sent >= 3
    then: {block: [messages], directions: [outgoing], for: 1d}
    mode: enforce
"""
# What Prometheus itself knows about a target.
OF_PROMETHEUS = {"up"}
# What an alarm is asked for, and a metric that tells it.
ALARMS_FOR = {
    "lag": "grayline_lag_records",
    "blocks that come late": "grayline_block_visible_seconds_bucket",
    "silent feed": "grayline_feed_silent",
    "dead letters": "grayline_dead_letters_total",
    "late and future events": "grayline_events_total",
    "blocks by rule": "grayline_block_changes_total",
    "snapshot age": "grayline_snapshot_age_seconds",
    "transaction failures": "grayline_transaction_failures_total",
    "restore progress": "grayline_restore_progress_ratio",
    "warming": "grayline_warming",
    "breaker": "grayline_breaker_open",
    "pause": "grayline_paused",
    "lost records": "grayline_broker_trouble_total",
    "memory that is full": "grayline_uncounted_events_total",
    "rules with mistakes": "grayline_rules_reload_failed",
}


def tool(name: str) -> str:
    """The path of a program that this project does not install; skips the test where it is missing."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"no `{name}` on the PATH")
    return path


def run(*command: str | Path, cwd: Path = ROOT, limit_s: float = 60, **environment: str) -> subprocess.CompletedProcess:
    clean = {name: v for name, v in os.environ.items() if not name.startswith(("GRAYLINE_", "PYTHON", "NUMBA_"))}
    return subprocess.run(
        [str(word) for word in command], cwd=cwd, env=clean | environment, capture_output=True, text=True,
        timeout=limit_s, check=False,
    )  # fmt: skip


# ----------------------------------------------------------------------------------------------------------- the image


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the checkout that the build sees: the ignore file lets them through and the Dockerfile copies
    them."""
    folder = tmp_path_factory.mktemp("source")
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DOCKER / "Dockerfile").read_text(), re.M)
    let_through = re.findall(r"^!(\S+)$", (DOCKER / "Dockerfile.dockerignore").read_text(), re.M)
    for name in " ".join(copied).split():
        assert name.split("/")[0] in let_through, f"{name} is copied, and Dockerfile.dockerignore keeps it out"
        there = folder / name
        there.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, there, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, there)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(2 * STEP_LIMIT_S)
def test_the_steps_of_the_image_make_an_installation_that_runs_read_only(source: Path, tmp_path: Path) -> None:
    """Build, compile, start: as the Dockerfile does, into a folder; with fewer rules, which compile sooner."""
    target = tmp_path / "opt"
    script = source / "docker" / "build"
    done = run("sh", script / "install.sh", source, target, cwd=source, limit_s=STEP_LIMIT_S, PYTHON=sys.executable)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (target / "bin" / "hatchling").exists()
    assert run(target / "bin" / "python", "-c", "import pip").returncode != 0

    (tmp_path / "rules.yaml").write_text(RULES)
    compiled = run("sh", script / "compile.sh", target, tmp_path / "rules.yaml", cwd=source, limit_s=STEP_LIMIT_S)
    assert compiled.returncode == 0, compiled.stdout + compiled.stderr
    assert int(compiled.stdout.split(": ")[1]) > 10
    assert list((target / "kernels" / "grayline").glob("kernels-*"))

    message = {"message_id": "m", "at": 1_795_312_800_000, "sender": "010-1111-0001", "recipient": "010-9990-0001"}
    lines = [
        {"topic": "message-relay", "partition": 0, "offset": i, "ts": 1_795_312_800_000,
         "payload": json.dumps(message | {"message_id": f"m{i}", "verified": "full"})}
        for i in range(4)
    ]  # fmt: skip
    (tmp_path / "day.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    started = start_container(target, tmp_path, "replay", "--rules", "rules.yaml", "day.jsonl")
    assert started.returncode == 0, started.stderr
    (event,) = map(json.loads, started.stdout.splitlines())
    assert event["number"] == "+821011110001"


def start_container(target: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """The image's entry point, with `target` in place of /opt/grayline."""
    entrypoint = folder / "entrypoint.sh"
    entrypoint.write_text((DOCKER / "entrypoint.sh").read_text().replace("/opt/grayline", str(target)))
    path = f"{target / 'bin'}{os.pathsep}{os.environ['PATH']}"
    cache = folder / "tmp"
    done = run("sh", entrypoint, *arguments, cwd=folder, limit_s=STEP_LIMIT_S, PATH=path, XDG_CACHE_HOME=str(cache))
    assert list((cache / "grayline").glob("kernels-*")), "the compiled kernels were not handed over"
    return done


def test_a_container_without_a_writable_place_says_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("sh", DOCKER / "entrypoint.sh", "--help", XDG_CACHE_HOME=str(tmp_path / "file"))
    assert done.returncode == 2
    assert "cannot be written: mount something writable there" in done.stderr


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_asks_the_web_server(status: int, code: int) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    asked: list[str] = []
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        done = run(sys.executable, "-S", DOCKER / "health.py", GRAYLINE_WEB_PORT=str(server.server_port))
        server.shutdown()
        thread.join()
    assert done.returncode == code, done.stderr
    assert asked == ["/health"]
    assert run(sys.executable, "-S", DOCKER / "health.py", GRAYLINE_WEB_PORT=str(server.server_port)).returncode == 1
    assert run(sys.executable, "-S", DOCKER / "health.py").returncode == 0  # no web server, nothing to ask


def test_the_image_ends_as_an_account_without_rights() -> None:
    """And holds no secret: no build argument or variable of the Dockerfile is one."""
    text = (DOCKER / "Dockerfile").read_text()
    last = text.rpartition("\nFROM ")[2]
    assert re.search(r"^USER [1-9]\d{3,}:[1-9]\d{3,}$", last, re.M)
    for instruction in ("HEALTHCHECK", "STOPSIGNAL SIGTERM", "LABEL org.opencontainers.image", "VOLUME"):
        assert instruction in last
    assert re.search(r"^ARG PYTHON=python:3\.11\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?$", text, re.M)
    assert not re.search(r"password|secret|token|sasl", re.sub(r"^#.*$", "", text, flags=re.M), re.I)


def test_the_dockerfile_passes_its_linter() -> None:
    done = run(tool("hadolint"), DOCKER / "Dockerfile")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", sorted(DOCKER.rglob("*.sh")), ids=lambda path: path.name)
def test_each_script_is_sound_shell(script: Path) -> None:
    assert run("sh", "-n", script).returncode == 0
    assert "set -eu" in script.read_text()


def test_the_script_for_rights_knows_every_topic() -> None:
    text = (DOCKER / "acls.sh").read_text()
    lists = re.findall(r'^(?:inputs|global|outputs|acks|origins|shared|internal)="(.*)"$', text, re.M)
    assert set(TOPICS) <= set(" ".join(lists).split())


# ---------------------------------------------------------------------------------------------- the trial installation


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())


def test_the_compose_file_is_one() -> None:
    """By Compose itself, which also fills in the variables."""
    plugin = shutil.which("docker") and run("docker", "compose", "version").returncode == 0
    command = ("docker", "compose") if plugin else (tool("docker-compose"),)
    words = {"GRAYLINE_WEB_TOKEN": "one", "GRAFANA_PASSWORD": "two"}
    done = run(*command, "-f", DOCKER / "compose.yaml", "config", "--quiet", **words)
    assert done.returncode == 0, done.stderr
    refused = run(*command, "-f", DOCKER / "compose.yaml", "config", "--quiet")
    assert "a token for /ready and /metrics" in refused.stderr


def test_every_file_and_name_that_the_compose_file_speaks_of_is_there(compose: Mapping[str, Any]) -> None:
    for name, service in compose["services"].items():
        for mount in service.get("volumes", ()):
            what = mount.split(":")[0]
            assert (DOCKER / what).is_dir() if what.startswith(".") else what in compose["volumes"], f"{name}: {mount}"
        assert set(service.get("networks", ())) <= set(compose["networks"])
        assert set(service.get("secrets", ())) <= set(compose["secrets"])
        assert set(service.get("depends_on", ())) <= set(compose["services"])
        if "build" in service:
            assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name} opens {port} to the network"
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]) or service["image"] == "grayline", service["image"]


def test_our_containers_may_write_nowhere_and_have_no_privileges(compose: Mapping[str, Any]) -> None:
    ours = {name: each for name, each in compose["services"].items() if each["image"] == "grayline"}
    assert set(ours) == {"topics", "grayline", "traffic"}
    for service in ours.values():
        assert service["read_only"] is True
        assert service["tmpfs"] == ["/tmp"]
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]


def test_the_commands_of_the_compose_file_have_the_options_that_it_gives(compose: Mapping[str, Any]) -> None:
    from streams.cli import command as root

    context = root.make_context("grayline", [], resilient_parsing=True)
    services = compose["services"]
    traffic = services["traffic"]["command"][0]
    assert "exec grayline traffic " in traffic
    given = {
        "topics create": services["topics"]["command"][2:],
        "traffic": re.sub(r'"[^"]*"', "x", traffic).partition("traffic ")[2].split(),
    }
    for words, options in given.items():
        command: Any = root
        for word in words.split():
            command = command.get_command(context, word)
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in options if word.startswith("--")} <= known
    run_command: Any = root.get_command(context, "run")
    read = {parameter.envvar for parameter in run_command.params} | {"GRAYLINE_WEB_TOKEN", "GRAYLINE_BROKERS"}
    assert set(services["grayline"]["environment"]) <= read


# ------------------------------------------------------------------------------------------------ alarms and dashboard


@pytest.fixture(scope="module")
def samples() -> set[str]:
    """Every name that a worker's /metrics has, or will have once something has happened."""
    names = set()
    for family in Metrics().registry.collect():
        if family.type == "counter":
            names.add(f"{family.name}_total")
        elif family.type == "histogram":
            names |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
        else:
            names.add(family.name)
    return names


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> Iterator[tuple[str, str]]:
    """(panel, PromQL) of the dashboard."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def metrics_in(expression: str) -> set[str]:
    without_texts = re.sub(r'"[^"]*"', '""', expression)
    return set(re.findall(r"\b(grayline_\w+|up)\b", without_texts))


def test_every_alarm_reads_metrics_that_there_are(samples: set[str]) -> None:
    for alert in alerts():
        asked = metrics_in(alert["expr"])
        assert asked, alert["alert"]
        assert asked <= samples | OF_PROMETHEUS, f"{alert['alert']}: no such metric: {asked - samples}"


def test_every_metric_is_in_an_alarm_or_on_the_dashboard(samples: set[str]) -> None:
    shown = set().union(*(metrics_in(expression) for _, expression in queries()))
    shown |= set().union(*(metrics_in(alert["expr"]) for alert in alerts()))
    unseen = {name for name in samples - shown if not name.endswith(("_sum", "_count"))}
    assert not unseen


@pytest.mark.parametrize("what", ALARMS_FOR)
def test_there_is_an_alarm_for(what: str) -> None:
    assert any(ALARMS_FOR[what] in metrics_in(alert["expr"]) for alert in alerts())


def test_every_alarm_says_what_is_wrong_and_which_entry_of_the_operations_page_helps() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    anchors = {anchor(heading) for heading in re.findall(r"^#+ (.*)$", page, re.M)}
    names = [alert["alert"] for alert in alerts()]
    assert len(set(names)) == len(names)
    for alert in alerts():
        assert alert["labels"]["severity"] in ("page", "ticket", "info"), alert["alert"]
        assert alert["annotations"]["summary"], alert["alert"]
        file, _, part = alert["annotations"]["runbook"].partition("#")
        assert file == "docs/operations.md"
        assert part in anchors, f"{alert['alert']}: docs/operations.md has no heading #{part}"


def anchor(heading: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_label_that_an_alarm_chooses_by_is_one_that_the_metric_has(samples: set[str]) -> None:
    labels = {collector._name: set(collector._labelnames) for collector in Metrics().registry._collector_to_names}
    every = [(alert["alert"], alert["expr"]) for alert in alerts()] + list(queries())
    for where, expression in every:
        for metric, choice in re.findall(r"(grayline_\w+)\{([^}]*)\}", expression):
            family = re.sub(r"_(total|bucket|sum|count)$", "", metric)
            known = labels.get(family, labels.get(metric, set())) | {"job", "instance", "le"}
            asked = set(re.findall(r"(\w+)(?:=~|!=|!~|=)\"", choice))
            assert asked <= known, f"{where}: {metric} has no label {asked - known}"


def test_promtool_accepts_the_alarms_and_they_do_what_their_tests_say() -> None:
    promtool = tool("promtool")
    for command in (
        ("check", "rules", PROMETHEUS / "alerts.yaml"),
        ("test", "rules", PROMETHEUS / "alerts.test.yaml"),
        ("check", "config", "--syntax-only", PROMETHEUS / "prometheus.yaml"),
    ):
        done = run(promtool, *command)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alarm_has_a_test_in_which_it_is_raised() -> None:
    told = yaml.safe_load((PROMETHEUS / "alerts.test.yaml").read_text())
    raised = {case["alertname"] for test in told["tests"] for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert {alert["alert"] for alert in alerts()} - raised == set()


def test_the_dashboard_asks_metrics_that_there_are_of_the_source_that_is_provided(samples: set[str]) -> None:
    provided = yaml.safe_load((DOCKER / "grafana" / "provisioning" / "datasources" / "prometheus.yaml").read_text())
    (source,) = provided["datasources"]
    dashboard = json.loads(DASHBOARD.read_text())
    identities = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(identities)) == len(identities)
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert not cells & taken, f"{panel['title']} covers another panel"
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["description"], panel["title"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {source["uid"]}
    for panel, expression in queries():
        asked = metrics_in(expression)
        assert asked, panel
        assert asked <= samples, f"{panel}: no such metric: {asked - samples}"


def test_prometheus_and_grafana_find_each_other(compose: Mapping[str, Any]) -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text())
    (job,) = config["scrape_configs"]
    assert job["static_configs"][0]["targets"] == ["grayline:9100"]
    assert job["authorization"]["credentials_file"] == "/run/secrets/web-token"
    assert all((PROMETHEUS / file).is_file() for file in config["rule_files"])
    services = compose["services"]
    assert services["prometheus"]["secrets"] == ["web-token"]
    assert compose["secrets"]["web-token"]["environment"] in services["grayline"]["environment"]["GRAYLINE_WEB_TOKEN"]
    shared = [set(services[name]["networks"]) for name in ("grayline", "prometheus", "grafana")]
    assert set.intersection(*shared)


# -------------------------------------------------------------------------------------------------------------- rights


def rights(*arguments: str, tmp_path: Path) -> set[tuple[str, str]]:
    """(topic, operation) of what acls.sh gives, as it tells Kafka's own tool."""
    tool = tmp_path / "kafka-acls.sh"
    tool.write_text('#!/bin/sh\necho "$@"\n')
    tool.chmod(0o755)
    done = run("sh", DOCKER / "acls.sh", *arguments, KAFKA_ACLS=str(tool))
    assert done.returncode == 0, done.stderr
    given = set()
    for line in done.stdout.splitlines():
        words = line.split()
        told = {
            name: [words[i + 1] for i, word in enumerate(words) if word == name] for name in words if name[:2] == "--"
        }
        given |= {(topic, operation) for topic in told.get("--topic", []) for operation in told["--operation"]}
    return given


def test_a_worker_is_given_the_inputs_that_it_is_to_read_and_no_others(tmp_path: Path) -> None:
    usual = rights("worker", "User:g", "g", tmp_path=tmp_path)
    assert {topic for topic, _ in usual} & FEEDS.keys() == {"message-relay", "cdr", "control"}
    more = rights("worker", "User:g", "g", "reports", "traps", tmp_path=tmp_path)
    assert more - usual == {(topic, right) for topic in ("reports", "traps") for right in ("Read", "DescribeConfigs")}


@pytest.mark.parametrize("topic", FEEDS)
def test_a_carrier_writes_the_topic_that_it_is_given_and_a_maker_makes_it(topic: str, tmp_path: Path) -> None:
    assert rights("carrier", "User:c", topic, tmp_path=tmp_path) == {(topic, "Write")}
    assert (topic, "Create") in rights("maker", "User:m", tmp_path=tmp_path)
