"""What an application's scopes mean, in words for growers (John Deere's list of scopes)."""

from __future__ import annotations

from collections.abc import Collection

from onboarding.i18n import gettext as _


def shared_by(scopes: Collection[str]) -> list[str]:
    """What is shared, in plain words."""
    found = []
    if {"ag1", "ag2", "ag3"} & set(scopes):
        found.append(_("Fields and their boundaries, farms and clients"))
    if {"ag2", "ag3"} & set(scopes):
        found.append(_("Field work: planting, application, tillage and harvest"))
    if {"eq1", "eq2"} & set(scopes):
        found.append(_("Machines, their setup, alerts and maintenance plans"))
        found.append(_("The machines’ displays (Remote Display Access)"))
    if "files" in scopes:
        found.append(_("Files that your machines recorded"))
    if {"org1", "org2"} & set(scopes):
        found.append(_("Names of the organization’s staff and partners"))
    if {"work1", "work2"} & set(scopes):
        found.append(_("Work and crop plans"))
    if {"finance1", "finance2"} & set(scopes):
        found.append(_("Financial data"))
    return found


def not_shared_by(scopes: Collection[str]) -> list[str]:
    """What is not shared, in plain words."""
    found = [
        _("Your password at John Deere"),
        _("Organizations that you do not tick there"),
    ]
    if not {"finance1", "finance2"} & set(scopes):
        found.append(_("Financial data"))
    return found


def why_edit(scopes: Collection[str]) -> str | None:
    """Why John Deere's consent page will say "edit and delete"; None if it will not."""
    asked = {"ag3", "eq2", "org2", "work2", "finance2"} & set(scopes)
    if not asked:
        return None
    if asked == {"ag3"}:
        return _(
            "John Deere gives out field boundaries and files only together with a permission that "
            "it words this way. Making the connection edits and deletes nothing."
        )
    return _(
        "John Deere words some of the permissions that are asked for this way. Making the "
        "connection edits and deletes nothing."
    )
