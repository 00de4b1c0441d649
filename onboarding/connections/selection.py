"""Letting Leaf fetch what is shared, for a partner that does not choose by itself."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from onboarding.connections import history
from onboarding.errors import UpstreamError, UpstreamRejected
from onboarding.leaf import Leaf, SyncChoice
from onboarding.models import Connection
from onboarding.states import Cause

SELECTED_AT_ONCE = 20
"""Organizations for which one check tells Leaf to fetch; the others' turn comes with the next."""


@dataclass
class Selection:
    """What Leaf fetches of each organization that is connected, once it has been told to."""

    choices: dict[str, SyncChoice | None]
    """By id; one that Leaf does not list, as those of partners, is not there."""
    told: list[str] = field(default_factory=list)
    """Names of those that Leaf has been told to fetch just now."""
    failure: UpstreamError | None = None
    """Why Leaf could not be told to fetch all of them."""

    @property
    def is_nothing(self) -> bool:
        """Whether Leaf is known to fetch nothing at all."""
        none = {SyncChoice.PREVIEW, SyncChoice.BLOCKED}
        return bool(self.choices) and none.issuperset(self.choices.values())


def select(leaf: Leaf, leaf_user_id: str, connected: Collection[str]) -> Selection:
    """Let Leaf fetch the organizations of which it has only a preview. Repeating it does no harm.

    :param connected: ids of the organizations that are connected at John Deere
    :raise UpstreamError: if Leaf does not say what it fetches
    """
    found = {
        choice.id: choice for choice in leaf.sync_choices(leaf_user_id) if choice.id in connected
    }
    selection = Selection({id: choice.choice for id, choice in found.items()})
    previews = [id for id, choice in found.items() if choice.choice is SyncChoice.PREVIEW]
    for organization_id in previews[:SELECTED_AT_ONCE]:
        try:
            leaf.set_sync_choice(leaf_user_id, organization_id, SyncChoice.SELECTED)
        except UpstreamError as err:
            selection.failure = err
            if not isinstance(err, UpstreamRejected):
                break
        else:
            selection.choices[organization_id] = SyncChoice.SELECTED
            selection.told.append(found[organization_id].name)
    return selection


def note(session: Session, connection: Connection, selection: Selection) -> None:
    """Write down what Leaf fetches now. It stays owed until that is all that is shared."""
    if selection.told:
        history.record(session, connection, "fetching_selected", organizations=selection.told)
    connection.selection_owed = any(
        selection.choices.get(row.deere_id) is not SyncChoice.SELECTED
        for row in connection.organizations
        if row.connected and (row.member or row.deere_id in selection.choices)
    )
    if selection.is_nothing:
        connection.cause = Cause.NOTHING_FETCHED
    elif connection.cause is Cause.NOTHING_FETCHED:
        connection.cause = None
