"""Where the growers of the demo world stand today: all codes of `describe`, and how many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onboarding.local.world import at_leaf, to_leaf
from onboarding.local.world.life import Life
from onboarding.states import Cause, Health, Outcome, SharingTrouble

REFUSED = "Leaf, hand over the credentials: HTTP 400 The refresh token could not be validated"
WRONG_ENVIRONMENT = (
    "Leaf, hand over the credentials: HTTP 400 clientEnvironment does not match the application"
)
LEAF_DOWN = "Leaf, hand over the credentials: HTTP 503"


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


STANDINGS = (
    Standing("connected", 1216, to_leaf.connected),
    Standing("connected", 18, at_leaf.after(at_leaf.fewer_scopes)),
    Standing("connected", 4, at_leaf.after(at_leaf.paused_just_now)),
    Standing("invited", 150, to_leaf.not_begun, (0.05, 30)),
    Standing("invited", 70, to_leaf.sent_again, (16, 80)),
    Standing("denied", 16, to_leaf.ended(Outcome.DENIED), (1, 60)),
    Standing("took_too_long", 40, to_leaf.ended(Outcome.EXPIRED), (1, 80)),
    Standing("interrupted", 5, to_leaf.ended(Outcome.INTERRUPTED), (1, 60)),
    Standing("code_refused", 8, to_leaf.ended(Outcome.CODE_REFUSED, times=2), (1, 60)),
    Standing("deere_unavailable", 9, to_leaf.ended(Outcome.DEERE_UNAVAILABLE), (1, 60)),
    Standing("application_refused", 7, to_leaf.ended(Outcome.APPLICATION_REFUSED), (1, 30)),
    Standing("no_refresh_token", 4, to_leaf.no_refresh_token, (2, 20)),
    Standing("authorizing", 6, to_leaf.at_deere, (0.1, 6)),
    Standing("finishing", 3, to_leaf.finishing, (0.1, 3)),
    Standing("handing_over", 4, to_leaf.on_its_way, (0.1, 3)),
    Standing("handing_over_late", 3, to_leaf.late, (0.1, 3)),
    Standing("waiting_for_leaf", 11, to_leaf.waiting(Cause.LEAF_UNAVAILABLE, LEAF_DOWN), (2, 9)),
    Standing(
        "waiting_for_staff",
        5,
        to_leaf.waiting(Cause.TOKEN_UNREADABLE, "no key in ENCRYPTION_KEYS can read it"),
        (2, 9),
    ),
    Standing("failed", 8, to_leaf.failed(Cause.LEAF_REFUSED, REFUSED), (2, 25)),
    Standing("failed", 4, to_leaf.failed(Cause.ENVIRONMENT_MISMATCH, WRONG_ENVIRONMENT), (2, 25)),
    Standing("failed", 3, to_leaf.failed(Cause.APPLICATION_CHANGED, ""), (20, 40)),
    Standing(
        "failed",
        4,
        to_leaf.failed(Cause.LEAF_USER_MISSING, "Leaf, find the user: HTTP 404", leaf_user=None),
        (3, 30),
    ),
    Standing("failed", 3, to_leaf.failed(Cause.GIVEN_UP, LEAF_DOWN), (40, 80)),
    Standing("choose_organizations", 34, at_leaf.not_sent_yet, (0.5, 40)),
    Standing("no_organization_chosen", 28, at_leaf.nothing_chosen, (0.5, 60)),
    Standing("wrong_account", 13, at_leaf.wrong_account, (1, 60)),
    Standing("no_organizations", 15, at_leaf.sharing(SharingTrouble.NO_ORGANIZATIONS, ""), (1, 60)),
    Standing(
        "terms_not_accepted",
        12,
        at_leaf.sharing(
            SharingTrouble.TERMS_NOT_ACCEPTED,
            "403 Required Customer Action",
            terms_url="https://operationscenter.deere.com/terms",
        ),
        (1, 50),
    ),
    Standing(
        "permissions_too_low",
        11,
        at_leaf.sharing(SharingTrouble.PERMISSIONS_TOO_LOW, "403 Access Denied"),
        (1, 60),
    ),
    Standing(
        "organizations_refused",
        4,
        at_leaf.sharing(SharingTrouble.APPLICATION_REFUSED, "403 Insufficient scope"),
        (1, 20),
    ),
    Standing(
        "organizations_unknown",
        4,
        at_leaf.sharing(SharingTrouble.ANSWER_UNKNOWN, "200 without organizations"),
        (1, 20),
    ),
    Standing(
        "organizations_unavailable",
        4,
        at_leaf.sharing(SharingTrouble.DEERE_UNAVAILABLE, "503"),
        (0.1, 2),
    ),
    Standing("choice_unseen", 4, at_leaf.choice_unseen, (0.5, 5)),
    Standing("checking", 6, at_leaf.checking, (0.1, 3)),
    Standing("unconfirmed", 9, at_leaf.after(at_leaf.unconfirmed), (10, 90)),
    Standing("nothing_fetched", 7, at_leaf.after(at_leaf.nothing_fetched), (3, 60)),
    Standing(
        "missing_permission",
        46,
        at_leaf.after(at_leaf.turned(Health.MISSING_PERMISSION, hours=600, permitted=False)),
        (8, 90),
    ),
    Standing(
        "temporarily_unavailable",
        19,
        at_leaf.after(
            at_leaf.turned(
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
        at_leaf.after(
            at_leaf.turned(Health.UNKNOWN, hours=90, text="SUSPENDED", forced="SUSPENDED")
        ),
        (8, 90),
    ),
    Standing(
        "reconnect",
        84,
        at_leaf.after(at_leaf.turned(Health.UNAUTHENTICATED, hours=700, revoked=True)),
        (10, 90),
    ),
    Standing("credential_missing", 8, at_leaf.after(at_leaf.credential_missing), (10, 90)),
    Standing(
        "refused_with_many",
        8,
        at_leaf.after(at_leaf.with_many(Health.UNAUTHENTICATED, revoked=True)),
        (10, 90),
    ),
    Standing(
        "limited_with_many",
        6,
        at_leaf.after(at_leaf.with_many(Health.MISSING_PERMISSION, permitted=False)),
        (10, 90),
    ),
    Standing("disconnecting", 4, at_leaf.after(at_leaf.disconnecting), (10, 90)),
    Standing(
        "disconnecting_late",
        4,
        at_leaf.after(
            at_leaf.held_up(Cause.LEAF_UNAVAILABLE, "Leaf, delete the credentials: HTTP 503")
        ),
        (10, 90),
    ),
    Standing(
        "disconnecting_held_up",
        3,
        at_leaf.after(
            at_leaf.held_up(Cause.DELETE_REFUSED, "Leaf, delete the credentials: HTTP 403")
        ),
        (10, 90),
    ),
    Standing("disconnected", 61, at_leaf.after(at_leaf.disconnected), (15, 90)),
)
