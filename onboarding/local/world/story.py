"""The usual ways through the history: invited, started, connected, in trouble, repaired."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from onboarding.connections import history
from onboarding.local.world.life import Life
from onboarding.models import Link
from onboarding.states import Cause, Health, MailKind, MailState, Outcome, Stage, Urgency

FAILURES = {
    Outcome.EXPIRED: 34,
    Outcome.DENIED: 22,
    Outcome.CODE_REFUSED: 9,
    Outcome.DEERE_UNAVAILABLE: 11,
    Outcome.INTERRUPTED: 6,
}
"""What goes wrong on the way of those who come through in the end, and how often."""
DETAILS = {
    Outcome.DENIED: "access_denied: The resource owner or authorization server denied the request.",
    Outcome.APPLICATION_REFUSED: "access_denied: Policy evaluation failed for this request, "
    "please check the policy configurations.",
    Outcome.CODE_REFUSED: "John Deere, token: HTTP 400 invalid_grant",
    Outcome.DEERE_UNAVAILABLE: "John Deere, token: HTTP 503",
    Outcome.NO_REFRESH_TOKEN: "John Deere gave no refresh token: is the application allowed "
    "offline_access?",
}
ANSWERS = {
    Health.OK: (200, {"token_type": "Bearer", "expires_in": 43200, "access_token": "[redacted]"}),
    Health.UNAUTHENTICATED: (400, {"error": "invalid_grant"}),
    Health.MISSING_PERMISSION: (403, {"errors": [{"message": "Access Denied"}]}),
    Health.TEMPORARILY_UNAVAILABLE: (503, {"errors": [{"message": "Service Unavailable"}]}),
    Health.UNKNOWN: (402, {"errors": [{"message": "Subscription required"}]}),
}
REMIND_AFTER = timedelta(days=7)
REMINDERS = 3
FIRST_MAIL_AFTER = timedelta(hours=1)
CHECKS_OF_OLD = 9
PAUSES = ((71.3, 3.2), (38.6, 31.0), (12.4, 26.0))
"""When John Deere did not answer Leaf: so many days ago, for so many hours."""


def invite(life: Life) -> Link:
    """The partner brings the grower."""
    link = life.link(life.born)
    life.mail(life.born, MailKind.INVITATION, link=link)
    return link


def ask_for_another_link(life: Life, at: datetime) -> Link:
    """The old one has expired, and its page offered to mail a new one."""
    life.happens(at, "new_link_asked", history.GROWER)
    link = life.link(at)
    life.mail(at, MailKind.NEW_LINK, link=link)
    return link


def stumble(life: Life, at: datetime) -> datetime:
    """Some need several attempts. When the last of the failed ones was."""
    while life.chance.random() < 0.16:
        (outcome,) = life.chance.choices(list(FAILURES), list(FAILURES.values()))
        life.attempt(at, outcome, detail=DETAILS.get(outcome, ""))
        at = life.later(at, minutes=_pause(life, outcome))
    return at


def _pause(life: Life, outcome: Outcome) -> float:
    """Minutes until the next attempt: most try at once, some sleep on it."""
    if outcome is Outcome.EXPIRED:
        return life.chance.uniform(35, 600)
    return 3 + life.chance.expovariate(0.1) * (1 if life.chance.random() < 0.8 else 60)


def authorize(life: Life, at: datetime) -> datetime:
    """The grower consents, and the token arrives. When it did."""
    settings, connection = life.settings, life.connection
    attempt = life.attempt(at, Outcome.AUTHORIZED)
    received = attempt.ended_at or at
    connection.stage = Stage.HANDING_OVER
    connection.token_received_at = received
    connection.scopes_asked = list(settings.deere_scopes)
    connection.scopes_granted = sorted(settings.deere_scopes)
    connection.client_key = settings.deere_client_key
    connection.environment = settings.deere_environment
    connection.grower.leaf_user_id = str(life.key())
    life.happens(received, "token_received", history.GROWER)
    return received


def see_farms(life: Life, at: datetime, names: Sequence[str], *, shared: bool) -> None:
    """John Deere tells of the organizations; some of the own ones are shared, or none is."""
    connection, chance = life.connection, life.chance
    connection.organizations_seen_at = connection.leaf_listed_at = at
    rows = [life.organization(name) for name in names]
    if shared:
        chosen = [row for row in rows if row is rows[0] or chance.random() < 0.7]
        for row in chosen:
            row.connected = True
        named = [f"{row.name} ({row.deere_id})" for row in chosen]
        life.happens(at, "organization_shared", history.GROWER, organizations=named, more=0)
    life.attempts[-1].sent_to_choose_at = at - timedelta(minutes=1)


def hand_over(life: Life, at: datetime) -> datetime:
    """Leaf takes the token. When it did."""
    connection = life.connection
    taken = life.later(at, seconds=2)
    connection.stage = Stage.CHOOSING_ORGANIZATIONS
    connection.leaf_credential_id = str(life.key())
    connection.post_began_at = at
    connection.handed_over_at = taken
    connection.hand_over_try = 1
    connection.health, connection.health_text = Health.OK, Health.OK.value
    connection.health_since = taken
    connection.selection_owed = False
    life.happens(taken, "handed_over", status=Health.OK.value)
    life.answered(taken, *_answer(Health.OK))
    check(life)
    return taken


def connect(life: Life, at: datetime) -> datetime:
    """The whole way, with at least one organization shared. When it worked."""
    connection = life.connection
    received = authorize(life, stumble(life, at))
    taken = hand_over(life, received)
    see_farms(life, life.later(received, seconds=15), life.person.farms, shared=True)
    connection.stage = Stage.CONNECTED
    connection.connected_at = life.later(taken, seconds=25)
    _say(life, connection.connected_at)
    tell_connected(life, connection.connected_at)
    _let_data_arrive(life, taken)
    life.settled = connection.connected_at
    _live_on(life)
    return connection.connected_at


def tell_connected(life: Life, at: datetime) -> None:
    """The mail that says so."""
    connection = life.connection
    connection.connected_told_for = connection.handed_over_at
    life.mail(at, MailKind.CONNECTED, about=connection.handed_over_at)


def turn(life: Life, at: datetime, health: Health, *, text: str | None = None) -> None:
    """Leaf says something else of the credential."""
    connection = life.connection
    connection.health, connection.health_text = health, health.value if text is None else text
    connection.health_since = at
    connection.trouble_told_from = at
    _say(life, at)
    life.answered(at - timedelta(seconds=40), *_answer(health))


def repair(life: Life, at: datetime) -> None:
    """Leaf says OK again."""
    connection = life.connection
    since = connection.trouble_told_from or at
    connection.health, connection.health_text = Health.OK, Health.OK.value
    connection.health_since, connection.trouble_told_from = at, None
    _say(life, at)
    life.happens(at, "repaired", trouble_since=since.isoformat(timespec="seconds"))
    life.answered(at - timedelta(seconds=40), *_answer(Health.OK))


def reconnect(life: Life, at: datetime) -> None:
    """After a mail the grower consents once more."""
    life.mail(at - timedelta(hours=1), MailKind.ATTENTION, about=life.connection.trouble_told_from)
    life.link(at - timedelta(minutes=59))
    received = authorize(life, at)
    hand_over(life, received)
    life.connection.stage = Stage.CONNECTED
    repair(life, life.later(received, minutes=1))
    life.connection.connected_told_for = life.connection.handed_over_at


def let_grower_act(life: Life, since: datetime) -> None:
    """It is the grower's turn, and mails say so, once a week."""
    connection = life.connection
    connection.grower_acts_since = since
    due, number = since + FIRST_MAIL_AFTER, 1
    while number <= REMINDERS:
        sent = due < life.moment
        if sent:
            life.mail(due, MailKind.ATTENTION, number=number, about=since)
        else:
            owe_reminder(life, due, number)
            return
        due, number = due + REMIND_AFTER, number + 1


