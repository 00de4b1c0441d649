"""Where the growers of the demo world stand today: each code of `describe`, and how many have it.

Each function makes the rows as the product would have left them, and says what the simulated
John Deere and Leaf have to hold so that they agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from onboarding.connections import history
from onboarding.local.world import story
from onboarding.local.world.life import Life
from onboarding.states import Cause, Health, MailKind, Outcome, SharingTrouble, Stage, Urgency

OF_LATE = timedelta(minutes=40)
"""When the incidents of the present began."""
SEEN_THROUGH_A_PARTNERSHIP = ("Nelson Agronomy Client A", "Nelson Agronomy Client B")
REFUSED = "Leaf, hand over the credentials: HTTP 400 The refresh token could not be validated"
WRONG_ENVIRONMENT = (
    "Leaf, hand over the credentials: HTTP 400 clientEnvironment does not match the application"
)
LEAF_DOWN = "Leaf, hand over the credentials: HTTP 503"
LISTED = "John Deere, organizations: HTTP "


@dataclass(frozen=True)
class Standing:
    """A place in the world.

    :ivar code: what `describe` says of those who are there
    :ivar number: of 2,000
    :ivar make: brings a new grower there
    :ivar ages: how many days ago they were brought, from and to
    """

    code: str
    number: int
    make: Callable[[Life], None]
    ages: tuple[float, float] = (3, 90)


def _began(life: Life, *, least: float = 0.02, most: float = 3.0) -> datetime:
    """When the grower opened the link and pressed the button: often at once, sometimes later."""
    story.invite(life)
    pause = min(most, least + life.chance.expovariate(1.2))
    at = life.born + timedelta(days=pause)
    return min(at, life.moment - timedelta(minutes=30))


def _lately(life: Life, *, hours: float) -> datetime:
    """A moment within the last hours, and after it was connected."""
    ago = min(timedelta(hours=hours), life.moment - life.settled) * life.chance.uniform(0.05, 0.9)
    return life.moment - ago


def _connected(life: Life) -> None:
    story.connect(life, _began(life))


def _not_begun(life: Life) -> None:
    """Some have looked at the page, some have not even done that."""
    story.invite(life)
    looked = life.born + timedelta(days=life.chance.expovariate(1))
    if life.chance.random() < 0.4 and looked < life.moment:
        life.opened_at = looked


def _sent_again(life: Life) -> None:
    """The first link has expired, and staff or the page made another one."""
    _not_begun(life)
    again = life.born + timedelta(days=15 + 10 * life.chance.random())
    if again < life.moment:
        story.ask_for_another_link(life, again)


def _ended(outcome: Outcome, *, times: int = 1) -> Callable[[Life], None]:
    def make(life: Life) -> None:
        at = _began(life)
        for _ in range(times):
            life.attempt(at, outcome, detail=story.DETAILS.get(outcome, ""))
            at = life.later(at, minutes=31)

    return make


def _no_refresh_token(life: Life) -> None:
    detail = story.DETAILS[Outcome.NO_REFRESH_TOKEN]
    life.attempt(_began(life), Outcome.NO_REFRESH_TOKEN, detail=detail)
    life.connection.stage, life.connection.cause = Stage.FAILED, Cause.NO_REFRESH_TOKEN
    life.connection.detail = detail


def _at_deere(life: Life) -> None:
    story.invite(life)
    life.attempt(life.moment - timedelta(minutes=life.chance.uniform(2, 20)), None)
    life.connection.stage, life.connection.stage_before = Stage.AUTHORIZING, Stage.INVITED


def _finishing(life: Life) -> None:
    story.invite(life)
    used = life.moment - timedelta(seconds=1)
    life.attempt(life.moment - timedelta(minutes=2), None, used_at=used)
    life.connection.stage, life.connection.stage_before = Stage.AUTHORIZING, Stage.INVITED


def _handing_over(life: Life, received: timedelta = timedelta(seconds=2)) -> datetime:
    story.invite(life)
    at = story.authorize(life, life.moment - received - timedelta(minutes=3))
    story.see_farms(life, at, life.person.farms, shared=True)
    life.connection.token_received_at = life.moment - received
    life.account["is_waiting"] = True
    life.connection.hand_over_due_at = life.moment + timedelta(seconds=20)
    return at


def _on_its_way(life: Life) -> None:
    _handing_over(life)


def _late(life: Life) -> None:
    _handing_over(life, timedelta(seconds=life.chance.uniform(40, 90)))


def _waiting(cause: Cause, detail: str) -> Callable[[Life], None]:
    def make(life: Life) -> None:
        _handing_over(life, timedelta(hours=life.chance.uniform(1, 30)))
        since = (life.connection.token_received_at or life.moment) + timedelta(seconds=9)
        story.wait(life, cause, since, detail=detail)
        life.account["is_unreadable"] = cause is Cause.TOKEN_UNREADABLE

    return make


def _failed(cause: Cause, detail: str, **account: object) -> Callable[[Life], None]:
    def make(life: Life) -> None:
        at = story.authorize(life, story.stumble(life, _began(life)))
        story.see_farms(life, at, life.person.farms, shared=True)
        connection = life.connection
        connection.stage, connection.cause, connection.detail = Stage.FAILED, cause, detail
        connection.post_began_at = at
        connection.hand_over_try = 1
        life.account |= account | {"is_waiting": True}
        if cause is Cause.APPLICATION_CHANGED:
            connection.client_key = "sandbox-client-of-2025"
        happened = at + (timedelta(days=30) if cause is Cause.GIVEN_UP else timedelta(seconds=4))
        said = {"cause": cause.value, "detail": detail}
        life.happens(min(happened, life.moment), "hand_over_failed", **said)

    return make


def _choosing(life: Life, names: tuple[str, ...] | None = None, **fields: bool) -> datetime:
    """At Leaf, and nothing is shared."""
    received = story.authorize(life, story.stumble(life, _began(life)))
    taken = story.hand_over(life, received)
    seen = life.later(received, seconds=30)
    story.see_farms(life, seen, life.person.farms if names is None else names, shared=False)
    for row in life.organizations:
        row.member = fields.get("member", True)
    story.let_grower_act(life, taken)
    return seen


def _not_sent_yet(life: Life) -> None:
    _choosing(life)
    life.attempts[-1].sent_to_choose_at = None


def _nothing_chosen(life: Life) -> None:
    _choosing(life)


def _wrong_account(life: Life) -> None:
    _choosing(life, SEEN_THROUGH_A_PARTNERSHIP, member=False)


def _sharing(trouble: SharingTrouble, status: str, **account: object) -> Callable[[Life], None]:
    """John Deere did not tell of the organizations."""

    def make(life: Life) -> None:
        seen = _choosing(life, ())
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


def _choice_unseen(life: Life) -> None:
    _choosing(life)
    life.connection.returned_at = life.moment - timedelta(minutes=2)
    life.connection.check_due_at = life.moment + timedelta(hours=life.chance.uniform(1, 9))


def _with(change: Callable[[Life], None]) -> Callable[[Life], None]:
    """Connected, and then something happened."""

    def make(life: Life) -> None:
        _connected(life)
        change(life)

    return make


def _checking(life: Life) -> None:
    story.invite(life)
    story.connect(life, life.moment - timedelta(minutes=6))
    connection = life.connection
    connection.health, connection.health_text = Health.UNKNOWN, ""
    connection.check_due_at = life.moment + timedelta(hours=life.chance.uniform(0.3, 3))


def _unconfirmed(life: Life) -> None:
    ago = timedelta(hours=life.chance.uniform(49, 80))
    life.connection.checked_at = life.moment - ago
    life.connection.failed_checks = life.chance.randrange(20, 60)
    life.connection.detail = "Leaf, organizations: HTTP 504"
    life.connection.check_due_at = life.moment + timedelta(hours=life.chance.uniform(0.3, 9))


def _nothing_fetched(life: Life) -> None:
    life.connection.cause, life.connection.selection_owed = Cause.NOTHING_FETCHED, True
    life.connection.fields_arrived = None
    life.account["choice"] = "PREVIEW"
    life.connection.check_due_at = life.moment + timedelta(hours=life.chance.uniform(1, 20))


def _fewer_scopes(life: Life) -> None:
    missing = ("ag3", "files")
    connection = life.connection
    connection.scopes_granted = [one for one in connection.scopes_granted if one not in missing]
    life.account["withheld_scopes"] = missing
    at = connection.token_received_at or life.moment
    life.happens(at, "scopes_missing", scopes=list(missing))


def _turned(
    health: Health, *, hours: float, text: str | None = None, **account: object
) -> Callable[[Life], None]:
    def make(life: Life) -> None:
        at = _lately(life, hours=hours)
        story.turn(life, at, health, text=text)
        if health in {Health.UNAUTHENTICATED, Health.MISSING_PERMISSION}:
            story.let_grower_act(life, at)
        life.account |= account
        life.connection.events_copied_as = health

    return make


def _credential_missing(life: Life) -> None:
    at = _lately(life, hours=300)
    story.turn(life, at, Health.UNKNOWN, text="")
    life.connection.cause = Cause.CREDENTIAL_MISSING
    life.account["credential"] = None
    story.let_grower_act(life, at)


def _paused_just_now(life: Life) -> None:
    story.turn(life, life.moment - timedelta(minutes=4), Health.TEMPORARILY_UNAVAILABLE)
    life.connection.trouble_told_from = life.moment + timedelta(minutes=11)
    life.connection.check_due_at = life.moment + timedelta(minutes=life.chance.uniform(9, 25))


def _with_many(health: Health, **account: object) -> Callable[[Life], None]:
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


def _ending(life: Life) -> datetime:
    asked = life.moment - timedelta(seconds=4)
    life.happens(asked, "disconnect_asked", history.GROWER, reason="")
    life.connection.stage = Stage.DISCONNECTING
    life.connection.check_due_at = None
    life.connection.hand_over_due_at = life.moment + timedelta(seconds=30)
    return asked


def _disconnecting(life: Life) -> None:
    _ending(life)


def _held_up(cause: Cause, detail: str) -> Callable[[Life], None]:
    def make(life: Life) -> None:
        _ending(life)
        since = life.moment - timedelta(hours=life.chance.uniform(1, 40))
        story.wait(life, cause, since, detail=detail)

    return make


def _disconnected(life: Life) -> None:
    connection, chance = life.connection, life.chance
    who = history.GROWER if chance.random() < 0.7 else history.STAFF
    reason = "" if who == history.GROWER else "asked by phone"
    at = _lately(life, hours=24 * 60)
    life.happens(at, "disconnect_asked", who, reason=reason)
    life.happens(at + timedelta(seconds=3), "disconnected")
    connection.checked_at = at
    connection.stage, connection.health = Stage.DISCONNECTED, Health.UNKNOWN
    connection.health_text, connection.health_since = "", None
    connection.leaf_credential_id = connection.check_due_at = None
    life.organizations.clear()
    life.account |= {"credential": None, "revoked": True}


STANDINGS = (
    Standing("connected", 1216, _connected),
    Standing("connected", 18, _with(_fewer_scopes)),
    Standing("connected", 4, _with(_paused_just_now)),
    Standing("invited", 150, _not_begun, (0.05, 30)),
    Standing("invited", 70, _sent_again, (16, 80)),
    Standing("denied", 16, _ended(Outcome.DENIED), (1, 60)),
    Standing("took_too_long", 40, _ended(Outcome.EXPIRED), (1, 80)),
    Standing("interrupted", 5, _ended(Outcome.INTERRUPTED), (1, 60)),
    Standing("code_refused", 8, _ended(Outcome.CODE_REFUSED, times=2), (1, 60)),
    Standing("deere_unavailable", 9, _ended(Outcome.DEERE_UNAVAILABLE), (1, 60)),
    Standing("application_refused", 7, _ended(Outcome.APPLICATION_REFUSED), (1, 30)),
    Standing("no_refresh_token", 4, _no_refresh_token, (2, 20)),
    Standing("authorizing", 6, _at_deere, (0.1, 6)),
    Standing("finishing", 3, _finishing, (0.1, 3)),
    Standing("handing_over", 4, _on_its_way, (0.1, 3)),
    Standing("handing_over_late", 3, _late, (0.1, 3)),
    Standing("waiting_for_leaf", 11, _waiting(Cause.LEAF_UNAVAILABLE, LEAF_DOWN), (2, 9)),
    Standing(
        "waiting_for_staff",
        5,
        _waiting(Cause.TOKEN_UNREADABLE, "no key in ENCRYPTION_KEYS can read it"),
        (2, 9),
    ),
    Standing("failed", 8, _failed(Cause.LEAF_REFUSED, REFUSED), (2, 25)),
    Standing("failed", 4, _failed(Cause.ENVIRONMENT_MISMATCH, WRONG_ENVIRONMENT), (2, 25)),
    Standing("failed", 3, _failed(Cause.APPLICATION_CHANGED, ""), (20, 40)),
    Standing(
        "failed",
        4,
        _failed(Cause.LEAF_USER_MISSING, "Leaf, find the user: HTTP 404", leaf_user=None),
        (3, 30),
    ),
    Standing("failed", 3, _failed(Cause.GIVEN_UP, LEAF_DOWN), (40, 80)),
    Standing("choose_organizations", 34, _not_sent_yet, (0.5, 40)),
    Standing("no_organization_chosen", 28, _nothing_chosen, (0.5, 60)),
    Standing("wrong_account", 13, _wrong_account, (1, 60)),
    Standing("no_organizations", 15, _sharing(SharingTrouble.NO_ORGANIZATIONS, ""), (1, 60)),
    Standing(
        "terms_not_accepted",
        12,
        _sharing(
            SharingTrouble.TERMS_NOT_ACCEPTED,
            "403 Required Customer Action",
            terms_url="https://operationscenter.deere.com/terms",
        ),
        (1, 50),
    ),
    Standing(
        "permissions_too_low",
        11,
        _sharing(SharingTrouble.PERMISSIONS_TOO_LOW, "403 Access Denied"),
        (1, 60),
    ),
    Standing(
        "organizations_refused",
        4,
        _sharing(SharingTrouble.APPLICATION_REFUSED, "403 Insufficient scope"),
        (1, 20),
    ),
    Standing(
        "organizations_unknown",
        4,
        _sharing(SharingTrouble.ANSWER_UNKNOWN, "200 without organizations"),
        (1, 20),
    ),
    Standing(
        "organizations_unavailable", 4, _sharing(SharingTrouble.DEERE_UNAVAILABLE, "503"), (0.1, 2)
    ),
    Standing("choice_unseen", 4, _choice_unseen, (0.5, 5)),
    Standing("checking", 6, _checking, (0.1, 3)),
    Standing("unconfirmed", 9, _with(_unconfirmed), (10, 90)),
    Standing("nothing_fetched", 7, _with(_nothing_fetched), (3, 60)),
    Standing(
        "missing_permission",
        46,
        _with(_turned(Health.MISSING_PERMISSION, hours=600, permitted=False)),
        (8, 90),
    ),
    Standing(
        "temporarily_unavailable",
        19,
        _with(
            _turned(
                Health.TEMPORARILY_UNAVAILABLE,
                hours=30,
                leaf_status=Health.TEMPORARILY_UNAVAILABLE.value,
            )
        ),
        (8, 90),
    ),
    Standing(
        "unknown_health",
        5,
        _with(_turned(Health.UNKNOWN, hours=90, text="SUSPENDED", forced="SUSPENDED")),
        (8, 90),
    ),
    Standing(
        "reconnect",
        84,
        _with(_turned(Health.UNAUTHENTICATED, hours=700, revoked=True)),
        (10, 90),
    ),
    Standing("credential_missing", 8, _with(_credential_missing), (10, 90)),
    Standing(
        "refused_with_many",
        8,
        _with(_with_many(Health.UNAUTHENTICATED, revoked=True)),
        (10, 90),
    ),
    Standing(
        "limited_with_many",
        6,
        _with(_with_many(Health.MISSING_PERMISSION, permitted=False)),
        (10, 90),
    ),
    Standing("disconnecting", 4, _with(_disconnecting), (10, 90)),
    Standing(
        "disconnecting_late",
        4,
        _with(_held_up(Cause.LEAF_UNAVAILABLE, "Leaf, delete the credentials: HTTP 503")),
        (10, 90),
    ),
    Standing(
        "disconnecting_held_up",
        3,
        _with(_held_up(Cause.DELETE_REFUSED, "Leaf, delete the credentials: HTTP 403")),
        (10, 90),
    ),
    Standing("disconnected", 61, _with(_disconnected), (15, 90)),
)
GROWERS = sum(standing.number for standing in STANDINGS)
