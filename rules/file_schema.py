"""The JSON Schema of rule files, for editors that complete and explain. It says what keys and values there may be; what
they mean together, `grayline rules check` says."""

from __future__ import annotations

from typing import Any

from rules import catalog
from rules.definitions import COLUMN_NAME, SECTIONS, SHARED
from rules.expression_check import SOURCE_LENGTH_MAX
from rules.hours_file import FIELDS, WEEKDAYS
from rules.kinds import AT_LEAST, DEFAULT, DURATION_FORM, KINDS, all_keys, counted_kinds, durations, kind_keys
from rules.limits_file import LEVELS
from rules.load import RULE_EXTRAS, RULE_KEYS
from rules.model import BLOCKS, CUT_CALL, DIRECTIONS, MODES, RECOMMENDATIONS
from rules.then_file import ANNOUNCED, BLOCKING, PERIODS, RECOMMENDING, RULE_NAME
from schemas.feeds import counted

Schema = dict[str, Any]

DURATION: Schema = DURATION_FORM
EXPRESSION: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": SOURCE_LENGTH_MAX,
    "description": "and, or, not, comparisons, + - * /, in, numbers, quoted names",
}
RATE: Schema = {
    "type": "string",
    "pattern": r"^[0-9]+(\.[0-9]+)?/[0-9]{0,9}(ms|[wdhms])$",
    "description": "a rate: 30/m, 5/10m",
}
NUMBER: Schema = {"type": "number"}
AMOUNT: Schema = {"anyOf": [NUMBER, DURATION, RATE]}


def file_schema() -> Schema:
    """The schema of one rule file (draft 2020-12)."""
    sections = {
        "hours": _by_name(_hours(), r"^[a-z][a-z0-9_-]*$", "Named times, in which limits have another value."),
        "lists": _by_name(_list(), f"^{COLUMN_NAME}$", "Values of a field under a name, for the right of `in`."),
        "counters": _by_name(_counter(), f"^{COLUMN_NAME}$", "Measurements of one topic per number."),
        "limits": _by_name(_limit(), f"^{COLUMN_NAME}$", "Limits that several rules of the file read."),
    }
    assert sections.keys() == set(SECTIONS)
    more = {
        "announcements": _by_name(_announcement(), f"^{RULE_NAME}$", "What callers of a blocked number hear."),
        "unreviewed": _unreviewed(),
        "rules": {"type": "array", "minItems": 1, "items": _rule(), "description": "Rules, in the order they act."},
        SHARED: _object(sections, description="Definitions that all files of the folder read."),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Grayline rule file",
        **_object(sections | more),
        "anyOf": [{"required": ["rules"]}, {"required": [SHARED]}],
    }


def _rule() -> Schema:
    keys = {
        "name": _named(RULE_NAME, "Small letters and digits joined by -; unique over all files."),
        "summary": {"type": "string", "minLength": 1, "description": "One line; it becomes the block's reason."},
        "limits": _by_name(_limit(), f"^{COLUMN_NAME}$", "Names for numbers that `when` compares with."),
        "when": EXPRESSION | {"description": "The rule fires at every event at which this is true."},
        "then": _then(),
        "mode": _choice(MODES, "enforce blocks; shadow and review show what would be blocked."),
        "spoofable": _choice(("accepted",), "Records that nobody vouches for may block as well."),
        "unreviewed": _unreviewed(),
    }
    assert keys.keys() == {*RULE_KEYS, *RULE_EXTRAS}
    return _object(keys, RULE_KEYS)


def _then() -> Schema:
    period = {"anyOf": [DURATION, _object(dict.fromkeys(PERIODS, DURATION), PERIODS)]}
    keys = {
        "block": _some(BLOCKS, "What is blocked."),
        "for": period | {"description": "How long: 7d, or {first: 1d, again: 30d}."},
        "directions": _some(DIRECTIONS, "outgoing unless given."),
        CUT_CALL: {"enum": [True, False], "description": "A call in progress is cut too."},
        "announcement": {"type": "string", "description": "One of the file's `announcements`."},
        "origin": _choice(("stop",), "The relays that it came through stop it at their side, too."),
        "recommend": _some(RECOMMENDATIONS, "Of rules about those whom nobody can block."),
    }
    assert keys.keys() == {*BLOCKING[0], *BLOCKING[1], *RECOMMENDING[0], *RECOMMENDING[1]}
    then = _object(keys, ("for",), "What happens to whom it fires about.")
    return then | {"oneOf": [{"required": [*needs]} for needs, _ in (BLOCKING, RECOMMENDING)]}


