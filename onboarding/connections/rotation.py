"""Encrypting what is stored with the newest key, so that an old one can be dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute

from onboarding.db import Database
from onboarding.errors import TokenUnreadable
from onboarding.models import ApiAnswer, Application, Attempt, Base, Connection, WebhookEndpoint
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
    _rotate(database, vault, Application.client_secret, "secret_place", done)
    _rotate(database, vault, ApiAnswer.answer, "answer_place", done)
    _rotate(database, vault, WebhookEndpoint.secret, "secret_place", done)
    _rotate(database, vault, WebhookEndpoint.old_secret, "old_secret_place", done)
    return done


def _rotate(
    database: Database,
    vault: Vault,
    column: InstrumentedAttribute[bytes | None] | InstrumentedAttribute[bytes],
    place: str,
    done: Rotated,
) -> None:
    last = None
    table = column.class_
    query = sa.select(table).with_for_update(of=table)
    while ids := _next_ids(database, column, last):
        for row_id in ids:
            # Each in a transaction of its own: who holds several rows must take them in the
            # order in which others do.
            with database.transaction() as session:
                row = session.scalars(query.where(table.id == row_id)).one()
                stored = getattr(row, column.key)
                if stored is not None and not vault.is_current(stored):
                    _renew(vault, row, column.key, getattr(row, place), done)
        last = ids[-1]


def _renew(vault: Vault, row: Base, name: str, place: str, done: Rotated) -> None:
    try:
        secret = vault.decrypt(getattr(row, name), place=place)
    except TokenUnreadable:
        done.unreadable += 1
        return
    setattr(row, name, vault.encrypt(secret, place=place))
    done.renewed += 1


def _next_ids(
    database: Database,
    column: InstrumentedAttribute[bytes | None] | InstrumentedAttribute[bytes],
    last: UUID | None,
) -> Sequence[UUID]:
    """The next rows that hold a secret, by id."""
    table = column.class_
    query = sa.select(table.id).where(column.is_not(None)).order_by(table.id).limit(BATCH)
    if last is not None:
        query = query.where(table.id > last)
    with database.reading() as session:
        return session.scalars(query).all()
