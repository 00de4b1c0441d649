"""The parts of the grower's page beside its sentence: three steps and the organizations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from onboarding.describe.told import Org, Step, Told
from onboarding.i18n import gettext as _
from onboarding.i18n import ngettext
from onboarding.models import Connection, Organization
from onboarding.states import Stage

NAMES_SHOWN = 3
LISTED = 30
"""Of each kind: a dealer sees hundreds, and the page has to stay light."""
NOT_SIGNED_IN = frozenset({Stage.INVITED, Stage.AUTHORIZING})
"""Whatever token there was before: it ended with the connection that was disconnected."""


AT_LEAF_PROBLEM = frozenset(
    {
        "application_refused",
        "credential_missing",
        "missing_permission",
        "no_refresh_token",
        "reconnect",
    }
)
UNSEEN = frozenset({"organizations_refused", "organizations_unavailable", "permissions_too_low"})
"""John Deere did not say what is shared, so it is not called "none"."""


@dataclass(frozen=True)
class Listed:
    """Organizations of one kind, by name: as many as a page has room for."""

    shown: tuple[Org, ...]
    more: int
    """How many are left out."""

    @property
    def count(self) -> int:
        """All of them."""
        return len(self.shown) + self.more


@dataclass(frozen=True)
class Organizations:
    """The grower's organizations, by what they share."""

    shared: Listed
    not_shared: Listed
    partners: Listed
    """Other farms' organizations that are not shared."""

    @property
    def is_told_by_step(self) -> bool:
        """Whether the step names all of them, so that no list is needed."""
        others = self.not_shared.count + self.partners.count
        return not others and self.shared.count <= NAMES_SHOWN


def organizations(subject: Connection) -> Organizations:
    """The organizations of a connection, each list by name."""
    rows = sorted(subject.organizations, key=lambda row: row.name.casefold())
    return Organizations(
        shared=_listed(row for row in rows if row.connected),
        not_shared=_listed(row for row in rows if not row.connected and row.member),
        partners=_listed(row for row in rows if not row.connected and not row.member),
    )


def _listed(rows: Iterable[Organization]) -> Listed:
    found = [Org(row.deere_id, row.name, row.connected) for row in rows]
    return Listed(tuple(found[:LISTED]), more=max(0, len(found) - LISTED))


def steps(subject: Connection, told: Told) -> tuple[Step, ...]:
    """Signed in · organizations shared, by name · Leaf can fetch data."""
    return (_sign_in(subject, told), _sharing(subject, told), _leaf(subject, told))


def _sign_in(subject: Connection, told: Told) -> Step:
    ahead = _("Sign in")
    if told.code in {"no_refresh_token", "application_refused"}:
        return Step(ahead, "problem", told.label)
    if told.code in {"reconnect", "credential_missing", "disconnected"}:
        return Step(ahead, "todo", _("Has to be done again"))
    if told.code == "finishing":
        return Step(ahead, "wait", _("John Deere is answering"))
    if subject.token_received_at is None or subject.stage in NOT_SIGNED_IN:
        return Step(ahead, "now", _("Not done yet"))
    return Step(_("Signed in"), "done", _("At John Deere"))


def _sharing(subject: Connection, told: Told) -> Step:
    shared = organizations(subject).shared
    if shared.count:
        names = ", ".join(entry.name for entry in shared.shown[:NAMES_SHOWN])
        more = shared.count - NAMES_SHOWN
        if more > 0:
            names += " " + ngettext("and %(n)d more", "and %(n)d more", more) % {"n": more}
        return Step(_("Organizations shared"), "done", names)
    if subject.token_received_at is None:
        return Step(_("Organizations shared"), "todo", _("Comes after the sign-in"))
    return Step(
        _("Organizations shared"),
        "problem" if subject.sharing_trouble else "now",
        _("We can’t see it yet") if told.code in UNSEEN else _("None yet"),
    )


def _leaf(subject: Connection, told: Told) -> Step:
    name = _("Leaf can fetch data")
    if subject.stage is Stage.FAILED:
        return Step(name, "problem", _("We are on it"))
    if subject.stage is Stage.HANDING_OVER:
        is_held_up = told.code in {"waiting_for_leaf", "waiting_for_staff"}
        return Step(name, "wait", told.label if is_held_up else _("On its way"))
    if subject.stage is Stage.DISCONNECTING:
        return Step(name, "wait", _("Is being stopped"))
    if subject.stage is Stage.DISCONNECTED:
        return Step(name, "todo", _("Stopped"))
    if not subject.is_at_leaf:
        return Step(name, "todo", _("Follows by itself"))
    if told.tone == "ok":
        return Step(name, "done", _("Leaf confirms it"))
    if told.code in AT_LEAF_PROBLEM:
        return Step(name, "problem", told.label)
    if not subject.has_shared_organization:
        return Step(name, "todo", _("Waits for an organization"))
    return Step(name, "wait", told.label)
