"""Encrypting what is stored with the newest key, so that an old one can be dropped."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from onboarding.db import Database
from onboarding.models import Attempt, Connection
from onboarding.vault import Vault

BATCH = 200


def rotate(database: Database, vault: Vault) -> int:
    """Encrypt every stored secret with the first key.

    May run while everything else does, and again after an interruption.

    :return: how many secrets were encrypted anew
    :raise TokenUnreadable: if one can't be read with any key; nothing of its batch is changed
    """
    return (
        _rotate(database, vault, Connection.refresh_token, "token_place")
        + _rotate(database, vault, Attempt.code_verifier, "verifier_place")
        + _rotate(database, vault, Attempt.access_token, "access_token_place")
    )


def _rotate(
    database: Database,
    vault: Vault,
    column: InstrumentedAttribute[bytes | None],
    place: str,
) -> int:
    renewed = 0
    last = None
    while True:
        with database.transaction() as session:
            rows = _next_rows(session, column, last)
            for row in rows:
                stored = getattr(row, column.key)
                if stored is not None and not vault.is_current(stored):
                    where = getattr(row, place)
                    secret = vault.decrypt(stored, place=where)
                    setattr(row, column.key, vault.encrypt(secret, place=where))
                    renewed += 1
        if len(rows) < BATCH:
            return renewed
        last = rows[-1].id


def _next_rows(
    session: Session, column: InstrumentedAttribute[bytes | None], last: object
) -> list[Connection | Attempt]:
    table = column.class_
    query = sa.select(table).where(column.is_not(None)).order_by(table.id).limit(BATCH)
    if last is not None:
        query = query.where(table.id > last)
    return list(session.scalars(query.with_for_update(of=table)))
