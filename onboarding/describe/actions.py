"""The next steps that a grower can be offered."""

from __future__ import annotations

from onboarding.describe.told import Action
from onboarding.i18n import gettext as _


def start(label: str | None = None) -> Action:
    """Go to John Deere to sign in and agree.

    :param label: in place of "Connect John Deere"
    """
    return Action("start", label or _("Connect John Deere"))


def other_account(label: str | None = None) -> Action:
    """The same, with another sign-in there."""
    return Action("start_other", label or _("Use a different John Deere account"))


def choose(label: str | None = None, *, organization_id: str | None = None) -> Action:
    """Go to John Deere's page for choosing organizations, or to that of one of them."""
    label = label or _("Choose organizations")
    return Action("organizations", label, organization_id=organization_id)


def at_deere(label: str | None = None) -> Action:
    """Open John Deere's page where all connections of an account are, to look or to remove one."""
    return Action("connections", label or _("Open my connections at John Deere"))
