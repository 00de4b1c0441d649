"""Accounts of staff: who they are, how they sign in, and how they are kept from being guessed."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.db import Database
from onboarding.errors import InputInvalid
from onboarding.i18n import gettext as _
from onboarding.links import digest, new_secret
from onboarding.models import Partner, Staff, StaffSession
from onboarding.staff import audit, passwords, sessions
from onboarding.staff.roles import Member, member_of
from onboarding.states import Role

INVITED_FOR = timedelta(hours=24)
TRIES = 5
"""Wrong passwords in a row before the account is locked for a while."""
SHORTEST_LOCK = timedelta(minutes=1)
LONGEST_LOCK = timedelta(hours=1)
ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
NAME_MAX, EMAIL_MAX = 200, 254


def spelled(email: str) -> str:
    """An address as it is kept."""
    return email.strip().lower()


def named(session: Session, email: str) -> Staff:
    """The person with this address.

    :raise InputInvalid: if there is none
    """
    found = session.scalar(sa.select(Staff).where(Staff.email == spelled(email)))
    if found is None:
        raise InputInvalid(_("There is no account for %(email)s.") % {"email": email})
    return found


def add(
    session: Session,
    by: Member | None,
    *,
    email: str,
    role: Role,
    name: str = "",
    partners: Collection[str] | None = None,
    who: str = audit.COMMAND,
) -> Staff:
    """Let a person in, who then signs in by the company's account or sets a password by a link.

    :param by: None: `who`
    :param partners: slugs of those that they are limited to; None: they see all
    :raise InputInvalid: saying what to change
    """
    email = spelled(email)
    if not ADDRESS.fullmatch(email) or len(email) > EMAIL_MAX:
        raise InputInvalid(_("%(email)s is not an e-mail address.") % {"email": email})
    if session.scalar(sa.select(Staff.id).where(Staff.email == email)) is not None:
        raise InputInvalid(_("There is an account for %(email)s already.") % {"email": email})
    made = Staff(email=email, name=name.strip()[:NAME_MAX], role=role, created_at=now())
    made.is_limited = partners is not None
    made.partners = _partners(session, partners or ())
    session.add(made)
    session.flush()
    limits = _limits(made)
    audit.record(session, by, "staff.add", who=who, email=email, role=role.value, partners=limits)
    return made


def invite(session: Session, by: Member | None, staff: Staff) -> str:
    """Make the link by which a person sets a password; one made before is worth nothing any more.

    :return: the secret in it
    :raise InputInvalid: if they are disabled
    """
    if staff.disabled_at is not None:
        raise InputInvalid(_("The account is disabled. Enable it first."))
    secret = new_secret()
    staff.invitation_digest = digest(secret)
    staff.invitation_until = now() + INVITED_FOR
    audit.record(session, by, "staff.link", email=staff.email)
    return secret


def invited(session: Session, secret: str) -> Staff | None:
    """Whose link it is, if it is still good."""
    found = session.scalar(sa.select(Staff).where(Staff.invitation_digest == digest(secret)))
    if found is None or found.invitation_until is None or found.disabled_at is not None:
        return None
    return found if found.invitation_until > now() else None


def set_password(session: Session, staff: Staff, password: str, *, but: UUID | None = None) -> None:
    """Set a person's password, by themselves. Where they are signed in, they are so no more.

    :param but: the session that stays
    :raise InputInvalid: if it is too easy to guess
    """
    passwords.check(password, email=staff.email)
    staff.password_hash = passwords.hashed(password)
    staff.password_set_at = now()
    staff.invitation_digest = staff.invitation_until = None
    staff.failures, staff.locked_until = 0, None
    others = [] if but is None else [StaffSession.id != but]
    sessions.end(session, StaffSession.staff_id == staff.id, *others)
    audit.record(session, member_of(staff), "staff.password_set")


def check_password(database: Database, email: str, password: str) -> UUID | None:
    """Who it is, if the password is right and the account neither locked nor disabled.

    A try counts as a wrong one until it has proved right, so that many at once count as well.
    Whatever is wrong, the answer and the time that it takes are the same.
    """
    found = _begin_try(database, email)
    right = passwords.matches(found.password_hash if found else None, password)
    if found is None:
        return None
    with database.transaction() as session:
        staff = session.get_one(Staff, found.id)
        if not right:
            audit.record(
                session,
                None,
                "staff.sign_in_failed",
                who=audit.NOBODY,
                email=staff.email,
                locked=staff.locked_until is not None,
            )
            return None
        staff.failures, staff.locked_until = 0, None
        if staff.password_hash and passwords.is_outdated(staff.password_hash):
            staff.password_hash = passwords.hashed(password)
    return found.id


def disable(session: Session, by: Member | None, staff: Staff) -> None:
    """Let a person in no more, and end their sessions.

    :raise InputInvalid: if nobody would be left who lets others in
    """
    if staff.disabled_at is not None:
        return
    _keep_one_administrator(session, staff)
    staff.disabled_at = now()
    staff.invitation_digest = staff.invitation_until = None
    sessions.end(session, StaffSession.staff_id == staff.id)
    audit.record(session, by, "staff.disable", email=staff.email)


def enable(session: Session, by: Member | None, staff: Staff) -> None:
    """Let a person in again, with the password that they had."""
    if staff.disabled_at is None:
        return
    staff.disabled_at = None
    staff.failures, staff.locked_until = 0, None
    audit.record(session, by, "staff.enable", email=staff.email)


def change(
    session: Session,
    by: Member | None,
    staff: Staff,
    *,
    role: Role,
    partners: Collection[str] | None,
) -> None:
    """Change what a person may do and see; it holds from their next click on.

    :param partners: slugs of those that they are limited to; None: they see all
    :raise InputInvalid: if nobody would be left who lets others in, or a partner is not known
    """
    if role is not Role.ADMINISTRATOR or partners is not None:
        _keep_one_administrator(session, staff)
    staff.role, staff.is_limited = role, partners is not None
    staff.partners = _partners(session, partners or ())
    audit.record(
        session, by, "staff.role", email=staff.email, role=role.value, partners=_limits(staff)
    )


def _begin_try(database: Database, email: str) -> Staff | None:
    """The person, if they may try; the try is counted."""
    with database.transaction() as session:
        found = session.scalar(
            sa.select(Staff).where(Staff.email == spelled(email)).with_for_update()
        )
        if found is None or found.disabled_at is not None:
            return None
        if found.locked_until is not None and found.locked_until > now():
            return None
        found.failures += 1
        if found.failures >= TRIES:
            found.locked_until = now() + lock_after(found.failures)
        return found


def lock_after(failures: int) -> timedelta:
    """For how long an account is locked: twice as long after each further wrong password."""
    doublings = min(max(failures - TRIES, 0), 10)
    return min(SHORTEST_LOCK * (1 << doublings), LONGEST_LOCK)


def _keep_one_administrator(session: Session, staff: Staff) -> None:
    """Somebody has to be left who lets others in, and sees all partners.

    All of them are locked, so that two who demote each other do so in turn.
    """
    query = sa.select(Staff.id).where(
        Staff.role == Role.ADMINISTRATOR, Staff.disabled_at.is_(None), Staff.is_limited.is_(False)
    )
    left = set(session.scalars(query.with_for_update())) - {staff.id}
    if not left and staff.role is Role.ADMINISTRATOR and not staff.is_limited:
        raise InputInvalid(
            _("%(email)s is the last administrator who sees all partners. Name another one first.")
            % {"email": staff.email}
        )


def _partners(session: Session, slugs: Collection[str]) -> list[Partner]:
    found = session.scalars(sa.select(Partner).where(Partner.slug.in_(slugs))).all()
    unknown = set(slugs) - {one.slug for one in found}
    if unknown:
        raise InputInvalid(
            _("There is no partner %(slug)s.") % {"slug": ", ".join(sorted(unknown))}
        )
    return list(found)


def _limits(staff: Staff) -> list[str] | None:
    """For the audit: to whom the person is limited."""
    return sorted(one.slug for one in staff.partners) if staff.is_limited else None
