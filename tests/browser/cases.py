"""Every page that a grower can meet: its name, its heading, and how to come to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import requests
from playwright.sync_api import Page

from onboarding.models import Organization
from onboarding.states import Cause, Health, IncidentKind, Outcome, SharingTrouble, Stage
from tests.browser.scenes import COLOURED, Scenes, ago

Opening = Callable[[Page], None]
"""Brings the page on a browser's screen."""
FLOOD = 400
FLOODER = "198.51.100.7"
LOOKED_AT_MINUTES = 10
"""So long a page stays as it is that would else change within a minute."""


@dataclass(frozen=True)
class Case:
    """A page. `status` is that of its answer; `make` prepares what is needed to open it."""

    name: str
    heading: str
    make: Callable[[Scenes], Opening | str]
    status: int = 200

    def opening(self, scenes: Scenes) -> Opening:
        """Prepare the situation."""
        made = self.make(scenes)
        return _at(made) if isinstance(made, str) else made


def _at(url: str) -> Opening:
    def go(page: Page) -> None:
        page.goto(url)

    return go


def _denied(scenes: Scenes) -> str:
    person = scenes.person()
    person.open()
    person.start()
    person.sign_in("one-farm")
    person.cancel()
    return person.link


def _deere_down(scenes: Scenes) -> str:
    scenes.stack.control.add_fault("deere.token", "status", status=503)
    person = scenes.person()
    person.authorize("one-farm")
    return person.link


def _finishing(scenes: Scenes) -> str:
    link = scenes.started()
    with scenes.attempt(link) as attempt:
        attempt.used_at = ago(minutes=-LOOKED_AT_MINUTES)
    return link


def _took_too_long(scenes: Scenes) -> str:
    link = scenes.started()
    with scenes.attempt(link) as attempt:
        attempt.created_at = ago(minutes=31)
    return link


def _on_its_way(scenes: Scenes, **fields: Any) -> str:
    """The link of a grower whose token is on its way to Leaf, and stays on it.

    :param fields: of the connection, to be set
    """
    scenes.stack.control.add_fault("leaf.credentials.create", "hang", seconds=60)
    link = scenes.walked("one-farm", settled=False)
    with scenes.connection(link) as connection:
        connection.hand_over_try += 1  # the try that has begun counts no more,
        connection.hand_over_due_at = None  # and no sweep begins another
        for name, value in fields.items():
            setattr(connection, name, value)
    return link


def _handing_over(scenes: Scenes) -> str:
    return _on_its_way(scenes, token_received_at=ago(minutes=-LOOKED_AT_MINUTES))


def _waiting_for_leaf(scenes: Scenes) -> str:
    scenes.stack.control.add_fault("leaf.credentials.create", "status", status=503)
    link = scenes.walked("one-farm", settled=False)
    scenes.wait_for(link, lambda row: row.waiting_since, what="Leaf has refused once")
    with scenes.connection(link) as connection:
        connection.waiting_since = ago(minutes=12)
    return link


def _waiting_for_worker(scenes: Scenes) -> str:
    return _on_its_way(scenes, token_received_at=ago(minutes=2))


def _waiting_for_staff(scenes: Scenes) -> str:
    return _on_its_way(scenes, cause=Cause.LEAF_SIGN_IN_REFUSED)


def _refused_by_leaf(scenes: Scenes) -> str:
    scenes.stack.control.add_fault("leaf.credentials.create", "status", status=400)
    return scenes.walked("one-farm")


def _opened_in_an_incident(scenes: Scenes, **fields: Any) -> Opening:
    link = scenes.at_leaf(**fields)

    def go(page: Page) -> None:
        # Leaf's: one at John Deere the sweep would find over at once.
        with scenes.leaf_down():
            page.goto(link)

    return go


def _in_an_incident(scenes: Scenes) -> Opening:
    return _opened_in_an_incident(scenes)


