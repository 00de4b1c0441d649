"""Growers of the demo world whose permission Leaf has taken: choosing, connected, in trouble.

The functions are as those of `to_leaf`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from onboarding.connections import history
from onboarding.local.world import story, to_leaf
from onboarding.local.world.life import Life
from onboarding.states import Cause, Health, MailKind, SharingTrouble, Stage, Urgency

OF_LATE = timedelta(minutes=40)
"""When the incidents of the present began."""
SEEN_THROUGH_A_PARTNERSHIP = ("Nelson Agronomy Client A", "Nelson Agronomy Client B")
LISTED = "John Deere, organizations: HTTP "


def choosing(life: Life, names: tuple[str, ...] | None = None, **fields: bool) -> datetime:
    """At Leaf, and nothing is shared."""
    received = story.authorize(life, story.stumble(life, to_leaf.began(life)))
    taken = story.hand_over(life, received)
    seen = life.later(received, seconds=30)
    story.see_farms(life, seen, life.person.farms if names is None else names, shared=False)
    for row in life.organizations:
        row.member = fields.get("member", True)
    story.let_grower_act(life, taken)
    return seen


def not_sent_yet(life: Life) -> None:
    choosing(life)
    life.attempts[-1].sent_to_choose_at = None


def nothing_chosen(life: Life) -> None:
    choosing(life)


def wrong_account(life: Life) -> None:
    choosing(life, SEEN_THROUGH_A_PARTNERSHIP, member=False)


def sharing(trouble: SharingTrouble, status: str, **account: object) -> Callable[[Life], None]:
    """John Deere did not tell of the organizations."""

    def make(life: Life) -> None:
        seen = choosing(life, ())
        connection = life.connection
        connection.sharing_trouble, connection.sharing_trouble_at = trouble, seen
        is_answer = trouble is SharingTrouble.NO_ORGANIZATIONS
        connection.organizations_seen_at = seen if is_answer else None
        life.account |= account
        if not is_answer:
            connection.sharing_detail = LISTED + status
            life.happens(seen, "organizations_not_read", detail=LISTED + status)
        if trouble is SharingTrouble.TERMS_NOT_ACCEPTED:
            connection.terms_url = "https://operationscenter.deere.com/terms"
        if trouble in {SharingTrouble.APPLICATION_REFUSED, SharingTrouble.ANSWER_UNKNOWN}:
            connection.grower_acts_since = None
            life.mails = [mail for mail in life.mails if mail.kind is not MailKind.ATTENTION]

    return make


def choice_unseen(life: Life) -> None:
    choosing(life)
    life.connection.returned_at = life.moment - timedelta(minutes=2)
    life.connection.check_due_at = life.moment + timedelta(hours=life.chance.uniform(1, 9))


def after(change: Callable[[Life], None]) -> Callable[[Life], None]:
    """Connected, and then something happened."""

    def make(life: Life) -> None:
        to_leaf.connected(life)
        change(life)

    return make


def checking(life: Life) -> None:
    story.invite(life)
    story.connect(life, life.moment - timedelta(minutes=6))
    connection = life.connection
    connection.health, connection.health_text = Health.UNKNOWN, ""
    connection.check_due_at = life.moment + timedelta(hours=life.chance.uniform(0.3, 3))


def unconfirmed(life: Life) -> None:
    ago = timedelta(hours=life.chance.uniform(49, 80))
    life.connection.checked_at = life.moment - ago
    life.connection.failed_checks = life.chance.randrange(20, 60)
    life.connection.detail = "Leaf, organizations: HTTP 504"
    life.connection.check_due_at = life.moment + timedelta(hours=life.chance.uniform(0.3, 9))


def nothing_fetched(life: Life) -> None:
    life.connection.cause, life.connection.selection_owed = Cause.NOTHING_FETCHED, True
    life.connection.fields_arrived = None
    life.account["choice"] = "PREVIEW"
    life.connection.check_due_at = life.moment + timedelta(hours=life.chance.uniform(1, 20))


def fewer_scopes(life: Life) -> None:
    missing = ("ag3", "files")
    connection = life.connection
    connection.scopes_granted = [one for one in connection.scopes_granted if one not in missing]
    life.account["withheld_scopes"] = missing
    at = connection.token_received_at or life.moment
    life.happens(at, "scopes_missing", scopes=list(missing))


def turned(
    health: Health, *, hours: float, text: str | None = None, **account: object
) -> Callable[[Life], None]:
    def make(life: Life) -> None:
        at = to_leaf.lately(life, hours=hours)
        story.turn(life, at, health, text=text)
        if health in {Health.UNAUTHENTICATED, Health.MISSING_PERMISSION}:
            story.let_grower_act(life, at)
        life.account |= account
        life.connection.events_copied_as = health

    return make


def credential_missing(life: Life) -> None:
    at = to_leaf.lately(life, hours=300)
    story.turn(life, at, Health.UNKNOWN, text="")
    life.connection.cause = Cause.CREDENTIAL_MISSING
    life.account["credential"] = None
    story.let_grower_act(life, at)


def paused_just_now(life: Life) -> None:
    story.turn(life, life.moment - timedelta(minutes=4), Health.TEMPORARILY_UNAVAILABLE)
    life.connection.trouble_told_from = life.moment + timedelta(minutes=11)
    life.connection.check_due_at = life.moment + timedelta(minutes=life.chance.uniform(9, 25))


def with_many(health: Health, **account: object) -> Callable[[Life], None]:
    """Within an incident of the present: it lasts as long as Leaf is asked about them often."""

    def make(life: Life) -> None:
        at = life.moment - OF_LATE + timedelta(minutes=life.chance.uniform(0, 8))
        story.turn(life, at, health)
        connection, chance = life.connection, life.chance
        connection.checked_at = life.moment - timedelta(minutes=chance.uniform(0.2, 9))
        connection.check_due_at = life.moment + timedelta(minutes=chance.uniform(3, 14))
        connection.check_urgency, connection.checks = Urgency.CHANGED, 4
        life.account |= account

    return make


def ending(life: Life) -> datetime:
    asked = life.moment - timedelta(seconds=4)
    life.happens(asked, "disconnect_asked", history.GROWER, reason="")
    life.connection.stage = Stage.DISCONNECTING
    life.connection.check_due_at = None
    life.connection.hand_over_due_at = life.moment + timedelta(seconds=30)
    return asked


def disconnecting(life: Life) -> None:
    ending(life)


def held_up(cause: Cause, detail: str) -> Callable[[Life], None]:
    def make(life: Life) -> None:
        ending(life)
        since = life.moment - timedelta(hours=life.chance.uniform(1, 40))
        story.wait(life, cause, since, detail=detail)

    return make


def disconnected(life: Life) -> None:
    connection, chance = life.connection, life.chance
    who = history.GROWER if chance.random() < 0.7 else history.STAFF
    reason = "" if who == history.GROWER else "asked by phone"
    at = to_leaf.lately(life, hours=24 * 60)
    life.happens(at, "disconnect_asked", who, reason=reason)
    life.happens(at + timedelta(seconds=3), "disconnected")
    connection.checked_at = at
    connection.stage, connection.health = Stage.DISCONNECTED, Health.UNKNOWN
    connection.health_text, connection.health_since = "", None
    connection.leaf_credential_id = connection.check_due_at = None
    life.organizations.clear()
    life.account |= {"credential": None, "revoked": True}
