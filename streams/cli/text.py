"""`grayline text`: shows what the product reads in a text."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from streams.cli.options import home_region
from streams.runtime.saying import say, say_json, say_problem


@click.group("text")
def command() -> None:
    """Explain what a text says.

    \b
    Example:
      echo "엄마 나 폰 고장났어 이 번호로 답장 줘" | grayline text explain
    """


@command.command("explain")
@click.argument("text", required=False)
@click.option("--sender", metavar="NUMBER", help="The number that sent it: one's own number is no other's.")
@click.option("--lexicon", "own", metavar="FILE", multiple=True, type=click.Path(path_type=Path),
              help="Further lexicon, beside those that ship. Repeatable.")  # fmt: skip
@home_region()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def explain_command(
    text: str | None, sender: str | None, own: tuple[Path, ...], home_region: str, as_json: bool
) -> None:
    """Print the features of TEXT, or of the text on standard input, as rules see them. Nothing is sent or fetched.

    \b
    Examples:
      grayline text explain "아빠 폰 액정이 깨져서 카톡 추가해줘"
      grayline text explain --sender 070-7893-0001 < text.txt
      grayline text explain --json < text.txt | jq .numbers

    Exit codes: 0 done, 1 a lexicon is wrong, 2 used wrongly.
    """
    from rules.diagnostics import RuleErrors
    from rules.lexicon_file import check_lexicons
    from schemas.numbers import normalise
    from streams.content.text_reader import TextReader

    if text is None:
        text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape").removesuffix("\n")
    lexicon, diagnostics = check_lexicons(own)
    if lexicon is None:
        say_problem(RuleErrors(diagnostics))
        sys.exit(1)
    key = 0 if sender is None else normalise(sender, home_region).key
    shown = _shown(TextReader(lexicon, home_region), text, key)
    if as_json:
        say_json(json.dumps(shown | {"lexicon": lexicon.version}, ensure_ascii=False))
    else:
        say(*(f"{name:<12} {_line(value)}" for name, value in shown.items()))


def _shown(reader: Any, text: str, sender: int) -> dict[str, Any]:
    from schemas import codes
    from streams.ingest.feed_codes import text_hash

    content = reader.read(text)
    implied = content.implied(sender)
    return {
        "imposture": codes.IMPOSTURES[content.imposture(sender)],
        "words": list(content.words),
        "pattern": f"{content.pattern & (1 << 64) - 1:016x}" if content.words else None,
        "numbers": [
            {"number": each.number.text, "type": codes.NUMBER_TYPES[each.number.type],
             "as": content.folded[each.start : each.end], "own": each.number.key == sender}
            for each in content.numbers
        ],
        "implied": None if implied is None else implied.number.text,
        "amounts": [amount.won for amount in content.amounts],
        "messenger": codes.MESSENGER_ASKS[content.messenger],
        "id": content.messenger_id or None,
        "brands": list(content.brands),
        "links": [
            {"host": each.host, "domain": each.domain or None, "risk": codes.URL_RISKS[each.risk],
             "like": each.like or None}
            for each in content.links
        ],
        "content": f"{text_hash(text) & (1 << 64) - 1:016x}",
        "fingerprint": f"{content.fingerprint:016x}",
    }  # fmt: skip


def _line(value: Any) -> str:
    if isinstance(value, dict):
        first, *rest = (name if part is True else str(part) for name, part in value.items() if part)
        return f"{first} ({', '.join(rest)})" if rest else first
    if isinstance(value, list):
        return ", ".join(map(_line, value)) or "-"
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