def _withdrawn_in_an_incident(scenes: Scenes) -> Opening:
    return _opened_in_an_incident(scenes, health=Health.UNAUTHENTICATED)


def _token_unreadable(scenes: Scenes) -> str:
    return _on_its_way(scenes, cause=Cause.TOKEN_UNREADABLE)


def _failed(cause: Cause) -> Callable[[Scenes], str]:
    return lambda scenes: scenes.at_leaf(stage=Stage.FAILED, cause=cause, handed_over_at=None)


def _choose(scenes: Scenes) -> str:
    link = scenes.walked("three-farms", [])
    with scenes.attempt(link) as attempt:
        attempt.sent_to_choose_at = None
    return link


def _ending(scenes: Scenes, **fields: Any) -> str:
    return scenes.at_leaf(stage=Stage.DISCONNECTING, **fields)


def _ended(scenes: Scenes) -> str:
    link = scenes.at_leaf(stage=Stage.DISCONNECTED, health=Health.UNKNOWN, token_received_at=None)
    with scenes.connection(link) as connection:
        connection.organizations.clear()
    return link


def _denied_again(scenes: Scenes) -> str:
    person = scenes.visitor(scenes.at_leaf(health=Health.UNAUTHENTICATED))
    person.open()
    person.start()
    person.sign_in("one-farm")
    person.cancel()
    return person.link


def _refused_again(scenes: Scenes) -> str:
    person = scenes.visitor(scenes.at_leaf(health=Health.UNAUTHENTICATED))
    person.authorize("application-refused")
    return person.link


def _to_select(scenes: Scenes) -> str:
    partner = scenes.partner("selecting", "Selecting Co-op", select_organizations=True)
    return scenes.at_leaf(partner=partner)


def _long_partner(scenes: Scenes) -> str:
    name = "Landwirtschaftliche Genossenschaft Oberlausitz-Niederschlesien & Partners, LLC"
    person = "Friederike Obermüller-Wagenknecht zu Brandenstein"
    return scenes.partner("long-name", name, support_name=person)


def _five_hundred(scenes: Scenes) -> str:
    """A dealer's account: names that no compression makes short."""
    link = scenes.at_leaf()
    with scenes.connection(link) as connection:
        connection.organizations += [
            Organization(
                deere_id=str(number),
                name=f"{sha256(bytes([number % 251, number // 251])).hexdigest()[:12]} Farms",
                connected=number % 3 == 0,
                member=number % 3 < 2,
            )
            for number in range(500)
        ]
    return link


def _late(scenes: Scenes) -> str:
    person = scenes.person()
    callback = person.until_callback("one-farm")
    with scenes.attempt(person.link) as attempt:
        attempt.created_at = ago(minutes=31)
    return callback


def _wide_names(scenes: Scenes) -> str:
    link = scenes.at_leaf()
    with scenes.connection(link) as connection:
        connection.organizations += [
            Organization(
                deere_id=str(number),
                name=name,
                connected=number % 2 == 0,
                member=number != 5,
            )
            for number, name in enumerate(
                (
                    "Landwirtschaftsbetriebsgesellschaft Großwanzleben-Klostermansfeld",
                    "Ñandú & Søn's <Ranch>",
                    "A",
                    "SUPERCALIFRAGILISTICEXPIALIDOCIOUSFARMINGCOOPERATIVEINCORPORATED",
                    "Prairie View Acres",
                    "Neighbour's Land",
                )
            )
        ]
    return link


def _expired(scenes: Scenes) -> str:
    return scenes.change_link(scenes.link(), expires_at=ago(days=1))


def _link_asked(scenes: Scenes) -> str:
    person = scenes.visitor(_expired(scenes))
    person.open()
    person.press("Send me a new link")
    return person.page.url


