"""The laws that a read-committed reader may always count on, after any fault: plain functions over the records it has
seen.

Records are (key, value) pairs of one topic, all of them, each key's in the order of its partition's log. Wherever a
reader stops, these hold once no transaction is open any more; nothing here knows the input or asks the clock.

`block-history` tells each change of an enforced hold, `block-events` the state behind it, `ledger` all that a worker
needs to go on. All three leave in one transaction, so what they say of a number must be the same at any moment:

    once            no event_id comes twice in a topic
    in order        the changes of a hold are such that the hold can have had them
    added up        each state on `block-events` is what the history adds up to just there
    the same        the last state, the ledger's last row and the whole history name the same holds
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from schemas.topics import BLOCK_EVENTS, BLOCK_HISTORY, LEDGER, REVIEW_QUEUE, SHADOW_EVENTS

Seen = Iterable[tuple[bytes | None, bytes | None]]  # (key, value)

TOPICS = (BLOCK_HISTORY, BLOCK_EVENTS, REVIEW_QUEUE, SHADOW_EVENTS, LEDGER)
MODES = {BLOCK_EVENTS: "enforce", REVIEW_QUEUE: "review", SHADOW_EVENTS: "shadow"}


def check(seen: Mapping[str, Seen], *, once: bool = True) -> None:
    """seen: the records of each of TOPICS. once: they were delivered exactly once; at least once, records may come
    again and only what is left in the end can be said. Raises AssertionError."""
    records = {topic: list(seen[topic]) for topic in TOPICS}
    if once:
        for topic in (BLOCK_HISTORY, *MODES):
            check_once(topic, records[topic])
        holds = check_changes(records[BLOCK_HISTORY], records[BLOCK_EVENTS])
        check_ledger(holds, records[LEDGER])
    for topic in MODES:
        check_last_states(topic, records[topic], records[LEDGER])


@dataclass(frozen=True)
class Hold:
    """One rule's enforced hold on a number; times in ms."""

    block_id: str
    from_ms: int
    until_ms: int
    active: bool
    released: bool = False  # ended by an order


def check_once(topic: str, records: Seen) -> None:
    """No event_id comes twice."""
    counted = Counter(orjson.loads(value)["event_id"] for _, value in records if value is not None)
    twice = [event_id for event_id, count in counted.items() if count > 1]
    assert not twice, f"{topic}: {len(twice)} event_ids come twice or more, the first {twice[0]}"


def check_changes(history: Seen, events: Seen) -> dict[bytes, dict[str, Hold]]:
    """Follows each number through `block-history` and, beside it, `block-events`, whose records stand for the next
    change or for several that one input record made. Returns number -> rule -> hold, tombstones obeyed."""
    changes, states = _by_key(_of_holds(history)), _by_key(events)
    return {number: _followed(number, changes[number], states[number]) for number in changes.keys() | states.keys()}


def _of_holds(history: Seen) -> Seen:
    """Without the answers to orders."""
    return [(key, value) for key, value in history if value is not None and "hold" in orjson.loads(value)]


def check_ledger(holds: Mapping[bytes, Mapping[str, Hold]], ledger: Seen) -> None:
    """The last row of each number names exactly these enforced holds, ended ones included."""
    rows = _last_rows(ledger)
    for number in holds.keys() | rows.keys():
        told = {
            (rule, hold.from_ms, hold.until_ms, hold.active, hold.released)
            for rule, hold in holds.get(number, {}).items()
        }
        kept = {
            (hold["rule"], hold["from"], hold["until"], hold["active"], "released" in hold)
            for hold in rows.get(number, ())
            if hold["mode"] == MODES[BLOCK_EVENTS]
        }
        assert told == kept, (
            f"{_said(number)}: {BLOCK_HISTORY} adds up to {sorted(told)}, and {LEDGER} says {sorted(kept)}"
        )


def check_last_states(topic: str, states: Seen, ledger: Seen) -> None:
    """The last record of each number names exactly those holds of its lane that are in force by the ledger."""
    rows, last = _last_rows(ledger), dict(states)
    for number in rows.keys() | {key for key in last if key is not None}:
        value = last.get(number)
        told = (
            {(hold["rule"], hold["from"], hold["until"]) for hold in orjson.loads(value)["holds"]} if value else set()
        )
        kept = {
            (hold["rule"], hold["from"], hold["until"])
            for hold in rows.get(number, ())
            if hold["active"] and hold["mode"] == MODES[topic]
        }
        assert told == kept, (
            f"{_said(number)}: the last record on {topic} names {sorted(told)}, and {LEDGER} says {sorted(kept)}"
        )


