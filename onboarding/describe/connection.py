"""Where a connection stands: (stage, health, organizations, latest attempt) in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from onboarding.describe.actions import other_account, start
from onboarding.describe.choosing import choosing
from onboarding.describe.ending import disconnected, disconnecting
from onboarding.describe.handing_over import handing_over, nothing_yet
from onboarding.describe.leaf import at_leaf, connected
from onboarding.describe.outcome import error_page_at_deere, no_refresh_token, outcome
from onboarding.describe.told import Told
from onboarding.i18n import gettext as _
from onboarding.models import ATTEMPT_LIFETIME, Attempt, Connection
from onboarding.states import OUR_FAULT, Cause, IncidentKind, Outcome, Stage

FAILURE_TOLD = timedelta(minutes=15)
TO_START_AGAIN = frozenset(
    {"code_refused", "deere_unavailable", "denied", "interrupted", "took_too_long"}
)
"""An attempt ended: the first sentence says how, the others that it can be started again."""


def connection(
    subject: Connection,
    *,
    latest: Attempt | None,
    moment: datetime,
    troubled: bool = False,
    incident: IncidentKind | None = None,
) -> Told:
    """What the grower is told about a connection.

    :param latest: the connection's newest attempt
    :param troubled: whether attempts failed so often that a person should help
    :param incident: of our application, within which this connection turned with many others
    """
    told = _of_stage(subject, latest, moment, incident)
    if latest is not None and _keeps_from(told, latest):
        ours = outcome(latest.outcome)
        told = replace(ours, whether_shared=told.whether_shared or ours.whether_shared)
    elif latest is not None and _failed_lately(subject, latest, moment):
        ended = outcome(latest.outcome)
        told = replace(
            told,
            sentences=(*told.sentences, _("Your last attempt: %(end)s.") % {"end": ended.title}),
            show_contact=told.show_contact or ended.show_contact,
        )
    if troubled and told.tone != "ok":
        return _with_help(told, subject.reference)
    if told.show_contact:
        return replace(told, reference=subject.reference)
    return told


def _with_help(told: Told, reference: str) -> Told:
    """The same, with a person to ask, since pressing the button once more is no help.

    After an attempt that brought nothing that is the one next step: the others stand back.
    """
    help_ = _(
        "It has not worked several times now. Let your contact help you, and tell them the "
        "reference code."
    )
    told = replace(told, reference=reference, show_contact=True)
    if told.code not in TO_START_AGAIN:
        return replace(told, sentences=(*told.sentences, help_))
    others = (told.action, *told.others) if told.action else told.others
    return replace(told, sentences=(told.sentences[0], help_), action=None, others=others)


def _keeps_from(told: Told, latest: Attempt) -> bool:
    """Whether the grower would be asked to connect, but was refused for a fault of ours.

    It stands until they try again: before we have mended it that is no help.
    """
    is_to_connect = told.action is not None and told.action.kind in {"start", "start_other"}
    return (is_to_connect or told.code == "disconnected") and latest.outcome in OUR_FAULT


def _failed_lately(subject: Connection, latest: Attempt, moment: datetime) -> bool:
    """Whether an attempt to connect again has just failed; what was there before still stands."""
    return (
        subject.stage not in {Stage.INVITED, Stage.AUTHORIZING}
        and latest.outcome not in {None, Outcome.AUTHORIZED}
        and subject.cause is not Cause.NO_REFRESH_TOKEN
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
        action=start(),
    )


def _of_stage(
    subject: Connection, latest: Attempt | None, moment: datetime, incident: IncidentKind | None
) -> Told:
    partner = subject.grower.partner.name
    match subject.stage:
        case Stage.INVITED:
            return _invited(latest)
        case Stage.AUTHORIZING:
            return _authorizing(subject, latest, moment)
        case Stage.HANDING_OVER:
            exchanging = latest is not None and latest.is_exchanging(moment)
            if exchanging or subject.has_shared_organization:
                return handing_over(subject, moment, partner)
            return choosing(subject, latest, partner)
        case Stage.CHOOSING_ORGANIZATIONS | Stage.CONNECTED:
            if told := at_leaf(subject, incident):
                return told
            # Not the stage but the organizations decide: no green tick without one.
            if not subject.has_shared_organization:
                return choosing(subject, latest, partner)
            return connected(subject, moment, partner, incident)
        case Stage.FAILED:
            return _failed(subject, partner)
        case Stage.DISCONNECTING:
            return disconnecting(subject, moment, partner)
        case Stage.DISCONNECTED:
            return disconnected(subject, partner)


def _invited(latest: Attempt | None) -> Told:
    if latest is None or latest.outcome in {None, Outcome.AUTHORIZED}:
        return first_visit()
    return outcome(latest.outcome)


def _authorizing(subject: Connection, latest: Attempt | None, moment: datetime) -> Told:
    if latest is not None and latest.is_exchanging(moment):
        return _finishing(subject)
    if latest is not None and latest.outcome not in {None, Outcome.AUTHORIZED}:
        return outcome(latest.outcome)
    if latest is None or latest.used_at or moment >= latest.created_at + ATTEMPT_LIFETIME:
        return outcome(Outcome.INTERRUPTED if latest and latest.used_at else Outcome.EXPIRED)
    return _at_deere()


def _finishing(subject: Connection) -> Told:
    return Told(
        code="finishing",
        tone="wait",
        label=_("Finishing"),
        title=_("Finishing with John Deere"),
        sentences=(_("This takes a few seconds. The page updates by itself."),),
        whether_shared="" if subject.handed_over_at else _("No data is shared yet."),
        who="nobody",
    )


def _at_deere() -> Told:
    return Told(
        code="authorizing",
        tone="act",
        label=_("At John Deere"),
        title=_("Waiting for you at John Deere"),
        sentences=(
            _("You started, and have not come back from John Deere yet."),
            _("Is the sign-in open in another tab? Go on there. If not, continue here."),
            error_page_at_deere(),
        ),
        whether_shared=_("Nothing has been shared so far."),
        who="grower",
        action=start(_("Continue at John Deere")),
        others=(other_account(),),
        show_contact=True,
    )


def _failed(subject: Connection, partner: str) -> Told:
    if subject.cause is Cause.NO_REFRESH_TOKEN:
        return no_refresh_token()
    return Told(
        code="failed",
        tone="problem",
        label=_("We are on it"),
        title=_("Something went wrong on our side"),
        sentences=(
            _reason(subject.cause, partner),
            _("You did everything right. Our staff have to look at it."),
            _("You need not do anything now. Connect again only if your contact asks you to."),
        ),
        whether_shared=nothing_yet(subject),
        who="staff",
        others=(start(_("Connect again")),),
        show_contact=True,
    )


def _reason(cause: Cause | None, partner: str) -> str:
    match cause:
        case Cause.GIVEN_UP:
            reason = _(
                "Leaf, the service that brings your data to %(partner)s, could not be reached "
                "for weeks."
            )
        case Cause.OUR_ERROR | Cause.LEAF_SIGN_IN_REFUSED:
            return _(
                "An error on our side kept your permission from reaching Leaf. It is not lost."
            )
        case Cause.TOKEN_UNREADABLE:
            return _("An error on our side kept your permission from reaching Leaf.")
        case Cause.APPLICATION_CHANGED:
            return _("Our access to John Deere was changed while your permission was on its way.")
        case _:
            reason = _(
                "Leaf, the service that brings your data to %(partner)s, did not accept the "
                "connection."
            )
    return reason % {"partner": partner}
