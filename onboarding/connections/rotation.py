"""Encrypting what is stored with the newest key, so that an old one can be dropped."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from onboarding.db import Database
from onboarding.errors import TokenUnreadable
from onboarding.models import Attempt, Connection
from onboarding.vault import Vault

BATCH = 200


@dataclass
class Rotated:
    """How many secrets were encrypted anew, and how many no key reads."""

    renewed: int = 0
    unreadable: int = 0


def rotate(database: Database, vault: Vault) -> Rotated:
    """Encrypt every stored secret that can be read with the first key; the others stay as they are.

    May run while everything else does, and again after an interruption.
    """
    done = Rotated()
    _rotate(database, vault, Connection.refresh_token, "token_place", done)
    _rotate(database, vault, Attempt.code_verifier, "verifier_place", done)
    _rotate(database, vault, Attempt.access_token, "access_token_place", done)
    return done


def _rotate(
    database: Database,
    vault: Vault,
    column: InstrumentedAttribute[bytes | None],
    place: str,
    done: Rotated,
) -> None:
    last = None
    while True:
        with database.transaction() as session:
            rows = _next_rows(session, column, last)
            for row in rows:
                stored = getattr(row, column.key)
                if stored is not None and not vault.is_current(stored):
                    _renew(vault, row, column.key, getattr(row, place), done)
        if len(rows) < BATCH:
            return
        last = rows[-1].id


def _renew(vault: Vault, row: Connection | Attempt, name: str, place: str, done: Rotated) -> None:
    try:
        secret = vault.decrypt(getattr(row, name), place=place)
    except TokenUnreadable:
        done.unreadable += 1
        return
    setattr(row, name, vault.encrypt(secret, place=place))
    done.renewed += 1


def _next_rows(
    session: Session, column: InstrumentedAttribute[bytes | None], last: object
) -> list[Connection | Attempt]:
    table = column.class_
    query = sa.select(table).where(column.is_not(None)).order_by(table.id).limit(BATCH)
    if last is not None:
        query = query.where(table.id > last)
    return list(session.scalars(query.with_for_update(of=table)))
