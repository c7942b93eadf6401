"""The lifecycle of a hold: the one table of the steps that there are, who takes each, and what tells it.

A hold is proposed, where a rule or an operator asks people to decide; in review, once somebody has taken it; active,
which is enforced and in force; or over, in one of five ways. Shadow holds go the way of active ones, and touch nobody.
docs/emergency.md shows this table; no change of a hold is another step (tests/unit/test_lifecycle.py)."""

from __future__ import annotations

from dataclasses import dataclass

from streams.holds.number_order import ALLOW, APPROVE, BLOCK, PROPOSE, REJECT, RELEASE, SUSPEND, TAKE

RULE, TIME = "a rule", "time"  # that take steps, besides orders
PROPOSED, IN_REVIEW, ACTIVE = "proposed", "in review", "active"
NONE = "none or over"
RELEASED, SUSPENDED, EXPIRED, REJECTED, UNREVIEWED = "released", "suspended", "expired", "rejected", "unreviewed"
OVER = (RELEASED, SUSPENDED, EXPIRED, REJECTED, UNREVIEWED)
WAITING = (PROPOSED, IN_REVIEW)


@dataclass(frozen=True)
class Step:
    """by: RULE, TIME or an action of an operator. before: the state of the holds that it is about. changes: what
    `block-history` or `review-queue` says of them; of several, the last tells of the hold that is then active. after:
    their state. refused: why an order is refused where no hold is in the state before, of REFUSALS; "" where it stands
    all the same."""

    by: str
    before: str
    changes: tuple[str, ...]
    after: str
    refused: str = ""


STEPS = (
    Step(RULE, NONE, ("opened",), PROPOSED),
    Step(RULE, PROPOSED, ("extended",), PROPOSED),
    Step(RULE, IN_REVIEW, ("extended",), IN_REVIEW),
    Step(RULE, NONE, ("opened",), ACTIVE),
    Step(RULE, ACTIVE, ("extended",), ACTIVE),
    Step(PROPOSE, NONE, ("opened",), PROPOSED),
    Step(PROPOSE, PROPOSED, ("extended", "reduced"), PROPOSED),
    Step(PROPOSE, IN_REVIEW, ("extended", "reduced"), IN_REVIEW),
    Step(TAKE, PROPOSED, ("taken",), IN_REVIEW, "not_in_review"),
    Step(TAKE, IN_REVIEW, ("taken",), IN_REVIEW, "not_in_review"),
    *(
        step
        for waiting in WAITING
        for step in (
            Step(APPROVE, waiting, ("approved", "opened", "extended"), ACTIVE, "not_in_review"),
            Step(REJECT, waiting, ("rejected",), REJECTED, "not_in_review"),
            Step(RULE, waiting, ("expired",), EXPIRED),  # makes way for another, where a rule has too many
            Step(TIME, waiting, ("unreviewed",), UNREVIEWED),
            Step(TIME, waiting, ("unreviewed", "opened", "extended"), ACTIVE),
        )
    ),
    Step(BLOCK, NONE, ("opened",), ACTIVE),
    Step(BLOCK, ACTIVE, ("extended", "reduced"), ACTIVE),
    Step(RELEASE, ACTIVE, ("released",), RELEASED, "not_blocked"),
    Step(ALLOW, ACTIVE, ("released",), RELEASED),
    Step(SUSPEND, ACTIVE, ("suspended",), SUSPENDED, "not_blocked"),
    Step(TIME, ACTIVE, ("expired",), EXPIRED),
)
