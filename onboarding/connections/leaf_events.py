"""Leaf's events of a credential: its calls to John Deere, which it drops with the credential."""

from __future__ import annotations

from uuid import UUID

from onboarding.db import Database
from onboarding.leaf import Leaf
from onboarding.models import Connection


def copy(database: Database, leaf: Leaf, connection_id: UUID) -> None:
    """Read a credential's events at Leaf.

    :raise UpstreamError: if Leaf does not show them
    """
    with database.reading() as session:
        leaf_user_id = session.get_one(Connection, connection_id).grower.leaf_user_id
    if leaf_user_id is not None:
        for _ in leaf.events(leaf_user_id):
            pass
