"""The feeds of carriers: the optional fields that each puts into a record, and its way of writing numbers.

Feeds differ on purpose: some lack `verified`, `origin`, `carrier`, the text or its hash, and one writes numbers the
domestic way, because readers of real feeds must cope with all of that."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import orjson

E164 = ("+", 0)  # what stands before a number, and how many of its digits are left out
DOMESTIC = ("0", 2)


@dataclass(frozen=True)
class Feed:
    """`cdr` and `message` are pieces of JSON that follow the required fields."""

    cdr: str
    message: str
    text: bool = True
    content_hash: bool = True
    style: tuple[str, int] = E164


def feed(
    cdr: dict[str, str], message: dict[str, str], text: bool = True, content_hash: bool = True,
    style: tuple[str, int] = E164,
) -> Feed:  # fmt: skip
    return Feed(_piece(cdr), _piece(message), text, content_hash, style)


def sender_feed(
    carrier: str, relay: str, reseller: str, account: str, origin: str, verified: str,
    channel: str = "sms", style: tuple[str, int] = E164,
) -> Feed:  # fmt: skip
    """The feed of one business or offender that sends in bulk through a relay."""
    who = {"carrier": carrier, "origin": origin, "verified": verified}
    through = {"relay": relay, "reseller": reseller, "account": account, "channel": channel}
    return feed({"relay": relay, **who} if relay else who, {**through, **who}, style=style)


def _piece(names: dict[str, str]) -> str:
    return "".join(f',"{name}":{orjson.dumps(value).decode()}' for name, value in names.items() if value)


_FULL = {"origin": "domestic", "verified": "full"}
# Ordinary subscribers' feeds; shares near the market's (SKT 44 %, KT 26 %).
SUBSCRIBER_FEEDS = (
    feed({"carrier": "SKT", **_FULL}, {"carrier": "SKT", "channel": "sms", **_FULL}),
    feed({"carrier": "KT", **_FULL}, {"carrier": "KT", "channel": "sms", **_FULL}, content_hash=False),
    feed({"carrier": "LGU", "verified": "full"}, {"carrier": "LGU", "channel": "rcs", "verified": "full"}, text=False),
    feed({"relay": "ix-2", **_FULL}, {"channel": "lms", "origin": "domestic", "verified": "partial"}),
    feed({"carrier": "MVNO-12"}, {"carrier": "MVNO-12"}, text=False, content_hash=False, style=DOMESTIC),
)
SUBSCRIBER_SHARES = (0.44, 0.26, 0.20, 0.07, 0.03)


def text_piece(text: str, with_text: bool, with_hash: bool) -> str:
    piece = f',"text":{orjson.dumps(text).decode()}' if with_text else ""
    if with_hash:
        piece += f',"content_hash":"{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"'
    return piece
