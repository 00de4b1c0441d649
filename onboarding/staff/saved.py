"""Views of the table under a name: a person's own, and what others share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.errors import InputInvalid
from onboarding.i18n import gettext as _
from onboarding.models import SavedView, Staff
from onboarding.staff import audit
from onboarding.staff.roles import Member
from onboarding.staff.table import Filter

NAME_MAX = 60
VIEWS_MAX = 50


@dataclass(frozen=True)
class View:
    """A view, and whose it is."""

    id: UUID
    name: str
    query: str
    is_shared: bool
    is_own: bool
    owner: str


def visible(session: Session, by: Member) -> Sequence[View]:
    """Their own and those that are shared, by name."""
    query = (
        sa.select(SavedView, Staff.email, Staff.name)
        .join(Staff, Staff.id == SavedView.staff_id)
        .where(sa.or_(SavedView.staff_id == by.id, SavedView.is_shared))
        .order_by(sa.func.lower(SavedView.name), SavedView.id)
        .limit(2 * VIEWS_MAX)
    )
    return [
        View(one.id, one.name, one.query, one.is_shared, one.staff_id == by.id, name or email)
        for one, email, name in session.execute(query)
    ]


def save(session: Session, by: Member, asked: Filter, *, name: str, is_shared: bool) -> None:
    """Keep a view under a name; what they had under it is replaced.

    :raise InputInvalid: if the name can't be used
    """
    name = " ".join(name.replace("\0", " ").split())
    if not name or len(name) > NAME_MAX:
        raise InputInvalid(
            _("Give the view a name of 1 to %(number)d characters.") % {"number": NAME_MAX}
        )
    own = sa.select(SavedView).where(SavedView.staff_id == by.id)
    view = session.scalar(own.where(SavedView.name == name))
    if view is None:
        had = session.scalar(sa.select(sa.func.count()).select_from(own.subquery())) or 0
        if had >= VIEWS_MAX:
            raise InputInvalid(
                _("You have %(number)d views. Delete one that you do not need any more.")
                % {"number": had}
            )
        view = SavedView(staff_id=by.id, name=name, created_at=now())
        session.add(view)
    view.query, view.is_shared = asked.query(), is_shared
    audit.record(session, by, "view.save", name=name, shared=is_shared)


def delete(session: Session, by: Member, view_id: UUID) -> bool:
    """Delete one of their own; whether there was one."""
    view = session.get(SavedView, view_id)
    if view is None or view.staff_id != by.id:
        return False
    session.delete(view)
    audit.record(session, by, "view.delete", name=view.name)
    return True
