"""The decoders of an engine: each decodes what its rules read of a topic's records."""

from __future__ import annotations

from collections.abc import Iterable

from rules.model import RuleSet
from schemas.feeds import FEEDS
from streams.ingest.decode import Decoder
from streams.ingest.feed_codes import Feeds
from streams.ingest.fields import record_fields, tells_relays, text_features
from streams.ingest.names import Names


def decoders_of(rules: RuleSet, topics: Iterable[str], region: str, feeds: Feeds, names: Names) -> dict[str, Decoder]:
    return {
        name: Decoder(
            name, _fields(rules, name), region, feeds, text_features(rules, name), rules.lexicon,
            tells_relays(rules, name), names,
        )
        for name in topics
    }  # fmt: skip


def _fields(rules: RuleSet, topic: str) -> frozenset[str]:
    """The optional fields that are decoded: those that rules read; all of a topic that no rule can read."""
    feed = FEEDS[topic]
    return record_fields(rules, topic) if feed.is_counted else frozenset(feed.optional)