def _limit() -> Schema:
    said = "Shown to people from `warning` on, acted on at `critical`."
    levels = _object(dict.fromkeys(LEVELS, AMOUNT | {"description": said}), LEVELS, said)
    amount = {"anyOf": [*AMOUNT["anyOf"], levels]}
    by_hours = {"type": "object", "required": ["always"], "additionalProperties": amount}
    return {
        "anyOf": [*amount["anyOf"], by_hours],
        "description": "A number, duration or rate; or `always` and by hours.",
    }


def _counter() -> Schema:
    """One counter: keys that its kind takes and no others."""
    subjects = tuple(dict.fromkeys(name for feed in counted() for name in (feed.number, *feed.others)))
    keys: dict[str, Schema] = (
        {name: {} for name in all_keys()}
        | {kind.key: dict(kind.form) for kind in KINDS.values()}
        | {
            "on": _choice(tuple(catalog.sources()), "The topic, or one kind of its events."),
            "per": _choice(subjects, "The field that says who is counted."),
            "where": EXPRESSION | {"description": "Only events for which this is true count."},
            DEFAULT: NUMBER | {"description": "Stands in where there is no reading."},
            "count": _choice(counted_kinds(), "events in the window, or concurrent calls."),
            "window": DURATION,
            "resolution": DURATION,
            "max_age": DURATION,
            "of": durations("The field whose quantile it is."),
            AT_LEAST: {"type": "integer", "minimum": 1, "description": "Samples below which there is no reading."},
        }
    )
    kinds = []
    for name, kind in KINDS.items():
        asked: Schema = {"required": [kind.key]}
        if kind.key == "count":
            asked["properties"] = {"count": {"const": name}}
        takes = ["on", "per", "where", DEFAULT, *kind.needs, *kind.may]
        kinds.append({"if": asked, "then": {"required": [*kind.needs], "propertyNames": {"enum": sorted(set(takes))}}})
    one = {"oneOf": [{"required": [key]} for key in kind_keys()]}
    return _object(keys, ("on", "per")) | one | {"allOf": kinds}


def _list() -> Schema:
    fields = catalog.enumerations()
    values = sorted({value for kind in fields.values() for value in kind.choices})
    of = _choice(tuple(fields), "The field whose values these are.")
    return _object({"of": of, "values": _some(tuple(values), "Values of that field.")}, ("of", "values"))


def _hours() -> Schema:
    clock = {
        "type": "string", "pattern": r"^((?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)$",
        "description": "A time of day, from 00:00 to 24:00, in quotes.",
    }  # fmt: skip
    fields: dict[str, Schema] = {
        "times": {
            "type": "array",
            "minItems": 1,
            "items": _object({"start_time": clock, "end_time": clock}, ("start_time", "end_time")),
            "description": "Start inclusive, end exclusive; over midnight, write two.",
        },
        "location": {"type": "string", "description": "An IANA zone, like Asia/Seoul; UTC unless given."},
        "holidays": {"type": "string", "description": "A country, like KR, whose public holidays are outside."},
        "weekdays": _items({"type": "string", "pattern": f"^({'|'.join(WEEKDAYS)})(:[a-z]+)?$"}, "monday:friday"),
    }
    for name in FIELDS:
        fields.setdefault(name, _items({"type": ["string", "integer"]}, "A value, or a range like 1:5."))
    one = _object(fields) | {"minProperties": 1}
    return {"anyOf": [one, {"type": "array", "minItems": 1, "items": one}]}


def _announcement() -> Schema:
    said = "The text names {contact} and {legal_ground}."
    return _object({part: {"type": "string", "minLength": 1, "description": said} for part in ANNOUNCED}, ANNOUNCED)


def _unreviewed() -> Schema:
    silence = _object({"then": {"const": "block"}, "after": DURATION}, ("then", "after"))
    return {"anyOf": [{"const": "expire"}, silence], "description": "What silence in review brings."}


def _object(properties: dict[str, Schema], required: tuple[str, ...] = (), description: str = "") -> Schema:
    out: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return out | ({"required": [*required]} if required else {}) | ({"description": description} if description else {})


def _by_name(one: Schema, pattern: str, description: str) -> Schema:
    names = {"pattern": pattern, "maxLength": 64}
    return {"type": "object", "propertyNames": names, "additionalProperties": one, "description": description}


def _named(pattern: str, description: str) -> Schema:
    return {"type": "string", "pattern": f"^{pattern}$", "maxLength": 64, "description": description}


def _choice(values: tuple[str, ...], description: str) -> Schema:
    return {"enum": [*values], "description": description}


def _some(values: tuple[str, ...], description: str) -> Schema:
    return _items({"enum": [*values]}, description) | {"uniqueItems": True}


def _items(one: Schema, description: str) -> Schema:
    return {"type": "array", "minItems": 1, "items": one, "description": description}
