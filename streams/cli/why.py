"""`grayline why`: asks running workers what they know of a number."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from typing import Any

import click

from streams.cli.blocks import as_published
from streams.cli.options import home_region
from streams.runtime.saying import say, say_json

ANSWER_MAX = 4 << 20  # bytes
EXIT_CODES = "Exit codes: 0 done, 1 no worker that answers counts the number, 2 used wrongly."


class Unanswered(Exception):
    """A worker gave no answer; the message says why."""


@click.command("why", epilog=EXIT_CODES)
@click.argument("number")
@click.option(
    "--worker", "workers", metavar="URL", multiple=True, envvar="GRAYLINE_WORKERS", required=True,
    help="A worker's pages. Repeatable: the one that counts the number answers. Several in the environment stand apart "
    "by spaces.",
)  # fmt: skip
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0.1), default=10.0, show_default=True,
              metavar="SECONDS", help="How long to wait for each worker.")  # fmt: skip
@click.option("--unmasked", is_flag=True, help="Print the number in full.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@home_region("a number")
def command(
    number: str, workers: tuple[str, ...], timeout_s: float, unmasked: bool, as_json: bool, home_region: str
) -> None:
    """Ask running workers why NUMBER is blocked, or why not: what is in force, what each rule's counters read now over
    which window, the limit in force and why, the expression with its values, and what is missing to fire.

    Counters are as of the number's last event. Fields of a record are not kept, so a condition on them is shown as it
    stands. The token of the workers' pages comes from GRAYLINE_WEB_TOKEN. `grayline rules explain` says the same of
    recorded traffic.

    \b
    Examples:
      grayline why 010-1111-0001 --worker http://127.0.0.1:8080
      grayline why 010-1111-0001 --worker http://10.0.0.1:8080 --worker http://10.0.0.2:8080
      grayline why +821011110001 --worker http://127.0.0.1:8080 --json | jq '.rules[] | select(.rule == "call-rate")'
    """
    published = as_published(number, home_region, "NUMBER")
    token = os.environ.get("GRAYLINE_WEB_TOKEN", "")
    if not token:
        raise click.UsageError("set GRAYLINE_WEB_TOKEN to the token of the workers' pages")
    problems = []
    for worker in workers:
        if not worker.startswith(("http://", "https://")):
            raise click.BadParameter(f"{worker}: write http://HOST:PORT", param_hint="--worker")
        try:
            found = ask(worker, token, published, unmasked, timeout_s)
        except Unanswered as problem:
            problems.append(f"{worker}: {problem}")
            continue
        if as_json:
            import orjson

            say_json(orjson.dumps({name: value for name, value in found.items() if name != "text"}))
        else:
            say(*map(str, found["text"]))
        return
    raise click.ClickException("; ".join(problems))


def ask(worker: str, token: str, number: str, unmasked: bool, timeout_s: float) -> dict[str, Any]:
    """The answer of one worker. Raises Unanswered."""
    import orjson

    from schemas.json_reading import JsonReader, Unreadable

    asked = urllib.request.Request(
        f"{worker.rstrip('/')}/why",
        orjson.dumps({"number": number, "unmasked": unmasked}),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    reader: JsonReader[dict[str, Any]] = JsonReader(dict)
    try:
        with urllib.request.urlopen(asked, timeout=timeout_s) as answer:
            found = reader.read(answer.read(ANSWER_MAX))
    except urllib.error.HTTPError as answer:
        body = answer.read(ANSWER_MAX)
        try:
            raise Unanswered(str(reader.read(body).get("problem", answer.code))) from None
        except Unreadable:
            raise Unanswered(f"{answer.code}: {body[:200].decode(errors='replace').strip()}") from None
    except (OSError, ValueError) as problem:
        raise Unanswered(f"does not answer: {problem}") from problem
    if not isinstance(found.get("text"), list):
        raise Unanswered("this is no worker's answer")
    return found
