"""The way to Leaf: what is told while it has no token yet."""

from __future__ import annotations

from datetime import datetime, timedelta

from onboarding.describe.told import Told
from onboarding.i18n import gettext as _
from onboarding.i18n import ngettext
from onboarding.models import Connection
from onboarding.states import MENDED_BY_STAFF, Cause

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
        is_late = moment - began >= PATIENCE
        return _late(subject, partner) if is_late else _on_its_way(subject, partner)
    if moment - since < PATIENCE:
        return _on_its_way(subject, partner)
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
        whether_shared=nothing_yet(subject),
        who="nobody",
    )


def nothing_yet(subject: Connection) -> str:
    """That Leaf has no data; empty if it may have some by an older permission."""
    return "" if subject.handed_over_at else _("No data has reached Leaf yet.")


def _on_its_way(subject: Connection, partner: str) -> Told:
    return Told(
        code="handing_over",
        tone="wait",
        label=_("Connecting"),
        title=_("Connecting to Leaf"),
        sentences=(
            _("Leaf is the service that brings your data to %(partner)s.") % {"partner": partner},
            _("This takes a few seconds. The page updates by itself."),
        ),
        whether_shared=nothing_yet(subject),
        who="nobody",
    )


def _late(subject: Connection, partner: str) -> Told:
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
        whether_shared=nothing_yet(subject),
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
        whether_shared=nothing_yet(subject),
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
