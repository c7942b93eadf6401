"""The settings of a worker: plain values, checked once at start. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from ipaddress import ip_address
from pathlib import Path

from schemas.feeds import FEEDS
from schemas.topics import DERIVED
from streams.runtime.start_from import SettingsProblem, StartFrom

DEFAULT_GROUP = "grayline"
EPOCH_RECORDS_MAX = 10_000
COMMIT_INTERVAL_MS = 200
POLL_TIMEOUT_MS = 50
DRAIN_LIMIT_MS = 9_000
BROKER_WAIT_MS = 300_000
SNAPSHOT_INTERVAL_MS = 10_000
SILENT_AFTER_MS = 300_000
BREAKER_OPENS = 100
BREAKER_FACTOR = 10.0
RELOAD_OPENS = 500
RELOAD_SHARE = 0.1
EXACTLY_ONCE, AT_LEAST_ONCE = DELIVERIES = ("exactly_once", "at_least_once")
COLUMNS, MESSAGES = FETCHES = ("columns", "messages")


LEAST = {
    "batch_size": 1, "commit_interval_ms": 1, "poll_timeout_ms": 1, "stop_after": 0, "snapshot_interval_ms": 1,
    "silent_after_ms": 1, "breaker_opens": 0, "watch_ms": 0, "breaker_factor": 0, "broker_wait_ms": 1,
    "reload_opens": 0, "reload_share": 0,
}  # fmt: skip


@dataclass(frozen=True)
class WorkerSettings:
    """Everything one worker needs beside its rules.

    `consumer` and `producer` are librdkafka settings as KafkaSettings makes them; streams.kafka.worker_config lays over
    them what the worker's own correctness depends on."""

    consumer: Mapping[str, object]
    producer: Mapping[str, object]
    _: KW_ONLY
    group: str = DEFAULT_GROUP
    topics: tuple[str, ...] = ()  # inputs that are read whether rules count them or not
    start_from: StartFrom | None = None  # None: only a group that has committed before may start
    new_ledger: bool = False  # goes on with a ledger that was made anew
    batch_size: int = EPOCH_RECORDS_MAX  # records of one epoch, at most
    commit_interval_ms: int = COMMIT_INTERVAL_MS
    poll_timeout_ms: int = POLL_TIMEOUT_MS  # an epoch that does not fill ends after this
    drain_limit_ms: int = DRAIN_LIMIT_MS
    broker_wait_ms: int = BROKER_WAIT_MS  # a start that no broker answers for so long ends
    web_port: int = 0  # 0: no web server
    web_bind: str = "127.0.0.1"
    web_token: str = field(default="", repr=False)
    stop_after: int = 0  # records after which the worker drains and ends; 0: never
    delivery: str = EXACTLY_ONCE  # AT_LEAST_ONCE is for brokers without transactions
    fetch: str = COLUMNS  # MESSAGES: one Python object for each record, in any case
    name: str = ""  # of this worker among the group's: a static member, its restarts move no partitions
    state_dir: Path | None = None  # snapshots are kept here too, so that a restart need not fetch them
    snapshot_interval_ms: int = SNAPSHOT_INTERVAL_MS  # per partition
    watch_ms: int = 0  # how often the worker looks whether its files have changed; 0: never
    silent_after_ms: int = SILENT_AFTER_MS  # a feed that had records and then none for so long raises an alarm

    breaker_opens: int = BREAKER_OPENS  # of a rule in a partition within a minute, always let through; 0: no breaker
    # Behind a change of rules, the changed ones open so many holds in a partition, or this share of those in force.
    reload_opens: int = RELOAD_OPENS
    reload_share: float = RELOAD_SHARE
    breaker_factor: float = BREAKER_FACTOR  # and so many times the mean of the hour before

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise SettingsProblem(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if unknown := [topic for topic in self.topics if topic not in (*FEEDS, DERIVED)]:
            raise SettingsProblem(f"--topics {','.join(unknown)}: the inputs are {', '.join((*FEEDS, DERIVED))}")
        if self.delivery not in DELIVERIES:
            raise SettingsProblem(f"delivery {self.delivery!r}; it is one of {', '.join(DELIVERIES)}")
        if self.fetch not in FETCHES:
            raise SettingsProblem(f"fetch {self.fetch!r}; it is one of {', '.join(FETCHES)}")
        if self.name and not re.fullmatch(r"[A-Za-z0-9._-]{1,200}", self.name):
            raise SettingsProblem(f"worker name {self.name!r}: letters, digits, `.`, `_` and `-`, at most 200 of them")
        if not 0 <= self.web_port <= 65535:
            raise SettingsProblem(f"web port {self.web_port} is no port; 1 to 65535, or 0 for no web server")
        if self.web_port and not self.loopback and not self.web_token:
            raise SettingsProblem(
                f"--web-bind {self.web_bind} opens the web server beyond this machine: set a token "
                "(GRAYLINE_WEB_TOKEN) for /ready and /metrics, or bind it to 127.0.0.1"
            )

    @property
    def loopback(self) -> bool:
        return is_loopback(self.web_bind)


def is_loopback(bind: str) -> bool:
    """True if nobody beyond this machine reaches a server that listens there."""
    if bind == "localhost":
        return True
    try:
        return ip_address(bind).is_loopback
    except ValueError:
        return False
