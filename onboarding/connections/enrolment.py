"""Many growers at once, each with a connection and a link."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import history, listing
from onboarding.models import Connection, Event, Grower, Link

AT_ONCE = 500


@dataclass(frozen=True)
class Newcomer:
    """A grower who is not known yet. What is written here has been looked at before."""

    external_id: str
    name: str
    email: str | None
    phone: str | None
    leaf_user_id: str | None


def enrol(
    session: Session, partner_id: UUID, newcomers: Sequence[Newcomer], *, lifetime: timedelta
) -> list[UUID]:
    """Write them down with few statements: one by one ten thousand would take half a minute.

    :param lifetime: of their links
    :return: the ids of the links, in the same order
    :raise IntegrityError: if one is known after all
    """
    moment = now()
    links: list[UUID] = []
    for part in _parts(newcomers):
        growers = [
            {"id": uuid4(), "partner_id": partner_id, "created_at": moment, **vars(one)}
            for one in part
        ]
        connections = [
            {"id": uuid4(), "grower_id": one["id"], "created_at": moment} for one in growers
        ]
        made = [
            {
                "id": uuid4(),
                "grower_id": one["id"],
                "created_at": moment,
                "expires_at": moment + lifetime,
            }
            for one in growers
        ]
        events = [
            {
                "connection_id": one["id"],
                "at": moment,
                "kind": "link_made",
                "who": history.STAFF,
                "data": {},
            }
            for one in connections
        ]
        rows: tuple[tuple[type[Any], list[dict[str, Any]]], ...] = (
            (Grower, growers),
            (Connection, connections),
            (Link, made),
            (Event, events),
        )
        for table, values in rows:
            session.execute(sa.insert(table), values)
        listing.rebuild(session, [one["id"] for one in connections])
        links += [one["id"] for one in made]
    return links


def _parts(newcomers: Sequence[Newcomer]) -> Iterator[Sequence[Newcomer]]:
    for start in range(0, len(newcomers), AT_ONCE):
        yield newcomers[start : start + AT_ONCE]