def _followed(number: bytes, changes: list[Any], states: list[Any]) -> dict[str, Hold]:
    holds: dict[str, Hold] = {}
    begins = [state["event_id"] for state in states if state is not None]
    done, known = 0, set(begins)
    for state in states:
        if state is None:
            alive = [rule for rule, hold in holds.items() if hold.active]
            assert not alive, f"{_said(number)}: a tombstone while {alive} are in force"
            holds = {}
            continue
        upcoming = changes[done] if done < len(changes) else None
        assert upcoming is not None, f"{_said(number)}: {BLOCK_HISTORY} tells nothing of {_change(state)}"
        assert upcoming["event_id"] == state["event_id"], (
            f"{_said(number)}: {BLOCK_EVENTS} tells of {_change(state)} where the next in {BLOCK_HISTORY} is "
            f"{_change(upcoming)}"
        )
        assert (state["change"], state["hold"]) == (upcoming["change"], upcoming["hold"]), (
            f"{_said(number)}: {BLOCK_EVENTS} and {BLOCK_HISTORY} tell differently of event {state['event_id']}"
        )
        first = done
        while done == first or (done < len(changes) and changes[done]["event_id"] not in known):
            _apply(number, holds, changes[done])
            done += 1
        _compare(number, holds, state)
    assert done == len(changes), f"{_said(number)}: {BLOCK_EVENTS} tells nothing of {_change(changes[done])}"
    return holds


def _apply(number: bytes, holds: dict[str, Hold], change: Any) -> None:
    """A firing at or behind a hold's end opens the next one, whether or not the end was noticed; one that was inside
    extends it, even if the end has been noticed by then."""
    told, rule = change["hold"], change["hold"]["rule"]
    before, what = holds.get(rule), change["change"]
    is_ended = what in ("released", "suspended")
    after = Hold(told["block_id"], told["from"], told["until"], what != "expired" and not is_ended, is_ended)
    if what == "opened":
        is_free = before is None or after.from_ms >= before.until_ms or before.released
        fits = after.from_ms < after.until_ms and is_free
    elif before is None or (after.block_id, after.from_ms) != (before.block_id, before.from_ms):
        fits = False
    else:
        fits = {
            "extended": after.until_ms > before.until_ms and not before.released,
            "expired": before.active and after.until_ms == before.until_ms,
            "reduced": not before.released and after.until_ms < before.until_ms and "order" in change,
            "released": not before.released and after.until_ms == before.until_ms and "order" in change,
            "suspended": not before.released and after.until_ms == before.until_ms and "order" in change,
        }[what]
    assert fits, f"{_said(number)}: {_change(change)} cannot follow {before or 'nothing'}"
    holds[rule] = after


def _compare(number: bytes, holds: Mapping[str, Hold], state: Any) -> None:
    active = {hold.block_id: hold.until_ms for hold in holds.values() if hold.active}
    told = {hold["block_id"]: hold["until"] for hold in state["holds"]}
    assert told == active, (
        f"{_said(number)}: behind {_change(state)} {BLOCK_EVENTS} names {told}, and {BLOCK_HISTORY} adds up to {active}"
    )
    shown = "active" if active else state["change"]
    assert state["state"] == shown, f"{_said(number)}: {BLOCK_EVENTS} says {state['state']} of what is {shown}"
    until_ms = max(active.values(), default=state["hold"]["until"])
    assert state["until"] == until_ms, f"{_said(number)}: {BLOCK_EVENTS} says until {state['until']} of {until_ms}"


def _by_key(records: Seen) -> defaultdict[bytes, list[Any]]:
    found: defaultdict[bytes, list[Any]] = defaultdict(list)
    for key, value in records:
        found[key or b""].append(None if value is None else orjson.loads(value))
    return found


def _last_rows(ledger: Seen) -> dict[bytes, list[Any]]:
    """number -> its holds by its last row; keys that begin with # are not about numbers."""
    last = {key: value for key, value in ledger if key is not None and not key.startswith(b"#")}
    return {number: orjson.loads(value)["holds"] for number, value in last.items() if value is not None}


def _change(change: Any) -> str:
    hold = change["hold"]
    return f"'{change['change']}' by {hold['rule']} from {hold['from']} until {hold['until']}"


def _said(number: bytes) -> str:
    return number.decode(errors="replace") or "no number"
