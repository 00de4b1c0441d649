"""The way to Leaf, and what Leaf says about the credential."""

from __future__ import annotations

from datetime import datetime, timedelta

from onboarding.describe.actions import choose, other_account, start
from onboarding.describe.told import Told
from onboarding.i18n import gettext as _
from onboarding.i18n import ngettext
from onboarding.models import Connection
from onboarding.states import MENDED_BY_STAFF, Cause, Health

PATIENCE = timedelta(seconds=20)
"""A hand-over normally takes a second or two; after this the page says that Leaf is late."""
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def handing_over(subject: Connection, moment: datetime, partner: str) -> Told:
    """Leaf is getting the token now, or would, if it answered."""
    if subject.cause in MENDED_BY_STAFF:
        return _waiting_for_staff(subject)
    since = subject.waiting_since
    if since is None:
        began = subject.token_received_at or moment
        return _on_its_way(partner) if moment - began < PATIENCE else _late(partner)
    if moment - since < PATIENCE:
        return _on_its_way(partner)
    return Told(
        code="waiting_for_leaf",
        tone="wait",
        label=_("Waiting for Leaf"),
        title=_("Waiting for Leaf"),
        sentences=(
            _("Leaf, the service that brings your data to %(partner)s, is not answering.")
            % {"partner": partner},
            _("Your permission is safe with us. We have tried for %(time)s, and keep trying.")
            % {"time": _roughly(moment - since)},
            _(
                "You do not have to do anything: close this page and come back with the same "
                "link any time."
            ),
        ),
        who="nobody",
    )


def _on_its_way(partner: str) -> Told:
    return Told(
        code="handing_over",
        tone="wait",
        label=_("Connecting"),
        title=_("Connecting to Leaf"),
        sentences=(
            _("Leaf is the service that brings your data to %(partner)s.") % {"partner": partner},
            _("This takes a few seconds. The page updates by itself."),
        ),
        who="nobody",
    )


def _late(partner: str) -> Told:
    """Nobody has tried yet: the worker is busy, or none runs."""
    return Told(
        code="handing_over_late",
        tone="wait",
        label=_("Connecting"),
        title=_("This takes longer than usual"),
        sentences=(
            _(
                "Your permission waits for its turn to go to Leaf, the service that brings your "
                "data to %(partner)s."
            )
            % {"partner": partner},
            _("You do not have to do anything: close this page and come back any time."),
        ),
        who="nobody",
    )


def _waiting_for_staff(subject: Connection) -> Told:
    kept = _("Your permission is safe with us, and we go on by ourselves once it is mended.")
    unsure = _("If you have to connect again, this page will say so.")
    readable = subject.cause is not Cause.TOKEN_UNREADABLE
    return Told(
        code="waiting_for_staff",
        tone="wait",
        label=_("We are on it"),
        title=_("Something has to be mended on our side"),
        sentences=(
            _("You did everything right. Our staff have to look at it."),
            kept if readable else unsure,
        ),
        who="staff",
        show_contact=True,
    )


def _roughly(waited: timedelta) -> str:
    """How long, so roughly that the page does not change every minute."""
    if waited < HOUR:
        return _("some minutes")
    if waited < DAY:
        hours = waited // HOUR
        return ngettext("%(n)d hour", "%(n)d hours", hours) % {"n": hours}
    days = waited // DAY
    return ngettext("%(n)d day", "%(n)d days", days) % {"n": days}


def at_leaf(subject: Connection) -> Told | None:
    """What outweighs the organizations: whether Leaf's credential is any good."""
    if subject.cause is Cause.CREDENTIAL_MISSING:
        return _credential_missing()
    if subject.health is Health.UNAUTHENTICATED:
        return _unauthenticated()
    return None


def _credential_missing() -> Told:
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
        action=start(_("Connect again")),
        show_contact=True,
    )


def _unauthenticated() -> Told:
    return Told(
        code="reconnect",
        tone="act",
        label=_("Connect again"),
        title=_("Please connect again"),
        sentences=(
            _("John Deere no longer accepts the permission that you gave."),
            _(
                "It may have been withdrawn at John Deere, or have expired. What arrived before "
                "stays."
            ),
        ),
        whether_shared=_("No new data arrives until you connect again."),
        who="grower",
        action=start(_("Connect again")),
        others=(other_account(),),
    )


def connected(subject: Connection, partner: str) -> Told:
    """Leaf has the credential, and an organization is shared."""
    match subject.health:
        case Health.OK:
            return _data_flows(partner)
        case Health.MISSING_PERMISSION:
            return _missing_permission(subject)
        case Health.TEMPORARILY_UNAVAILABLE:
            return _temporarily_unavailable()
        case Health.UNAUTHENTICATED | Health.UNKNOWN:
            return _unknown_word() if subject.health_text else _checking()


def _data_flows(partner: str) -> Told:
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
        others=(other_account(_("Wrong farm? Use a different account")),),
    )


def _missing_permission(subject: Connection) -> Told:
    shared = next(row for row in subject.organizations if row.connected)
    return Told(
        code="missing_permission",
        tone="act",
        label=_("Permission missing"),
        title=_("A permission is missing"),
        sentences=(
            _("You are connected, but John Deere lets us see only a part of the data."),
            _("Open John Deere’s page for the organization, allow what is missing, press Save."),
        ),
        who="grower",
        action=choose(_("Open John Deere’s page"), organization_id=shared.deere_id),
        others=(start(_("Connect again")),),
        show_contact=True,
    )


def _temporarily_unavailable() -> Told:
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


def _unknown_word() -> Told:
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


def _checking() -> Told:
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
