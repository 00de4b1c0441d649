"""Where a connection stands: (stage, health, organizations, latest attempt) in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from onboarding.describe.told import Action, Told
from onboarding.i18n import gettext as _
from onboarding.models import ATTEMPT_LIFETIME, Attempt, Connection
from onboarding.states import Cause, Health, Outcome, SharingTrouble, Stage

FAILURE_TOLD = timedelta(minutes=15)
PATIENCE_WITH_LEAF = timedelta(seconds=20)
"""A hand-over normally takes a second or two; after this the page says that Leaf is late."""


def connection(
    subject: Connection, *, latest: Attempt | None, moment: datetime, troubled: bool = False
) -> Told:
    """What the grower is told about a connection.

    :param latest: the connection's newest attempt
    :param troubled: whether attempts failed so often that a person should help
    """
    told = _of_stage(subject, latest, moment)
    if latest is not None and _failed_lately(subject, latest, moment):
        what_happened = _outcome(latest.outcome).title + "."
        told = replace(told, sentences=(what_happened, *told.sentences))
    if troubled and told.tone != "ok":
        return replace(told, reference=subject.reference, show_contact=True)
    if told.show_contact:
        return replace(told, reference=subject.reference)
    return told


def _failed_lately(subject: Connection, latest: Attempt, moment: datetime) -> bool:
    """Whether an attempt to connect again has just failed; what was there before still stands."""
    return (
        subject.stage not in {Stage.INVITED, Stage.AUTHORIZING}
        and latest.outcome not in {None, Outcome.AUTHORIZED, Outcome.NO_REFRESH_TOKEN}
        and latest.ended_at is not None
        and moment - latest.ended_at < FAILURE_TOLD
    )


def first_visit() -> Told:
    """Nothing has happened yet."""
    return Told(
        code="invited",
        tone="quiet",
        label=_("Not started"),
        title=_("Connect John Deere"),
        who="grower",
        action=_start(),
    )


def _start(label: str | None = None) -> Action:
    return Action("start", label or _("Connect John Deere"))


def _other_account() -> Action:
    return Action("start_other", _("Use a different John Deere account"))


def _choose(label: str | None = None) -> Action:
    return Action("organizations", label or _("Choose organizations"))


def _of_stage(subject: Connection, latest: Attempt | None, moment: datetime) -> Told:
    partner = subject.grower.partner.name
    match subject.stage:
        case Stage.INVITED:
            return _invited(latest)
        case Stage.AUTHORIZING:
            return _authorizing(latest, moment)
        case Stage.HANDING_OVER:
            return _handing_over(subject, latest, moment, partner)
        case Stage.CHOOSING_ORGANIZATIONS | Stage.CONNECTED:
            if told := _at_leaf(subject):
                return told
            # Not the stage but the organizations decide: no green tick without one.
            if not subject.has_shared_organization:
                return _choosing(subject, latest, partner)
            return _connected(subject, partner)
        case Stage.FAILED:
            return _failed(subject)
        case Stage.DISCONNECTED:
            return _disconnected(partner)


def _invited(latest: Attempt | None) -> Told:
    if latest is None or latest.outcome in {None, Outcome.AUTHORIZED}:
        return first_visit()
    return _outcome(latest.outcome)


def _authorizing(latest: Attempt | None, moment: datetime) -> Told:
    if latest is not None and latest.is_exchanging(moment):
        return Told(
            code="finishing",
            tone="wait",
            label=_("Finishing"),
            title=_("Finishing with John Deere"),
            sentences=(_("This takes a few seconds. The page updates by itself."),),
            who="nobody",
        )
    if latest is not None and latest.outcome not in {None, Outcome.AUTHORIZED}:
        return _outcome(latest.outcome)
    if latest is None or latest.used_at or moment >= latest.created_at + ATTEMPT_LIFETIME:
        outcome = Outcome.INTERRUPTED if latest and latest.used_at else Outcome.EXPIRED
        return _outcome(outcome)
    return Told(
        code="authorizing",
        tone="act",
        label=_("At John Deere"),
        title=_("Waiting for you at John Deere"),
        sentences=(
            _("You started, and have not come back from John Deere yet."),
            _(
                "If the sign-in is open in another tab, go on there. Otherwise start again here. "
                "If you saw an error page at johndeere.com before signing in, that is our fault: "
                "please tell us."
            ),
        ),
        whether_shared=_("Nothing has been shared so far."),
        who="grower",
        action=_start(_("Continue at John Deere")),
        others=(_other_account(),),
    )


def _outcome(outcome: Outcome | None) -> Told:
    """What is told of an attempt that brought no token."""
    nothing = _("Nothing was shared.")
    match outcome:
        case Outcome.DENIED:
            return Told(
                code="denied",
                tone="quiet",
                label=_("Declined"),
                title=_("You did not allow access"),
                sentences=(
                    _("You pressed Cancel at John Deere, so nothing happened."),
                    _("You can connect whenever you are ready."),
                ),
                whether_shared=nothing,
                who="grower",
                action=_start(),
                others=(_other_account(),),
            )
        case Outcome.APPLICATION_REFUSED:
            return Told(
                code="application_refused",
                tone="problem",
                label=_("Refused by John Deere"),
                title=_("John Deere did not accept our request"),
                sentences=(
                    _("The fault is on our side, not on yours. We have to mend it first."),
                    _("Please tell your contact, and try again once you hear from them."),
                ),
                whether_shared=nothing,
                who="staff",
                others=(_start(_("Try again")),),
                show_contact=True,
            )
        case Outcome.NO_REFRESH_TOKEN:
            return _no_refresh_token()
        case Outcome.DEERE_UNAVAILABLE:
            return Told(
                code="deere_unavailable",
                tone="problem",
                label=_("John Deere is down"),
                title=_("John Deere can’t be reached"),
                sentences=(
                    _("John Deere did not answer, so your sign-in could not be finished."),
                    _("Please try again in a few minutes."),
                ),
                whether_shared=nothing,
                who="grower",
                action=_start(_("Try again")),
            )
        case Outcome.INTERRUPTED:
            return Told(
                code="interrupted",
                tone="problem",
                label=_("Interrupted"),
                title=_("The sign-in was cut off"),
                sentences=(
                    _("Something on our side stopped before John Deere had answered."),
                    _("Please start again. It usually takes less than a minute."),
                ),
                whether_shared=nothing,
                who="grower",
                action=_start(_("Start again")),
            )
        case _:
            return Told(
                code="took_too_long",
                tone="quiet",
                label=_("Took too long"),
                title=_("That took too long"),
                sentences=(
                    _("A sign-in is valid for half an hour, for your protection."),
                    _("Please start again."),
                ),
                whether_shared=nothing,
                who="grower",
                action=_start(_("Start again")),
            )


def _no_refresh_token() -> Told:
    return Told(
        code="no_refresh_token",
        tone="problem",
        label=_("No lasting access"),
        title=_("John Deere gave us no lasting access"),
        sentences=(
            _("You allowed access, but John Deere did not give us what we need to keep it."),
            _("The fault is on our side. We are on it and will tell you when to try again."),
        ),
        whether_shared=_("No data was passed on."),
        who="staff",
        others=(_start(_("Try again")),),
        show_contact=True,
    )


def _handing_over(
    subject: Connection, latest: Attempt | None, moment: datetime, partner: str
) -> Told:
    exchanging = latest is not None and latest.is_exchanging(moment)
    if not exchanging and not subject.has_shared_organization:
        return _choosing(subject, latest, partner)
    since = subject.waiting_since
    if since is None or moment - since < PATIENCE_WITH_LEAF:
        return Told(
            code="handing_over",
            tone="wait",
            label=_("Connecting"),
            title=_("Connecting to Leaf"),
            sentences=(
                _("Leaf is the service that brings your data to %(partner)s.")
                % {"partner": partner},
                _("This takes a few seconds. The page updates by itself."),
            ),
            who="nobody",
        )
    return Told(
        code="waiting_for_leaf",
        tone="wait",
        label=_("Waiting for Leaf"),
        title=_("Waiting for Leaf"),
        sentences=(
            _("Leaf, the service that brings your data to %(partner)s, is not answering.")
            % {"partner": partner},
            _(
                "Your permission is safe with us, and we keep trying. You do not have to do "
                "anything: close this page and come back with the same link any time."
            ),
        ),
        who="nobody",
    )


def _choosing(subject: Connection, latest: Attempt | None, partner: str) -> Told:
    trouble = subject.sharing_trouble
    if trouble is not None:
        return _sharing_trouble(subject, trouble)
    if subject.organizations and not any(row.member for row in subject.organizations):
        return _wrong_account()
    if latest is not None and latest.sent_to_choose_at:
        return _nothing_chosen(subject)
    return Told(
        code="choose_organizations",
        tone="act",
        label=_("Choose organizations"),
        title=_("One step left: choose what to share"),
        sentences=(
            _(
                "You are signed in. John Deere now wants to know which of your organizations "
                "%(partner)s may see."
            )
            % {"partner": partner},
            _("Tick the box beside the right name there and press Save."),
        ),
        whether_shared=_("No data is shared until you do this."),
        who="grower",
        action=_choose(),
        others=(_other_account(),),
    )


def _nothing_chosen(subject: Connection) -> Told:
    return Told(
        code="no_organization_chosen",
        tone="act",
        label=_("Nothing chosen"),
        title=_("No organization is shared yet"),
        sentences=(
            _("At John Deere no organization was ticked and saved."),
            _(
                "If a box can’t be ticked, you lack the right to share. Ask the owner of the "
                "organization to open Operations Center, Setup, Team, your name, and to give you "
                "Organization Management Level 1 with “Share Organization Data with Connected "
                "Software Companies”, and Locations Level 3."
            ),
        ),
        whether_shared=_("No data is shared."),
        who="grower",
        action=_choose(),
        others=(_other_account(),),
    )


def _wrong_account() -> Told:
    return Told(
        code="wrong_account",
        tone="act",
        label=_("Wrong account?"),
        title=_("Is this the right John Deere account?"),
        sentences=(
            _(
                "The account that you signed in with belongs to no organization itself. It only "
                "sees organizations of partners, listed below."
            ),
            _("Use the account that the farm itself signs in with."),
        ),
        whether_shared=_("No data is shared."),
        who="grower",
        action=_other_account(),
        others=(_choose(_("Choose an organization all the same")),),
    )


def _sharing_trouble(subject: Connection, trouble: SharingTrouble) -> Told:
    match trouble:
        case SharingTrouble.NO_ORGANIZATIONS:
            return Told(
                code="no_organizations",
                tone="act",
                label=_("No organization"),
                title=_("This account has no organization"),
                sentences=(
                    _("At John Deere data belongs to an organization. This account is in none."),
                    _(
                        "Create one at operationscenter.deere.com, or accept the invitation that "
                        "the owner of the farm sent by e-mail. Then connect again. If you have a "
                        "second account, use that one."
                    ),
                ),
                whether_shared=_("No data is shared."),
                who="grower",
                action=_other_account(),
                others=(_start(_("Connect again")),),
            )
        case SharingTrouble.TERMS_NOT_ACCEPTED:
            link = subject.terms_url
            action = Action("link", _("Read the terms at John Deere"), url=link) if link else None
            where = (
                _("Accept them at John Deere, then come back and connect again.")
                if link
                else _("Sign in at operationscenter.deere.com, accept them, then connect again.")
            )
            return Told(
                code="terms_not_accepted",
                tone="act",
                label=_("Terms at John Deere"),
                title=_("John Deere has new terms for you"),
                sentences=(
                    _("Until they are accepted, John Deere shares nothing with anyone."),
                    where,
                    _(
                        "Only a person with Organization Management Level 2 can accept them. "
                        "That may be the owner of the farm."
                    ),
                ),
                whether_shared=_("No data is shared."),
                who="grower",
                action=action or _start(_("Connect again")),
                others=(_choose(_("I have accepted them")),),
            )
        case SharingTrouble.PERMISSIONS_TOO_LOW:
            return Told(
                code="permissions_too_low",
                tone="act",
                label=_("Rights too low"),
                title=_("Your rights at John Deere are too low"),
                sentences=(
                    _("Your account may not share the organization’s data."),
                    _(
                        "Ask the owner to open Operations Center, Setup, Team, your name, and to "
                        "give you Organization Management Level 1 with “Share Organization Data "
                        "with Connected Software Companies”, and Locations Level 3. Or let the "
                        "owner open this link."
                    ),
                ),
                whether_shared=_("No data is shared."),
                who="grower",
                action=_start(_("Connect again")),
                others=(_other_account(),),
            )
        case SharingTrouble.DEERE_UNAVAILABLE:
            return Told(
                code="organizations_unavailable",
                tone="problem",
                label=_("John Deere is down"),
                title=_("John Deere does not answer just now"),
                sentences=(
                    _("You are signed in, but John Deere could not tell us your organizations."),
                    _("Please try again in a few minutes."),
                ),
                whether_shared=_("Your permission is safe; no data is shared yet."),
                who="grower",
                action=_choose(_("Try again")),
                others=(_other_account(),),
            )


def _at_leaf(subject: Connection) -> Told | None:
    """What outweighs the organizations: whether Leaf's credential is any good."""
    if subject.cause is Cause.CREDENTIAL_MISSING:
        return Told(
            code="credential_missing",
            tone="act",
            label=_("Connect again"),
            title=_("Please connect again"),
            sentences=(
                _("Leaf no longer has your permission, so no new data arrives."),
                _("What arrived before stays."),
            ),
            who="grower",
            action=_start(_("Connect again")),
            show_contact=True,
        )
    if subject.health is Health.UNAUTHENTICATED:
        return Told(
            code="reconnect",
            tone="act",
            label=_("Connect again"),
            title=_("Please connect again"),
            sentences=(
                _("John Deere no longer accepts the permission that you gave."),
                _(
                    "It may have been withdrawn at John Deere, or have expired. What arrived "
                    "before stays."
                ),
            ),
            whether_shared=_("No new data arrives until you connect again."),
            who="grower",
            action=_start(_("Connect again")),
            others=(_other_account(),),
        )
    return None


