"""Which connections are meant, and which of them would be left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.models import Connection, Grower, Listing, Mail
from onboarding.staff import finding
from onboarding.staff.roles import Member
from onboarding.staff.scope import of_partners
from onboarding.staff.table import Filter
from onboarding.states import BulkKind, LeftOut, MailKind, MailState, Stage

PICKED_AT_MOST = 1000
"""References that one form may name."""
AT_LEAF = (Stage.CHOOSING_ORGANIZATIONS, Stage.CONNECTED)


@dataclass(frozen=True)
class Choice:
    """Connections, picked one by one, or all that a view of the table shows.

    :ivar view: the query of the table's address; None: they were picked
    """

    references: tuple[str, ...] = ()
    view: str | None = None

    def ids(self, session: Session, by: Member) -> sa.Select[Any]:
        """Their ids and their partners', as far as the member sees them.

        :raise InputInvalid: if the view can't be meant
        """
        if self.view is not None:
            return of_view(session, by, self.view)
        columns: tuple[Any, ...] = (Connection.id, Grower.partner_id)
        return (
            sa.select(*columns)
            .join(Grower, Grower.id == Connection.grower_id)
            .where(Connection.reference.in_(self.references))
            .where(*of_partners(Grower.partner_id, by))
        )


def of_view(session: Session, by: Member, view: str) -> sa.Select[Any]:
    """Ids of the connections that a view of the table shows, and of their partners."""
    found = finding.select_ids(session, by, Filter.parse_query(view))
    return found.add_columns(Listing.partner_id)


def outlook(session: Session, by: Member, kind: BulkKind, choice: Choice) -> dict[str, int]:
    """How many it would be done with, under an empty key, and how many be left out, by `LeftOut`.

    An address that no mail server takes is found only when its turn comes.
    """
    reason = left_out(kind).label("reason")
    chosen = choice.ids(session, by).subquery()
    query = (
        sa.select(reason, sa.func.count().label("number"))
        .select_from(Connection)
        .join(Grower, Grower.id == Connection.grower_id)
        .where(Connection.id.in_(sa.select(chosen.c[0])))
        .group_by(reason)
    )
    return {row.reason: row.number for row in session.execute(query)}


def reasons(session: Session, kind: BulkKind, ids: list[UUID]) -> dict[UUID, LeftOut | None]:
    """Why each of these is left out, if it is. They should be locked."""
    query = (
        sa.select(Connection.id, left_out(kind))
        .join(Grower, Grower.id == Connection.grower_id)
        .where(Connection.id.in_(ids))
    )
    return {key: LeftOut(why) if why else None for key, why in session.execute(query)}


def left_out(kind: BulkKind) -> sa.ColumnElement[str]:
    """Why a connection is left out, as SQL; empty if it is not."""
    cases: list[tuple[sa.ColumnElement[bool], LeftOut]] = {
        BulkKind.RECHECK: [
            (
                sa.or_(
                    Connection.stage.not_in(AT_LEAF),
                    Connection.check_due_at.is_(None),
                    Grower.leaf_user_id.is_(None),
                ),
                LeftOut.NOT_AT_LEAF,
            )
        ],
        BulkKind.NEW_LINK: [],
        BulkKind.MAIL: [
            (sa.func.coalesce(Grower.email, "") == "", LeftOut.NO_ADDRESS),
            (Grower.address_refused_at.is_not(None), LeftOut.ADDRESS_REFUSED),
            (Grower.mail_stopped_at.is_not(None), LeftOut.MAIL_STOPPED),
            (_mail_waits(), LeftOut.MAIL_WAITS),
        ],
    }[kind]
    if not cases:
        return sa.literal("")
    # Written into the statement: PostgreSQL groups only by what it sees to be the same.
    whens: list[Any] = [
        (condition, sa.literal_column(f"'{why.value}'")) for condition, why in cases
    ]
    return sa.case(*whens, else_=sa.literal_column("''"))


def _mail_waits() -> sa.ColumnElement[bool]:
    return sa.exists().where(
        Mail.connection_id == Connection.id,
        Mail.kind == MailKind.INVITATION,
        Mail.state == MailState.WAITING,
    )
