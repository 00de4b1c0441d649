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
        found.append(_("Machines and their setup"))
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


def asks_to_edit(scopes: Collection[str]) -> bool:
    """Whether John Deere's consent page will say "edit and delete"."""
    return bool({"ag3", "eq2", "org2", "work2", "finance2"} & set(scopes))
