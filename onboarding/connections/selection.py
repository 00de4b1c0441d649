"""What Leaf fetches: all that is shared, unless the partner chooses by itself, or staff have."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from onboarding.connections import history
from onboarding.connections.owed import owe_check
from onboarding.errors import InputInvalid, UpstreamError, UpstreamRejected
from onboarding.leaf import Leaf
from onboarding.models import Connection, Organization, locked
from onboarding.states import Cause, SyncChoice

SET_AT_ONCE = 20
"""Organizations of which one check tells Leaf; the others' turn comes with the next."""


@dataclass
class Selection:
    """What Leaf fetches of each organization that is connected, once it has been told to."""

    choices: dict[str, SyncChoice | None]
    """By id; one that Leaf does not list, as those of partners, is not there."""
    told: list[str] = field(default_factory=list)
    """Names of those that Leaf has been told to fetch just now."""
    told_not: list[str] = field(default_factory=list)
    """Names of those that it has been told not to fetch any more."""
    failure: UpstreamError | None = None
    """Why Leaf could not be told all of it."""

    @property
    def is_nothing(self) -> bool:
        """Whether Leaf is known to fetch nothing at all."""
        none = {SyncChoice.PREVIEW, SyncChoice.BLOCKED}
        return bool(self.choices) and none.issuperset(self.choices.values())


def choose(
    session: Session, connection: Connection, organization_id: str, choice: SyncChoice, *, who: str
) -> None:
    """Let Leaf fetch an organization, or not; a worker tells it, and the choice stands from now on.

    :param choice: `SELECTED` or `PREVIEW`
    :param who: for the history
    :raise InputInvalid: if that can't be chosen
    """
    connection = locked(session, connection.id)
    row = next((one for one in connection.organizations if one.deere_id == organization_id), None)
    if row is None:
        raise InputInvalid("This connection has no such organization.")
    if choice is SyncChoice.BLOCKED:
        raise InputInvalid("Leaf blocks by itself what is not shared; that can't be chosen.")
    if not row.connected:
        raise InputInvalid(
            f"{row.name} is not shared at John Deere: the grower has to allow it there first."
        )
    if not row.member:
        raise InputInvalid(f"{row.name} belongs to another farm: Leaf does not offer a choice.")
    if not connection.is_at_leaf:
        raise InputInvalid("Leaf holds nothing of this connection: there is nothing to choose.")
    if row.sync_choice is SyncChoice.BLOCKED:
        raise InputInvalid(f"Leaf still blocks {row.name}: let it read the organizations anew.")
    row.sync_chosen, row.sync_choice = choice, None  # until Leaf has confirmed it
    history.record(
        session,
        connection,
        "sync_choice_asked",
        who=who,
        organization=f"{row.name} ({row.deere_id})",
        choice=choice.value,
    )
    owe_check(connection)


def resync(session: Session, connection: Connection, *, who: str) -> None:
    """Let Leaf read anew at John Deere which organizations there are, and tell us.

    :raise InputInvalid: if Leaf holds no credential
    """
    connection = locked(session, connection.id)
    if not connection.is_at_leaf:
        raise InputInvalid("Leaf holds nothing of this connection: there is nothing to read.")
    connection.sync_owed = True
    history.record(session, connection, "resync_asked", who=who)
    owe_check(connection)


def wanted(connection: Connection, connected: Collection[str]) -> Mapping[str, SyncChoice | None]:
    """What Leaf should fetch of each organization.

    :param connected: ids of the organizations that are connected at John Deere
    :return: by id; None: the partner chooses it at Leaf
    """
    chosen = {row.deere_id: row.sync_chosen for row in connection.organizations}
    usual = None if connection.grower.partner.select_organizations else SyncChoice.SELECTED
    return {id: chosen.get(id) or usual for id in connected}


def select(leaf: Leaf, leaf_user_id: str, wanted: Mapping[str, SyncChoice | None]) -> Selection:
    """Let Leaf fetch what it should. Repeating it does no harm.

    :param wanted: as above
    :raise UpstreamError: if Leaf does not say what it fetches
    """
    found = {choice.id: choice for choice in leaf.sync_choices(leaf_user_id) if choice.id in wanted}
    selection = Selection({id: choice.choice for id, choice in found.items()})
    others = [
        (id, target)
        for id, choice in found.items()
        if (target := wanted[id]) is not None
        and choice.choice in {SyncChoice.PREVIEW, SyncChoice.SELECTED} - {target}
    ]
    for organization_id, target in others[:SET_AT_ONCE]:
        try:
            leaf.set_sync_choice(leaf_user_id, organization_id, target)
        except UpstreamError as err:
            selection.failure = err
            if not isinstance(err, UpstreamRejected):
                break
        else:
            selection.choices[organization_id] = target
            names = selection.told if target is SyncChoice.SELECTED else selection.told_not
            names.append(found[organization_id].name)
    return selection


def note(session: Session, connection: Connection, selection: Selection) -> None:
    """Write down what Leaf fetches now. It stays owed until that is all that it should."""
    if selection.told:
        history.record(session, connection, "fetching_selected", organizations=selection.told)
    if selection.told_not:
        history.record(session, connection, "fetching_stopped", organizations=selection.told_not)
    for row in connection.organizations:
        row.sync_choice = selection.choices.get(row.deere_id)
    connection.selection_owed = any(_is_owed(row, selection) for row in connection.organizations)
    is_ours = not connection.grower.partner.select_organizations
    if is_ours and selection.is_nothing and not is_meant(connection):
        connection.cause = Cause.NOTHING_FETCHED
    elif connection.cause is Cause.NOTHING_FETCHED:
        connection.cause = None


def _is_owed(row: Organization, selection: Selection) -> bool:
    is_listed = row.deere_id in selection.choices
    target = row.sync_chosen or SyncChoice.SELECTED
    return row.connected and (row.member or is_listed) and row.sync_choice is not target


def is_meant(connection: Connection) -> bool:
    """Whether somebody here, staff or partner, has chosen that nothing is fetched."""
    shared = [row for row in connection.organizations if row.connected and row.member]
    return bool(shared) and all(row.sync_chosen is SyncChoice.PREVIEW for row in shared)
