"""Envelopes: other systems wrap a record into an object of their own, or put bytes before it."""

from __future__ import annotations

import msgspec

from schemas.json_reading import JsonReader, Unreadable

CONNECT, DEBEZIUM, CLOUDEVENTS, SCHEMA_REGISTRY = ENVELOPES = ("connect", "debezium", "cloudevents", "schema_registry")
REGISTRY_BYTES = 5  # a zero and the schema's id
HINT = "say `envelope: {0}` for this feed in feeds.yaml"
# The member that holds the record.
_MEMBER = {CONNECT: "payload", DEBEZIUM: "after", CLOUDEVENTS: "data"}
_OBJECT: JsonReader[dict[str, msgspec.Raw]] = JsonReader(dict[str, msgspec.Raw])
_TEXT: JsonReader[str] = JsonReader(str)


def opened(envelope: str, value: bytes | None) -> bytes | None:
    """The record inside; None for an envelope around nothing, and the value as it is where there is no such envelope:
    whoever decodes it says what is wrong."""
    if not value:
        return value
    if envelope == SCHEMA_REGISTRY:
        return value[REGISTRY_BYTES:] if value[0] == 0 and len(value) > REGISTRY_BYTES else value
    try:
        outer = _OBJECT.read(value)
        if envelope == DEBEZIUM and "after" not in outer and "payload" in outer:  # as Connect's converter wraps it
            outer = _OBJECT.read(bytes(outer["payload"]))
    except Unreadable:
        return value
    inner = outer.get(_MEMBER[envelope])
    if inner is None:
        return value
    return None if bytes(inner) == b"null" else bytes(inner)


def envelope_seen(value: bytes | None) -> str | None:
    """The reason to tell, where a value that is no record looks like a wrapped one; else None."""
    if not value:
        return None
    if value[0] == 0 and value[REGISTRY_BYTES : REGISTRY_BYTES + 1] in (b"{", b"[", b'"'):
        return _reason("the record comes behind the 5 bytes of a schema registry", SCHEMA_REGISTRY)
    try:
        if value.lstrip()[:1] == b'"':
            inside = _TEXT.read(value).lstrip()
            return "is JSON inside a string: give the object itself" if inside.startswith("{") else None
        return _object_seen(value)
    except Unreadable:
        return None


def _object_seen(text: bytes) -> str | None:
    """Raises Unreadable."""
    found = _OBJECT.read(text)
    if bytes(found.get("payload", b""))[:1] == b"{":
        if "after" in _OBJECT.read(bytes(found["payload"])):
            return _reason("the record lies in `payload.after`, as Debezium wraps it", DEBEZIUM)
        return _reason("the record lies in `payload`, as Kafka Connect wraps it", CONNECT)
    if "after" in found and ("op" in found or "before" in found):
        return _reason("the record lies in `after`, as Debezium wraps it", DEBEZIUM)
    if "specversion" in found and "data" in found:
        return _reason("the record lies in `data`, as CloudEvents wraps it", CLOUDEVENTS)
    if bytes(found.get("records", b""))[:1] == b"[":
        return "is a page of records, in `records`: give each record by itself"
    return None


def _reason(what: str, envelope: str) -> str:
    return f"{what}: {HINT.format(envelope)}"
