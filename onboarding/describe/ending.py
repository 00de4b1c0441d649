"""The end of a connection: asked for, and done."""

from __future__ import annotations

from datetime import datetime

from onboarding.describe.actions import at_deere, start
from onboarding.describe.handing_over import PATIENCE
from onboarding.describe.told import Told
from onboarding.i18n import gettext as _
from onboarding.models import Connection
from onboarding.states import MENDED_BY_STAFF


def disconnecting(subject: Connection, moment: datetime, partner: str) -> Told:
    """Asked for, and Leaf may still have the permission."""
    if subject.cause in MENDED_BY_STAFF:
        return _held_up()
    since = subject.waiting_since
    if since is not None and moment - since >= PATIENCE:
        return _waiting_for_leaf(partner)
    return Told(
        code="disconnecting",
        tone="wait",
        label=_("Disconnecting"),
        title=_("Disconnecting"),
        sentences=(
            _("Leaf, the service that brings your data to %(partner)s, is being told to stop.")
            % {"partner": partner},
            _("This usually takes a few seconds. The page updates by itself."),
        ),
        whether_shared=_until_then(),
        who="nobody",
    )


def _waiting_for_leaf(partner: str) -> Told:
    return Told(
        code="disconnecting_late",
        tone="wait",
        label=_("Disconnecting"),
        title=_("Disconnecting takes longer than usual"),
        sentences=(
            _("Leaf, the service that brings your data to %(partner)s, is not answering.")
            % {"partner": partner},
            _("We keep trying until it has stopped. You can close this page."),
            _at_once(),
        ),
        whether_shared=_until_then(),
        who="nobody",
        others=(at_deere(), start(_("Connect again"))),
    )


def _held_up() -> Told:
    return Told(
        code="disconnecting_held_up",
        tone="wait",
        label=_("We are on it"),
        title=_("Disconnecting takes longer than usual"),
        sentences=(
            _("Something has to be mended on our side first. Our staff have to look at it."),
            _("We go on by ourselves after that. You can close this page."),
            _at_once(),
        ),
        whether_shared=_until_then(),
        who="staff",
        others=(at_deere(), start(_("Connect again"))),
        show_contact=True,
    )


def _at_once() -> str:
    return _("To stop it at once, remove the connection at John Deere yourself.")


def _until_then() -> str:
    return _("Until it has stopped, new data may still arrive.")


def disconnected(subject: Connection, partner: str) -> Told:
    """Leaf has no permission any more; John Deere still lists the one that was given."""
    return Told(
        code="disconnected",
        tone="quiet",
        label=_("Disconnected"),
        title=_("Disconnected"),
        sentences=(
            _("No new data goes to %(partner)s. Leaf no longer has your permission.")
            % {"partner": partner},
            *(
                [
                    _(
                        "What had arrived before stays with %(partner)s. Ask them if you want it "
                        "deleted."
                    )
                    % {"partner": partner}
                ]
                if subject.handed_over_at
                else []
            ),
            _(
                "John Deere may still list the connection. To remove it there, too, open your "
                "connections at John Deere and choose Manage, Access, Remove Connection for each "
                "organization."
            ),
        ),
        who="nobody",
        action=at_deere(),
        others=(start(_("Connect again")),),
    )