def owe_reminder(life: Life, due: datetime, number: int) -> None:
    """The next mail waits for its day."""
    life.mail(
        due,
        MailKind.ATTENTION,
        state=MailState.WAITING,
        number=number,
        about=life.connection.grower_acts_since,
    )


def check(life: Life) -> None:
    """It has been asked about within the last day, and will be within the next."""
    connection, chance = life.connection, life.chance
    since = connection.handed_over_at or life.moment
    ago = min(timedelta(days=1) * chance.random(), life.moment - since)
    connection.checked_at = connection.check_began_at = life.moment - ago
    connection.leaf_listed_at = connection.checked_at
    connection.check_due_at = life.moment + timedelta(hours=chance.uniform(0.2, 22))
    connection.check_urgency = Urgency.ROUTINE
    connection.checks = connection.check_number = CHECKS_OF_OLD
    connection.events_copied_at = life.moment - timedelta(days=chance.uniform(0, 6.5))
    connection.events_copied_as = connection.health


def wait(life: Life, cause: Cause, since: datetime, *, detail: str) -> None:
    """A hand-over or a disconnect is tried again and again."""
    connection, chance = life.connection, life.chance
    connection.cause, connection.detail = cause, detail
    connection.waiting_since = since
    connection.hand_over_try = chance.randrange(3, 40)
    # So late that the demo has some for hours: else they would all be done in a quarter of one.
    connection.hand_over_due_at = life.moment + timedelta(hours=chance.uniform(0.3, 12))
    what = "disconnect" if connection.stage is Stage.DISCONNECTING else "hand_over"
    life.happens(since, f"{what}_waits", detail=detail)


