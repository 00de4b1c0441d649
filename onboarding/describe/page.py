"""The parts of the grower's page beside its sentence: three steps and the organizations."""

from __future__ import annotations

from dataclasses import dataclass

from onboarding.describe.told import Org, Step, Told
from onboarding.i18n import gettext as _
from onboarding.i18n import ngettext
from onboarding.models import Connection
from onboarding.states import Stage

NAMES_SHOWN = 3
NOT_SIGNED_IN = frozenset({Stage.INVITED, Stage.AUTHORIZING})
"""Whatever token there was before: it ended with the connection that was disconnected."""


@dataclass(frozen=True)
class Organizations:
    """The grower's organizations, by what they share."""

    shared: tuple[Org, ...]
    not_shared: tuple[Org, ...]
    partners: tuple[Org, ...]
    """Other farms' organizations that are not shared."""


def organizations(subject: Connection) -> Organizations:
    """The organizations of a connection, each list by name."""
    rows = sorted(subject.organizations, key=lambda row: row.name.casefold())
    return Organizations(
        shared=tuple(Org(r.deere_id, r.name, True) for r in rows if r.connected),
        not_shared=tuple(
            Org(r.deere_id, r.name, False) for r in rows if not r.connected and r.member
        ),
        partners=tuple(
            Org(r.deere_id, r.name, False) for r in rows if not r.connected and not r.member
        ),
    )


def steps(subject: Connection, told: Told) -> tuple[Step, ...]:
    """Signed in · organizations shared, by name · data reaches Leaf."""
    return (_sign_in(subject, told), _sharing(subject, told), _leaf(subject, told))


def _sign_in(subject: Connection, told: Told) -> Step:
    ahead = _("Sign in at John Deere")
    if told.code == "no_refresh_token":
        return Step(ahead, "problem", told.label)
    if told.code in {"reconnect", "credential_missing", "disconnected"}:
        return Step(ahead, "todo", _("Has to be done again"))
    if told.code == "finishing":
        return Step(ahead, "wait", _("John Deere is answering"))
    if subject.token_received_at is None or subject.stage in NOT_SIGNED_IN:
        return Step(ahead, "now", _("Not done yet"))
    return Step(_("Signed in at John Deere"), "done", _("You allowed access"))


def _sharing(subject: Connection, told: Told) -> Step:
    shared = organizations(subject).shared
    if shared:
        names = ", ".join(entry.name for entry in shared[:NAMES_SHOWN])
        more = len(shared) - NAMES_SHOWN
        if more > 0:
            names += " " + ngettext("and %(n)d more", "and %(n)d more", more) % {"n": more}
        return Step(_("Organizations shared"), "done", names)
    if subject.token_received_at is None:
        return Step(_("Organizations shared"), "todo", _("Comes after the sign-in"))
    return Step(
        _("Organizations shared"),
        "problem" if subject.sharing_trouble else "now",
        _("None yet"),
    )


def _leaf(subject: Connection, told: Told) -> Step:
    name = _("Data reaches Leaf")
    if subject.stage is Stage.FAILED:
        return Step(name, "problem", _("We are on it"))
    if subject.stage is Stage.HANDING_OVER:
        is_held_up = told.code in {"waiting_for_leaf", "waiting_for_staff"}
        return Step(name, "wait", told.label if is_held_up else _("On its way"))
    if subject.stage is Stage.DISCONNECTED:
        return Step(name, "todo", _("Stopped"))
    if not subject.is_at_leaf:
        return Step(name, "todo", _("Follows by itself"))
    if told.tone == "ok":
        return Step(name, "done", _("Leaf confirms it"))
    if told.code in {"reconnect", "credential_missing", "missing_permission"}:
        return Step(name, "problem", told.label)
    if not subject.has_shared_organization:
        return Step(name, "todo", _("Waits for an organization"))
    return Step(name, "wait", told.label)
