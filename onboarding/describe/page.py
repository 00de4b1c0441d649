"""The parts of the grower's page beside its sentence: three steps and the organizations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from onboarding.describe.names import name_of
from onboarding.describe.told import Org, Step, Told
from onboarding.i18n import gettext as _
from onboarding.i18n import ngettext
from onboarding.models import Connection, Organization
from onboarding.states import SharingTrouble, Stage

NAMES_SHOWN = 3
LISTED = 10
"""Of each kind: a dealer sees hundreds, and the page has to stay short and light."""
NOT_SIGNED_IN = frozenset({Stage.INVITED, Stage.AUTHORIZING})
"""Whatever token there was before: it ended with the connection that was disconnected."""
REFUSED_SIGN_IN = frozenset({"application_refused", "no_refresh_token"})
TO_CONNECT_AGAIN = frozenset({"credential_missing", "reconnect"})
UNSEEN = frozenset(
    {
        SharingTrouble.ANSWER_UNKNOWN,
        SharingTrouble.APPLICATION_REFUSED,
        SharingTrouble.DEERE_UNAVAILABLE,
        SharingTrouble.PERMISSIONS_TOO_LOW,
    }
)
"""John Deere did not say what is shared, so it is not called "none"."""
SHARING_PROBLEM = frozenset(
    {"organizations_refused", "organizations_unavailable", "organizations_unknown"}
)


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
    can_add: bool
    """Whether a button of the list may lead to John Deere's page for them; false where the page
    leads there anyway, or has something else to do first."""

    @property
    def is_told_by_step(self) -> bool:
        """Whether the step names all of them, so that no list is needed."""
        others = self.not_shared.count + self.partners.count
        return not others and self.shared.count <= NAMES_SHOWN


def organizations(subject: Connection, told: Told) -> Organizations:
    """The organizations of a connection, each list by name; none if what we know is not of now."""
    is_of_now = _is_signed_in(subject, told) and not _is_unseen(subject)
    rows = _by_name(subject.organizations) if is_of_now else []
    # The grower may have chosen more than anybody could tell us.
    others = [] if subject.has_unseen_choice else [row for row in rows if not row.connected]
    return Organizations(
        shared=_listed(row for row in rows if row.connected),
        not_shared=_listed(row for row in others if row.member),
        partners=_listed(row for row in others if not row.member),
        can_add=told.who != "staff" and told.action is None and not _leads_to_all(told),
    )


def _is_unseen(subject: Connection) -> bool:
    if subject.has_shared_organization:
        return False
    return subject.has_unseen_choice or subject.trouble_in_the_way in UNSEEN


def _by_name(rows: Iterable[Organization]) -> list[Organization]:
    return sorted(rows, key=lambda row: name_of(row).casefold())


def _listed(rows: Iterable[Organization]) -> Listed:
    found = [Org(row.deere_id, name_of(row), row.connected) for row in rows]
    return Listed(tuple(found[:LISTED]), more=max(0, len(found) - LISTED))


def _leads_to_all(told: Told) -> bool:
    """Whether a step of the page leads to John Deere's page for all organizations."""
    return any(one.kind == "organizations" and not one.organization_id for one in told.others)


def steps(subject: Connection, told: Told) -> tuple[Step, ...]:
    """Signed in · organizations shared, by name · Leaf can fetch data.

    Each can only be done once those before it are.
    """
    return (_sign_in(subject, told), _sharing(subject, told), _leaf(subject, told))


def _sign_in(subject: Connection, told: Told) -> Step:
    ahead = _("Sign in")
    if told.code in REFUSED_SIGN_IN:
        return Step(ahead, "problem", told.label)
    if told.code in TO_CONNECT_AGAIN:
        return Step(ahead, "now", _("Has to be done again"))
    if told.code == "disconnected":
        return Step(ahead, "todo", _("To connect again"))
    if told.code == "finishing":
        return Step(ahead, "wait", _("John Deere is answering"))
    if subject.token_received_at is None or subject.stage in NOT_SIGNED_IN:
        return Step(ahead, "now", _("Not done yet"))
    return Step(_("Signed in"), "done", _("At John Deere"))


def _is_signed_in(subject: Connection, told: Told) -> bool:
    return _sign_in(subject, told).state == "done"


def _sharing(subject: Connection, told: Told) -> Step:
    shared = [name_of(row) for row in _by_name(subject.organizations) if row.connected]
    if not _is_signed_in(subject, told):
        last = _("Last known: %(names)s") % {"names": _names(shared)} if shared else ""
        return Step(_("Choose organizations"), "todo", last or _("Comes after the sign-in"))
    if shared:
        is_told = organizations(subject, told).is_told_by_step
        return Step(
            _("Organizations shared"), "done", _names(shared) if is_told else _number(shared)
        )
    name = _("Choose organizations")
    text = _("We can’t see yet what is shared") if _is_unseen(subject) else _("None shared yet")
    if told.code in SHARING_PROBLEM:
        return Step(name, "problem", text)
    return Step(name, "now" if told.who == "grower" else "todo", text)


def _names(shared: list[str]) -> str:
    names = ", ".join(shared[:NAMES_SHOWN])
    more = len(shared) - NAMES_SHOWN
    if more > 0:
        names += " " + ngettext("and %(n)d more", "and %(n)d more", more) % {"n": more}
    return names


def _number(shared: list[str]) -> str:
    n = len(shared)
    return ngettext("%(n)d organization", "%(n)d organizations", n) % {"n": n}


def _leaf(subject: Connection, told: Told) -> Step:
    name = _("Leaf can fetch data")
    if subject.stage is Stage.DISCONNECTED:
        return Step(name, "todo", _("Stopped"))
    if not _is_signed_in(subject, told):
        return Step(name, "todo", _("Follows by itself"))
    if subject.stage is Stage.FAILED:
        return Step(name, "problem", _("We are on it"))
    if subject.stage is Stage.HANDING_OVER:
        is_held_up = told.code in {"waiting_for_leaf", "waiting_for_staff"}
        return Step(name, "wait", told.label if is_held_up else _("On its way"))
    if told.tone == "ok":
        return Step(name, "done", _("Leaf confirms it"))
    if told.code == "missing_permission":
        return Step(name, "now", told.label)
    if not subject.has_shared_organization:
        return Step(name, "todo", _("Waits for an organization"))
    return Step(name, "wait", told.label)
