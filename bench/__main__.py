"""`python -m bench`: see --help."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import replace
from pathlib import Path

import click

from bench import peers
from bench.measures import MEASURES, QUICK, Bench, Sizes
from bench.report import as_json, text
from bench.scene import BenchFailed
from tests.kafka_broker import BrokerFailed, KafkaUnavailable

EPILOG = """\b
Measures: {}

\b
Examples:
  python -m bench                                everything but the Java peers, within 20 minutes
  python -m bench --quick --runs 1               a first look
  python -m bench --only raw,gray --runs 3       the gray job beside the limit
  python -m bench --only gray --peers            beside Flink, Jet and Kafka Streams (Maven builds them)
  python -m bench --only raw --beside ../old     beside another checkout, in turn
  python -m bench --only kernels                 no broker needed
  python -m bench --peers --markdown bench/RESULTS.md --json results.json

\b
Exit codes: 0 measured (budgets met or not), 1 something could not be measured, a processor blocked the wrong numbers,
or Ctrl-C or SIGTERM ended the run early (what was measured until then is reported); 2 used wrongly.
""".format(", ".join(MEASURES))


@click.command(epilog=EPILOG)
@click.option("--only", metavar="NAME,...", help="Measure only these.")
@click.option("--runs", type=click.IntRange(min=1), default=5, show_default=True, help="Turns of each, alternating.")
@click.option("--messages", type=click.IntRange(min=1000), help="Of the gray job.  [default: 8,000,000]")
@click.option("--quick", is_flag=True, help="Smaller inputs: 1,000,000 messages and the rest in proportion.")
@click.option(
    "--peers", "with_peers", is_flag=True, help="Flink, Hazelcast Jet and Kafka Streams too, each after a raw run."
)
@click.option(
    "--beside",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="The gray job by another checkout too, in turn with this one: a folder where `make .venv/.runtime` has run.",
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="All figures, as JSON.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="The report, into a file as well.")
def main(
    only: str | None,
    runs: int,
    messages: int | None,
    quick: bool,
    with_peers: bool,
    beside: Path | None,
    json_file: Path | None,
    markdown: Path | None,
) -> None:
    """Measure Grayline on a real broker, which is started for it and ended behind it.

    Progress goes to standard error, the report to standard output."""
    wanted = _wanted(only, with_peers, beside)
    sizes = QUICK if quick else Sizes()
    if messages is not None:
        sizes = replace(sizes, messages=messages, subset=min(sizes.subset, messages))
    bench = Bench(wanted, runs, sizes, beside)
    interrupted = False
    # Brokers and measured programs are sessions of their own: only an orderly end takes them along.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        bench.run()
    except (BenchFailed, BrokerFailed, KafkaUnavailable) as problem:
        click.echo(f"bench: {problem}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        interrupted = True
        click.echo("bench: interrupted; the report has what was measured until now", err=True)
    options = [] if json_file is None else ["--json", str(json_file)]
    command = " ".join(["python -m bench", *(word for word in sys.argv[1:] if word not in options)])
    report = text(bench, command)
    click.echo(report)
    if markdown is not None:
        markdown.write_text(report)
    if json_file is not None:
        json_file.write_text(json.dumps(as_json(bench, command), indent=2) + "\n")
    sys.exit(int(interrupted))


def _wanted(only: str | None, with_peers: bool, beside: Path | None) -> frozenset[str]:
    names = set(MEASURES) - {"older", *peers.JAVA} if only is None else {name.strip() for name in only.split(",")}
    if unknown := names - set(MEASURES):
        raise click.BadParameter(f"no such measure: {', '.join(sorted(unknown))}; choose from {', '.join(MEASURES)}")
    if beside is not None:
        if not (beside / ".venv" / "bin" / "python").exists():
            raise click.BadParameter(f"{beside} has no .venv: run `make .venv/.runtime` in it first")
        names |= {"gray", "older"}
    elif "older" in names:
        raise click.BadParameter("`older` needs --beside FOLDER")
    if with_peers:
        names |= {"raw", *peers.JAVA}
    if "latency" in names:
        names.add("gray")  # half its rate is what latency is measured at
    return frozenset(names)


if __name__ == "__main__":
    main()
