"""`grayline run`: runs one worker until a signal ends it."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from schemas.feeds import FEEDS, order_topics
from streams.cli.options import feeds_file, home_region
from streams.cli.topics import kafka_options
from streams.runtime.saying import say_problem
from streams.runtime.settings import COLUMNS, DELIVERIES, EXACTLY_ONCE, FETCHES

if TYPE_CHECKING:
    from streams.kafka.settings import KafkaSettings

EXAMPLES = """\b
Examples:
  grayline run --brokers kafka:9092 --from latest
  grayline run --rules rules/ --from 2026-01-01T00:00:00+09:00
  grayline run --kafka-config tls.properties --web-port 8080
  grayline run --name worker-1 --state /var/lib/grayline

\b
The first start of a group needs --from. Later starts continue at the group's committed offsets, with counters and
holds restored. SIGTERM and Ctrl-C finish the records in hand, commit and leave the group. SIGHUP reads all files
again.

\b
Exit codes: 0 ended in order, 1 failed or no broker answered, 2 refused to start or used wrongly.
"""


@click.command("run", epilog=EXAMPLES)
@kafka_options
@click.option(
    "--rules",
    "rules_path",
    envvar="GRAYLINE_RULES",
    type=click.Path(path_type=Path),
    help="Rule file or folder. [default: the shipped packs]",
)
@click.option(
    "--protected",
    envvar="GRAYLINE_PROTECTED",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="File of numbers that no rule blocks, in addition to the shipped list. Repeatable; in GRAYLINE_PROTECTED "
    "separated by `:`.",
)
@click.option(
    "--registry",
    envvar="GRAYLINE_REGISTRY",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="File of registered senders, institutions and allow-listed numbers. Repeatable; in GRAYLINE_REGISTRY "
    "separated by `:`.",
)
@click.option(
    "--topics",
    envvar="GRAYLINE_TOPICS",
    default="",
    metavar="NAME,...",
    help="Input topics to read in addition to those that rules count. Their records are checked and appear in the "
    "metrics.",
)
@click.option(
    "--from",
    "start_from",
    envvar="GRAYLINE_FROM",
    metavar="earliest|latest|TIME",
    help="Where a group without committed offsets begins to read. TIME is ms since 1970, or RFC 3339 with a zone.",
)
@click.option(
    "--new-ledger",
    is_flag=True,
    help="Go on with a topic `ledger` that was made anew: the holds in the old one are forgotten. For one start.",
)
@click.option("--group", envvar="GRAYLINE_GROUP", default="grayline", show_default=True, help="Consumer group.")
@click.option(
    "--wait-for-broker",
    "broker_wait_s",
    envvar="GRAYLINE_WAIT_FOR_BROKER",
    type=click.FloatRange(min=0.1),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="End with code 1 if no broker answers the start for this long.",
)
@click.option(
    "--web-port",
    envvar="GRAYLINE_WEB_PORT",
    type=int,
    default=0,
    show_default=True,
    help="Port of the web server for /health, /ready, /metrics and /why. 0: no web server.",
)
@click.option(
    "--web-bind",
    envvar="GRAYLINE_WEB_BIND",
    default="127.0.0.1",
    show_default=True,
    help="Address of the web server. An address beyond this machine needs GRAYLINE_WEB_TOKEN.",
)
@click.option(
    "--batch-size",
    envvar="GRAYLINE_BATCH_SIZE",
    type=int,
    default=10_000,
    show_default=True,
    help="Most records that are counted together, in one epoch.",
)
@click.option(
    "--commit-interval",
    "commit_interval_ms",
    envvar="GRAYLINE_COMMIT_INTERVAL",
    type=int,
    default=200,
    show_default=True,
    metavar="MS",
    help="Time between commits, at most. Blocks are published with a commit, and bring it forward.",
)
@click.option(
    "--delivery",
    envvar="GRAYLINE_DELIVERY",
    type=click.Choice(DELIVERIES),
    default=EXACTLY_ONCE,
    show_default=True,
    help="at_least_once is for brokers without transactions: after a crash, equal records may be published twice.",
)
@click.option(
    "--fetch",
    envvar="GRAYLINE_FETCH",
    type=click.Choice(FETCHES),
    default=COLUMNS,
    show_default=True,
    help="How records are taken from the Kafka client: in columns where it can be, or each as a message.",
)
@click.option(
    "--state",
    "state_dir",
    envvar="GRAYLINE_STATE",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for a local copy of the snapshots, for a quicker restart. Without it they are read from Kafka.",
)
@click.option(
    "--name",
    envvar="GRAYLINE_NAME",
    default="",
    help="Name of this worker in the group (a static member), so that a restart moves no partitions. Each worker needs "
    "its own.",
)
@click.option(
    "--snapshot-interval",
    "snapshot_interval_s",
    envvar="GRAYLINE_SNAPSHOT_INTERVAL",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between snapshots of a partition. A restore counts all records after the last snapshot again.",
)
@click.option(
    "--silent-after",
    "silent_after_s",
    envvar="GRAYLINE_SILENT_AFTER",
    type=click.FloatRange(min=1.0),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="Log and show a feed as silent when it had records and then none for this long.",
)
@click.option(
    "--watch",
    "watch_s",
    envvar="GRAYLINE_WATCH",
    type=click.FloatRange(min=0.0),
    default=0.0,
    show_default="never",
    metavar="SECONDS",
    help="Look this often whether the rules and other files have changed, and read them again, as at SIGHUP.",
)
@click.option(
    "--breaker-opens",
    envvar="GRAYLINE_BREAKER_OPENS",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    metavar="N",
    help="New blocks per rule, partition and minute that always pass. Beyond this and --breaker-factor, they go to "
    "review instead. 0: no breaker.",
)
@click.option(
    "--breaker-factor",
    envvar="GRAYLINE_BREAKER_FACTOR",
    type=click.FloatRange(min=0.0),
    default=10.0,
    show_default=True,
    metavar="K",
    help="New blocks also pass up to this multiple of the mean of the hour before.",
)
@click.option(
    "--reload-opens",
    envvar="GRAYLINE_RELOAD_OPENS",
    type=click.IntRange(min=0),
    default=500,
    show_default=True,
    metavar="N",
    help="New blocks that rules may bring in a partition within the hour behind their change. Beyond this and "
    "--reload-share, they go to review until the same rules are read once more. 0 and 0: no guard.",
)
@click.option(
    "--reload-share",
    envvar="GRAYLINE_RELOAD_SHARE",
    type=click.FloatRange(min=0.0),
    default=0.1,
    show_default=True,
    metavar="X",
    help="They also pass up to this share of the partition's blocks in force.",
)
@feeds_file
@home_region()
@click.option("--stop-after", type=int, default=0, metavar="N", help="End after N records, for measurements.")
def command(
    brokers: str | None,
    rules_path: Path | None,
    protected: tuple[Path, ...],
    registry: tuple[Path, ...],
    topics: str,
    start_from: str | None,
    new_ledger: bool,
    group: str,
    broker_wait_s: float,
    kafka_config: str | None,
    web_port: int,
    web_bind: str,
    batch_size: int,
    commit_interval_ms: int,
    delivery: str,
    fetch: str,
    state_dir: Path | None,
    name: str,
    snapshot_interval_s: float,
    silent_after_s: float,
    watch_s: float,
    breaker_opens: int,
    breaker_factor: float,
    reload_opens: int,
    reload_share: float,
    feeds_path: Path | None,
    home_region: str,
    stop_after: int,
) -> None:
    """Run one worker: read phone traffic, apply the rules, publish which numbers are blocked."""
    from rules.feeds_file import load_feeds
    from rules.load import RuleErrors, load, packs
    from schemas.feed_settings import NO_BOOK
    from streams.kafka.settings import KafkaProblem, KafkaSettings
    from streams.runtime.logs import log_to
    from streams.runtime.settings import WorkerSettings
    from streams.runtime.start_from import SettingsProblem, parse_start_from
    from streams.worker.rereading import Files, seen

    log_to(sys.stderr)
    # Until the worker listens for it, a request to read the files again would end the process.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})

    def read_files() -> Files:
        rules = load([rules_path or packs()], protected, home_region, registry)
        return Files(rules, NO_BOOK if feeds_path is None else load_feeds(feeds_path))

    def look() -> object:
        return seen([rules_path or packs(), *protected, *registry, *([feeds_path] if feeds_path is not None else [])])

    known = look()
    try:
        files = read_files()
        kafka = KafkaSettings.load(brokers, kafka_config)
        settings = WorkerSettings(
            consumer=kafka.consumer(group),
            producer=kafka.producer(),
            group=group,
            # Operators must always be heard, whatever rules count.
            topics=(*(name.strip() for name in topics.split(",") if name.strip()), *order_topics()),
            broker_wait_ms=round(broker_wait_s * 1000),
            start_from=parse_start_from(start_from) if start_from else None,
            new_ledger=new_ledger,
            batch_size=batch_size,
            commit_interval_ms=commit_interval_ms,
            web_port=web_port,
            web_bind=web_bind,
            web_token=os.environ.get("GRAYLINE_WEB_TOKEN", ""),
            stop_after=stop_after,
            delivery=delivery,
            fetch=fetch,
            name=name,
            state_dir=state_dir,
            snapshot_interval_ms=round(snapshot_interval_s * 1000),
            silent_after_ms=round(silent_after_s * 1000),
            watch_ms=round(watch_s * 1000),
            breaker_opens=breaker_opens,
            breaker_factor=breaker_factor,
            reload_opens=reload_opens,
            reload_share=reload_share,
        )
    except (SettingsProblem, KafkaProblem, RuleErrors) as problem:
        say_problem(problem)
        sys.exit(2)
    for warning in files.rules.warnings:
        logging.getLogger("grayline.rules").warning("%s", warning)

    from streams.worker.worker import worker_for

    # Faust says much at INFO that means nothing to an operator of ours.
    for chatty in ("faust", "mode", "streams"):
        logging.getLogger(chatty).setLevel(logging.WARNING)

    def check() -> None:
        read = tuple(sorted({*files.rules.reads, *settings.topics}))
        unbounded = check_topics(kafka, read, 0.8 * broker_wait_s)  # so that a short wait has a reason to tell
        worker.metrics.timestamps_unbounded(unbounded)

    worker = worker_for(
        settings,
        files.rules,
        home_region=home_region,
        feeds=files.feeds,
        reload=read_files,
        look=look,
        known=known,
        check=check,
    )
    code = worker.run()
    # A thread may still wait for a broker that does not answer, and an ordinary exit would wait for the thread.
    logging.shutdown()
    os._exit(code)


def check_topics(kafka: KafkaSettings, inputs: tuple[str, ...], limit_s: float) -> list[str]:
    """Checks the topics on the broker; returns the inputs whose timestamps nobody bounds. limit_s: the time limit of
    each question. Raises KafkaProblem when a topic is missing, partition counts differ, or a dead letter or a stray
    would not fit; BrokerAway when no broker answers."""
    from streams.kafka import topics

    timeout_s = min(topics.TIMEOUT_S, limit_s)
    topics.check_topics(kafka, inputs, timeout_s=timeout_s)
    inputs = tuple(topic for topic in inputs if topic in FEEDS)
    for note in topics.check_limits(kafka, inputs, timeout_s):
        logging.getLogger("grayline.kafka").info("%s", note)
    unbounded = topics.check_timestamps(kafka, inputs, timeout_s)
    for warning in unbounded.values():
        logging.getLogger("grayline.kafka").warning("%s", warning)
    return list(unbounded)
