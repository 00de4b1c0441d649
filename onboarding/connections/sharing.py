"""What John Deere and Leaf tell of a grower's organizations, taken in: one list of them all."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.connections import history
from onboarding.deere import Organization as DeereOrganization
from onboarding.leaf import LeafOrganizations
from onboarding.models import Attempt, Connection, Organization
from onboarding.states import SharingTrouble

LEAF_LAG = timedelta(minutes=10)
"""So long Leaf's "not connected" does not outweigh what John Deere itself said."""
NAMED_IN_HISTORY = 20
"""Organizations of one kind in one line: a dealer's account sees hundreds."""
BY_THE_GROWER = frozenset({"organization_shared", "organization_not_shared"})


def take_from_deere(
    session: Session, connection: Connection, found: Iterable[DeereOrganization]
) -> None:
    """Take in John Deere's list: what is not in it the account does not see any more."""
    changes = _Changes(is_news=bool(connection.organizations))
    known = {organization.deere_id: organization for organization in connection.organizations}
    for entry in found:
        row = known.pop(entry.id, None) or changes.add(connection, entry.id, entry.name)
        row.name = entry.name or row.name
        row.member = entry.member
        row.manage_url = entry.manage_uri or entry.connect_uri
        changes.set_connected(connection, row, entry.connected)
    for row in known.values():
        changes.remove(connection, row)
    changes.record(session, connection)


def take_from_leaf(
    session: Session, connection: Connection, told: LeafOrganizations, *, moment: datetime
) -> None:
    """Take in Leaf's two lists, which it reads at John Deere, perhaps a little late.

    Leaf owes a sync for each organization that is connected and was not: nobody else may know of
    it, as the grower need not come back from John Deere's page.
    """
    changes = _Changes(is_news=connection.leaf_listed_at is not None)
    connection.leaf_listed_at = moment
    deere_is_fresh = (
        connection.organizations_seen_at is not None
        and moment - connection.organizations_seen_at < LEAF_LAG
    )
    known = {organization.deere_id: organization for organization in connection.organizations}
    listed = {entry.id: (entry, False) for entry in told.not_connected}
    listed |= {entry.id: (entry, True) for entry in told.connected}
    for entry, connected in listed.values():
        row = known.pop(entry.id, None) or changes.add(connection, entry.id, entry.name)
        row.name = entry.name or row.name
        row.manage_url = entry.management_uri or row.manage_url
        if connected and not row.connected:
            connection.sync_owed = True
        if connected or not deere_is_fresh:
            changes.set_connected(connection, row, connected)
    if not deere_is_fresh:
        for row in known.values():
            changes.miss(connection, row)
    changes.record(session, connection)
    if connection.has_shared_organization:
        forget_access_tokens(session, connection)
    # Leaf has read them, so John Deere is up; and if there are some, "none" is no longer true.
    disproved = {SharingTrouble.DEERE_UNAVAILABLE}
    if listed:
        disproved.add(SharingTrouble.NO_ORGANIZATIONS)
    if connection.has_shared_organization or connection.sharing_trouble in disproved:
        connection.sharing_trouble = None
        connection.sharing_detail = ""


def forget_access_tokens(session: Session, connection: Connection) -> None:
    """Erase what was kept for choosing an organization; of earlier attempts, too."""
    session.execute(
        sa.update(Attempt)
        .where(Attempt.connection_id == connection.id, Attempt.access_token.is_not(None))
        .values(access_token=None, access_token_until=None)
    )


class _Changes:
    """What is different from what was known: one line of history for each kind, however many."""

    def __init__(self, *, is_news: bool) -> None:
        """
        :param is_news: whether organizations that nobody knew are worth a line; of an account
            that has not been looked at before, all are
        """
        self._is_news = is_news
        self._found: dict[str, list[Organization]] = {}

    def add(self, connection: Connection, deere_id: str, name: str) -> Organization:
        """An organization that was not known."""
        row = Organization(deere_id=deere_id, name=name, connected=False, member=True)
        connection.organizations.append(row)
        if self._is_news:
            self._note("organization_appeared", row)
        return row

    def set_connected(self, connection: Connection, row: Organization, connected: bool) -> None:
        """Take in whether it is shared."""
        if row.connected == connected:
            return
        row.connected = connected
        row.sync_choice = None  # Leaf blocks what is not shared, and begins anew with what is
        if connected:
            connection.selection_owed = True
        self._note("organization_shared" if connected else "organization_not_shared", row)

    def miss(self, connection: Connection, row: Organization) -> None:
        """Leaf names it no more. It need not name other farms' organizations at all."""
        if row.member:
            self.remove(connection, row)
        else:
            self.set_connected(connection, row, False)

    def remove(self, connection: Connection, row: Organization) -> None:
        """The account does not see it any more."""
        connection.organizations.remove(row)
        self._note("organization_gone", row)

    def record(self, session: Session, connection: Connection) -> None:
        """Write the lines."""
        for kind, rows in self._found.items():
            named = [f"{row.name} ({row.deere_id})" for row in rows[:NAMED_IN_HISTORY]]
            more = max(0, len(rows) - NAMED_IN_HISTORY)
            who = history.GROWER if kind in BY_THE_GROWER else history.SYSTEM
            history.record(session, connection, kind, who=who, organizations=named, more=more)

    def _note(self, kind: str, row: Organization) -> None:
        self._found.setdefault(kind, []).append(row)