def _live_on(life: Life) -> None:
    """What most have seen by now: pauses of John Deere, and some a permission that ended."""
    chance = life.chance
    for days, hours in PAUSES:
        began = life.moment - timedelta(days=days)
        if began > life.settled and chance.random() < 0.4:
            turn(
                life,
                began + timedelta(minutes=chance.uniform(0, 25)),
                Health.TEMPORARILY_UNAVAILABLE,
            )
            life.settled = began + timedelta(hours=hours * chance.uniform(0.9, 1.3))
            repair(life, life.settled)
    since = life.settled + timedelta(days=chance.uniform(4, 40))
    if since + timedelta(days=9) < life.moment and chance.random() < 0.14:
        refused = chance.random() < 0.7
        turn(life, since, Health.UNAUTHENTICATED if refused else Health.MISSING_PERMISSION)
        life.settled = since + timedelta(hours=1.1) + timedelta(days=chance.expovariate(0.6))
        life.settled = min(life.settled, life.moment - timedelta(hours=2))
        if refused:
            reconnect(life, life.settled)
        else:
            repair(life, life.settled)


def _let_data_arrive(life: Life, taken: datetime) -> None:
    connection = life.connection
    arrived = taken + timedelta(hours=life.chance.uniform(0.5, 9))
    shared = [row for row in life.organizations if row.connected]
    if arrived > life.moment or not shared:
        return
    fields = {row.deere_id: life.chance.randrange(4, 160) for row in shared}
    life.account["fields"] = fields
    connection.fields_arrived = sum(fields.values())
    connection.farms_arrived = connection.growers_arrived = len(shared)
    read = timedelta(days=7) * life.chance.random()
    connection.arrivals_read_at = max(arrived, life.moment - read)
    life.happens(
        arrived,
        "data_arrived",
        growers=connection.growers_arrived,
        farms=connection.farms_arrived,
        fields=connection.fields_arrived,
    )


def _say(life: Life, at: datetime) -> None:
    connection = life.connection
    said = {"health": connection.health.value, "text": connection.health_text}
    life.happens(at, "status_changed", stage=connection.stage.value, **said)


def _answer(health: Health) -> tuple[int, str]:
    status, body = ANSWERS[health]
    return status, json.dumps(body)