def _connected(subject: Connection, partner: str) -> Told:
    match subject.health:
        case Health.OK:
            return Told(
                code="connected",
                tone="ok",
                label=_("Connected"),
                title=_("Connected"),
                sentences=(
                    _("Your John Deere data can now flow to %(partner)s through Leaf.")
                    % {"partner": partner},
                    _("The first data can take a few hours. You can close this page."),
                ),
                who="nobody",
                others=(_other_account(),),
            )
        case Health.MISSING_PERMISSION:
            shared = next(row for row in subject.organizations if row.connected)
            return Told(
                code="missing_permission",
                tone="act",
                label=_("Permission missing"),
                title=_("A permission is missing"),
                sentences=(
                    _("You are connected, but John Deere lets us see only a part of the data."),
                    _(
                        "Open John Deere’s page for the organization, allow what is missing, and "
                        "press Save."
                    ),
                ),
                who="grower",
                action=Action(
                    "organizations",
                    _("Open John Deere’s page"),
                    organization_id=shared.deere_id,
                ),
                others=(_start(_("Connect again")),),
                show_contact=True,
            )
        case Health.TEMPORARILY_UNAVAILABLE:
            return Told(
                code="temporarily_unavailable",
                tone="wait",
                label=_("Pause at John Deere"),
                title=_("Connected, with a pause at John Deere"),
                sentences=(
                    _("John Deere’s service does not answer Leaf at the moment."),
                    _("You do not have to do anything: data comes once John Deere is back."),
                ),
                who="nobody",
            )
        case Health.UNAUTHENTICATED | Health.UNKNOWN:
            return _checking(subject)


