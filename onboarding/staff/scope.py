"""What keeps a member to the partners that they see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.models import Partner
from onboarding.staff.roles import Member


def of_partners(
    column: sa.ColumnElement[UUID] | Any, by: Member, asked: UUID | None = None
) -> list[sa.ColumnElement[bool]]:
    """Conditions: what is of partners that the member sees, and of one if it is asked for.

    :param column: that holds a partner's id
    """
    limits = [] if by.partners is None else [column.in_(by.partners)]
    return limits if asked is None else [*limits, column == asked]


def visible_partners(session: Session, by: Member) -> Sequence[Partner]:
    """The partners that the member sees, by name."""
    query = sa.select(Partner).where(*of_partners(Partner.id, by))
    return session.scalars(query.order_by(Partner.name, Partner.id)).all()
