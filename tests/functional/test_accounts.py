"""The whole walk with each of the sandbox's accounts: it ends as the account says."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from onboarding.states import Health, SharingTrouble, Stage
from tests.support.control import Control
from tests.support.people import People, Person
from tests.support.wait import wait_until

RIGHTS = "Organization Management Level 1"


@dataclass(frozen=True, kw_only=True)
class End:
    """Where the walk of an account ends when everything offered is ticked."""

    code: str
    heading: str
    sentence: str
    stage: Stage = Stage.CHOOSING_ORGANIZATIONS
    health: Health = Health.OK
    trouble: SharingTrouble | None = None
    shared: int = 0
    sees: int = 0
    at_leaf: int = 1


CONNECTED = End(
    code="connected",
    heading="Connected",
    sentence="Your John Deere data can now flow to Demo Co-op through Leaf.",
    stage=Stage.CONNECTED,
    shared=1,
    sees=1,
)
NO_ORGANIZATION = End(
    code="no_organizations",
    heading="John Deere shows us no organization for this account",
    sentence="Create one at operationscenter.deere.com, or accept the invitation",
    trouble=SharingTrouble.NO_ORGANIZATIONS,
)
NOTHING_CHOSEN = End(
    code="no_organization_chosen",
    heading="No organization is shared yet",
    sentence=RIGHTS,
    sees=1,
)
TERMS = End(
    code="terms_not_accepted",
    heading="John Deere has new terms for you",
    sentence="Only a person with Organization Management Level 2 can accept them.",
    trouble=SharingTrouble.TERMS_NOT_ACCEPTED,
)


def _connected(shared: int, sees: int | None = None) -> End:
    given = {**vars(CONNECTED), "shared": shared, "sees": sees or shared}
    return End(**given)


ENDS = {
    "one-farm": CONNECTED,
    "three-farms": _connected(3),
    "many-farms": _connected(23),
    "already-connected": _connected(1, sees=2),
    "no-organization": NO_ORGANIZATION,
    "staff-cannot-share": NOTHING_CHOSEN,
    "staff-sees-nothing": NO_ORGANIZATION,
    "staff-refused": End(
        code="permissions_too_low",
        heading="Your rights at John Deere are too low",
        sentence=RIGHTS,
        trouble=SharingTrouble.PERMISSIONS_TOO_LOW,
        sees=1,  # Leaf names it
    ),
    "partners-only": End(
        code="wrong_account",
        heading="Is this the right John Deere account?",
        sentence="Use the account that the farm itself signs in with.",
        sees=2,
    ),
    "terms-not-accepted": TERMS,
    "foreign-terms": TERMS,
    "fewer-scopes": CONNECTED,
    "no-refresh-token": End(
        code="no_refresh_token",
        heading="John Deere gave us no lasting access",
        sentence="The fault is on our side.",
        stage=Stage.FAILED,
        health=Health.UNKNOWN,
        at_leaf=0,
    ),
    "application-refused": End(
        code="application_refused",
        heading="John Deere did not accept our request",
        sentence="The fault is on our side, not on yours.",
        stage=Stage.INVITED,
        health=Health.UNKNOWN,
        at_leaf=0,
    ),
    "stage-full": NOTHING_CHOSEN,
    "slow-to-appear": CONNECTED,
    # John Deere names none, but Leaf finds one: nobody is told that there is none.
    "missing-values": End(
        code="choose_organizations",
        heading="Choose what to share",
        sentence="No data is shared until you do this.",
        trouble=SharingTrouble.ANSWER_UNKNOWN,  # staff are told all the same
        sees=1,
    ),
    "missing-permission": End(
        code="missing_permission",
        heading="A permission is missing",
        sentence="allow what is missing and press Save.",
        stage=Stage.CONNECTED,
        health=Health.MISSING_PERMISSION,
        shared=1,
        sees=1,
    ),
    "leaf-cannot-reach": End(
        code="temporarily_unavailable",
        heading="A pause at John Deere",
        sentence="You do not have to do anything",
        stage=Stage.CONNECTED,
        health=Health.TEMPORARILY_UNAVAILABLE,
        shared=1,
        sees=1,
    ),
    "dealer": NO_ORGANIZATION,
}


def test_every_account_of_the_sandbox_has_its_end_here(control: Control) -> None:
    assert {account["name"] for account in control.accounts()} == ENDS.keys()


@pytest.mark.parametrize("account", ENDS)
def test_walk_ends_on_the_page_that_says_what_happened(people: People, account: str) -> None:
    end, grower = ENDS[account], people.invited()
    grower.connect(account)
    if grower.page.find("Save"):  # refused there; the grower gives up
        grower.cancel()
    # The page may say so before Leaf has the token: the rows are compared once it has.
    wait_until(
        lambda: _standing(grower) == (end.stage, end.health, end.sees),
        what=f"{account} ends as {end.stage}, {end.health}, {end.sees} organizations",
    )
    grower.wait_for_code(end.code)
    assert grower.page.heading == end.heading
    assert end.sentence in grower.page.text
    row = grower.connection()
    assert row.sharing_trouble is end.trouble
    assert row.refresh_token is None
    assert len(grower.shared()) == end.shared
    if end.at_leaf:
        wait_until(lambda: _fetched(grower) == grower.shared(), what="Leaf fetches what is shared")
    assert [credential["live"] for credential in grower.at_leaf()] == [True] * end.at_leaf
    assert grower.at_leaf() == [] or grower.at_leaf()[0]["account"] == account


def test_what_leaf_gets_is_the_grant_and_the_environment(people: People) -> None:
    grower = people.invited(name="Harper Farm")
    grower.connect("already-connected")
    grower.wait_for_code("connected")
    (credential,) = grower.at_leaf()
    assert credential["clientKey"] == "sandbox-client"
    assert credential["clientEnvironment"] == "STAGE"
    assert credential["givenRefreshToken"] == credential["refreshToken"]
    assert credential["leafUserId"] == grower.connection().grower.leaf_user_id
    assert credential["id"] == grower.connection().leaf_credential_id


def _fetched(grower: Person) -> set[str]:
    return {name for name, choice in grower.fetched().items() if choice == "SELECTED"}


def _standing(grower: Person) -> tuple[Stage, Health, int]:
    row = grower.connection()
    return row.stage, row.health, len(row.organizations)