def _withdrawn_since(scenes: Scenes) -> str:
    """A link that is over, and that no mail replaces: staff have withdrawn another one."""
    person = scenes.person()
    scenes.change_link(scenes.link_again(person), revoked_at=ago(days=0))
    return scenes.change_link(person.link, expires_at=ago(minutes=0))


def _opened_elsewhere(scenes: Scenes) -> str:
    return scenes.person().until_callback("one-farm")


OPEN = "open-door"


def _open_link(scenes: Scenes) -> str:
    return f"{scenes.stack.public_url}/j/{scenes.partner(OPEN, 'Open Door Co-op', open_link=True)}"


def _open_link_asked(scenes: Scenes) -> Opening:
    url = _open_link(scenes)

    def go(page: Page) -> None:
        page.goto(url)
        page.get_by_label("Farm").fill("Elm Farm")
        page.get_by_label("Your name").fill("Anna Miller")
        page.get_by_label("E-mail").fill("anna.miller.of.elm.farm@long-name-of-a-farm.example")
        page.get_by_role("button", name="Send me the link").click()

    return go


def _form_expired(scenes: Scenes) -> Opening:
    link = scenes.link()

    def go(page: Page) -> None:
        page.goto(link)
        page.context.clear_cookies()
        page.locator("#next").click()
        page.wait_for_url("**/start")

    return go


def _too_many(scenes: Scenes) -> Opening:
    url = f"{scenes.stack.public_url}/deere/callback"
    as_flooder = {"X-Forwarded-For": FLOODER}

    def flood() -> None:
        refused = 0
        # Each connection may end at another of web's processes, and each of them counts for itself.
        for _ in range(FLOOD):
            status = requests.get(url, headers=as_flooder, timeout=10).status_code
            refused = refused + 1 if status == 429 else 0
            if refused > 20:
                break

    def go(page: Page) -> None:
        page.set_extra_http_headers(as_flooder)
        for _ in range(5):
            flood()  # anew, since the minute that is counted may end at any moment
            answer = page.goto(url)
            if answer is not None and answer.status == 429:
                return

    return go


def _restored_tab(scenes: Scenes) -> str:
    return f"{scenes.link()}/start"


def _crashed(scenes: Scenes) -> str:
    # A colour that no form of ours would have let in: the page can't be made.
    return scenes.link(partner=scenes.partner("broken", "Broken Co-op", colour="#zzzzzz"))