def _checking(subject: Connection) -> Told:
    if subject.health_text:
        return Told(
            code="unknown_health",
            tone="wait",
            label=_("Being checked"),
            title=_("We are looking into your connection"),
            sentences=(
                _("Leaf has your permission, but says something that we do not know yet."),
                _("Our staff can see it. You do not have to do anything."),
            ),
            who="staff",
            show_contact=True,
        )
    return Told(
        code="checking",
        tone="wait",
        label=_("Being checked"),
        title=_("Almost there"),
        sentences=(
            _("Leaf has your permission and checks it with John Deere."),
            _("This can take a few minutes. The page updates by itself."),
        ),
        who="nobody",
    )


def _failed(subject: Connection) -> Told:
    if subject.cause is Cause.NO_REFRESH_TOKEN:
        return _no_refresh_token()
    return Told(
        code="failed",
        tone="problem",
        label=_("We are on it"),
        title=_("Something went wrong on our side"),
        sentences=(
            _("You did everything right. Leaf did not accept the connection."),
            _("Our staff have to look at it. You do not have to do anything now."),
        ),
        whether_shared=_("No data is shared yet."),
        who="staff",
        show_contact=True,
    )


def _disconnected(partner: str) -> Told:
    return Told(
        code="disconnected",
        tone="quiet",
        label=_("Disconnected"),
        title=_("Disconnected"),
        sentences=(
            _("No new data goes to %(partner)s.") % {"partner": partner},
            _("You can connect again whenever you want."),
        ),
        who="nobody",
        action=_start(_("Connect again")),
    )