CASES = (
    Case("landing", "Connect your John Deere data", lambda s: f"{s.stack.public_url}/"),
    Case("start", "Connect John Deere", lambda s: s.link()),
    Case("start-bare", "Connect John Deere", lambda s: s.link(partner="demo")),
    Case("start-coloured", "Connect John Deere", lambda s: s.link(partner=COLOURED)),
    Case(
        "start-long-partner",
        "Connect John Deere",
        lambda s: s.link(partner=_long_partner(s)),
    ),
    Case("authorizing", "Waiting for you at John Deere", lambda s: s.started()),
    Case("denied", "Access was not given", _denied),
    Case("took-too-long", "That took too long", _took_too_long),
    Case("interrupted", "Signing in was cut off", lambda s: s.failed(Outcome.INTERRUPTED)),
    Case(
        "code-refused",
        "The sign-in could not be completed",
        lambda s: s.failed(Outcome.CODE_REFUSED),
    ),
    Case("deere-down", "John Deere can’t be reached", _deere_down),
    Case(
        "application-refused",
        "John Deere did not accept our request",
        lambda s: s.walked("application-refused"),
    ),
    Case("third-failure", "Access was not given", lambda s: s.failed(Outcome.DENIED, times=3)),
    Case("finishing", "Finishing with John Deere", _finishing),
    Case("handing-over", "Connecting to Leaf", _handing_over),
    Case("waiting-for-leaf", "Waiting for Leaf", _waiting_for_leaf),
    Case("waiting-for-worker", "This takes longer than usual", _waiting_for_worker),
    Case("waiting-for-staff", "Something has to be mended on our side", _waiting_for_staff),
    Case("token-unreadable", "Something has to be mended on our side", _token_unreadable),
    Case("choose-organizations", "Choose what to share", _choose),
    Case("nothing-chosen", "No organization is shared yet", lambda s: s.walked("three-farms", [])),
    Case(
        "no-organization",
        "John Deere shows us no organization for this account",
        lambda s: s.walked("no-organization"),
    ),
    Case(
        "wrong-account",
        "Is this the right John Deere account?",
        lambda s: s.walked("partners-only"),
    ),
    Case(
        "permissions-too-low",
        "Your rights at John Deere are too low",
        lambda s: s.walked("staff-refused"),
    ),
    Case("terms", "John Deere has new terms for you", lambda s: s.walked("terms-not-accepted")),
    Case("terms-no-link", "John Deere has new terms for you", lambda s: s.walked("foreign-terms")),
    Case(
        "organizations-down",
        "John Deere does not answer just now",
        lambda s: s.at_leaf(shared=False, sharing_trouble=SharingTrouble.DEERE_UNAVAILABLE),
    ),
    Case(
        "organizations-refused",
        "John Deere did not show us your organizations",
        lambda s: s.at_leaf(shared=False, sharing_trouble=SharingTrouble.APPLICATION_REFUSED),
    ),
    Case(
        "choice-unseen",
        "You are back from John Deere",
        lambda s: s.at_leaf(shared=False, returned_at=ago(minutes=1)),
    ),
    Case(
        "nothing-fetched",
        "Leaf does not fetch your data yet",
        lambda s: s.at_leaf(cause=Cause.NOTHING_FETCHED),
    ),
    Case(
        "organizations-unknown",
        "We can’t see your organizations",
        lambda s: s.at_leaf(
            shared=False, organizations=[], sharing_trouble=SharingTrouble.ANSWER_UNKNOWN
        ),
    ),
    Case(
        "checking", "Leaf is checking your connection", lambda s: s.at_leaf(health=Health.UNKNOWN)
    ),
    Case("connected", "Connected", lambda s: s.at_leaf()),
    Case("connected-coloured", "Connected", lambda s: s.at_leaf(partner=COLOURED)),
    Case(
        "connected-some",
        "Connected",
        lambda s: s.walked("three-farms", ["Oak Hollow", "Miller Creek Farm"]),
    ),
    Case("connected-wide", "Connected", _wide_names),
    Case(
        "missing-permission",
        "A permission is missing",
        lambda s: s.at_leaf(health=Health.MISSING_PERMISSION),
    ),
    Case(
        "temporarily-unavailable",
        "A pause at John Deere",
        lambda s: s.at_leaf(health=Health.TEMPORARILY_UNAVAILABLE),
    ),
    Case(
        "pause-untold",
        "Connected",
        lambda s: s.at_leaf(
            health=Health.TEMPORARILY_UNAVAILABLE, trouble_told_from=ago(minutes=-LOOKED_AT_MINUTES)
        ),
    ),
    Case("incident", "Connected", _in_an_incident),
    Case("incident-reconnect", "Please connect again", _withdrawn_in_an_incident),
    Case(
        "refused-with-many",
        "We are looking into your connection",
        lambda s: s.turned_with_many(IncidentKind.REFUSED, Health.UNAUTHENTICATED),
    ),
    Case(
        "limited-with-many",
        "We are looking into your connection",
        lambda s: s.turned_with_many(IncidentKind.LIMITED, Health.MISSING_PERMISSION),
    ),
    Case(
        "connected-arrived",
        "Connected",
        lambda s: s.at_leaf(
            growers_arrived=2, farms_arrived=4, fields_arrived=37, arrivals_read_at=ago(hours=1)
        ),
    ),
    Case(
        "unconfirmed",
        "Leaf has not confirmed your connection lately",
        lambda s: s.at_leaf(handed_over_at=ago(days=3)),
    ),
    Case("connected-fewer-scopes", "Connected", lambda s: s.walked("fewer-scopes")),
    Case("connected-to-select", "Connected", _to_select),
    Case(
        "connected-long-partner",
        "Connected",
        lambda s: s.at_leaf(partner=_long_partner(s)),
    ),
    Case("connected-many", "Connected", _five_hundred),
    Case("stage-full", "No organization is shared yet", lambda s: s.walked("stage-full", [])),
    Case("reconnect-refused", "John Deere did not accept our request", _refused_again),
    Case(
        "unauthenticated",
        "Please connect again",
        lambda s: s.at_leaf(health=Health.UNAUTHENTICATED),
    ),
    Case("unauthenticated-denied", "Please connect again", _denied_again),
    Case(
        "unknown-health",
        "We are looking into your connection",
        lambda s: s.at_leaf(health=Health.UNKNOWN, health_text="PAUSED"),
    ),
    Case(
        "credential-missing",
        "Please connect again",
        lambda s: s.at_leaf(cause=Cause.CREDENTIAL_MISSING, health=Health.UNKNOWN),
    ),
    Case("failed", "Something went wrong on our side", _refused_by_leaf),
    Case("failed-given-up", "Something went wrong on our side", _failed(Cause.GIVEN_UP)),
    Case("failed-our-error", "Something went wrong on our side", _failed(Cause.OUR_ERROR)),
    Case(
        "failed-token-unreadable",
        "Something went wrong on our side",
        _failed(Cause.TOKEN_UNREADABLE),
    ),
    Case(
        "no-refresh-token",
        "John Deere gave us no lasting access",
        lambda s: s.walked("no-refresh-token"),
    ),
    Case("disconnect", "Disconnect John Deere?", lambda s: f"{s.at_leaf()}/disconnect"),
    Case("disconnecting", "Disconnecting", _ending),
    Case(
        "disconnecting-late",
        "Disconnecting takes longer than usual",
        lambda s: _ending(s, waiting_since=ago(minutes=12)),
    ),
    Case(
        "disconnecting-held-up",
        "Disconnecting takes longer than usual",
        lambda s: _ending(s, cause=Cause.DELETE_REFUSED),
    ),
    Case("disconnected", "Disconnected", _ended),
    Case("mail-stop", "Stop these mails?", lambda s: s.stop_url()),
    Case("mail-stopped", "No more mails", lambda s: s.stop_url(stopped=True)),
    Case("link-invalid", "This link is not complete", lambda s: f"{s.stack.public_url}/c/abc", 404),
    Case("link-expired", "This link has expired", _withdrawn_since, 410),
    Case("link-renewable", "This link has expired", _expired, 410),
    Case("link-asked", "Look for our e-mail", _link_asked),
    Case("open-link", "Connect John Deere", _open_link),
    Case("open-link-asked", "Look for our e-mail", _open_link_asked),
    Case(
        "link-revoked",
        "This link is no longer valid",
        lambda s: s.change_link(s.link(), revoked_at=ago(days=1)),
        410,
    ),
    Case("opened-elsewhere", "You started in another browser", _opened_elsewhere, 400),
    Case("late", "Please start again", _late, 400),
    Case(
        "unknown-state",
        "Please start again",
        lambda s: f"{s.stack.public_url}/deere/callback?state=unknown&code=unknown",
        400,
    ),
    Case(
        "returned-elsewhere",
        "Please open your link again",
        lambda s: f"{s.stack.public_url}/deere/organizations",
        400,
    ),
    Case("form-expired", "Please open the page again", _form_expired, 400),
    Case("not-found", "There is no such page", lambda s: f"{s.stack.public_url}/nothing", 404),
    Case("restored-tab", "Please open the page again", _restored_tab, 405),
    Case("too-many", "That was a little too often", _too_many, 429),
    Case("crashed", "Something went wrong on our side", _crashed, 500),
)
