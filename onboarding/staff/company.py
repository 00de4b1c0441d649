"""Whom the company's identity provider has named: who of the staff it is, and what they may do."""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.company import Company
from onboarding.errors import NotLetIn
from onboarding.i18n import gettext as _
from onboarding.identity.provider import Identity
from onboarding.models import Staff
from onboarding.staff import accounts, audit
from onboarding.staff.roles import Member, member_of
from onboarding.states import Role


def admit(session: Session, company: Company, identity: Identity) -> UUID:
    """The person's id, after noting whose account at the provider it is and which role it gives.

    By its subject first, which stays the same for a person; by an address only the first time, and
    only by one that the provider vouches for: else whoever can write a colleague's address into
    their profile would be that colleague.

    :raise NotLetIn: saying why
    """
    role = company.role_of(identity.groups) if company.role_claim else None
    if company.role_claim and role is None:
        raise NotLetIn(_("Your company account has no role here. Who manages it can give it one."))
    staff = _known(session, identity) or _new(session, identity, role)
    if staff.disabled_at is not None:
        raise NotLetIn(_("Your account here is disabled. An administrator can enable it again."))
    staff.name = staff.name or identity.name[: accounts.NAME_MAX]
    if role is not None and role is not staff.role:
        staff.role = role
        audit.record(
            session,
            member_of(staff),
            "staff.role",
            email=staff.email,
            role=role.value,
            of="company",
        )
    return staff.id


def part_from(session: Session, by: Member | None, staff: Staff) -> None:
    """Forget which account at the provider is theirs: the next one with their address may be."""
    staff.subject = None
    audit.record(session, by, "staff.part", email=staff.email)


def _known(session: Session, identity: Identity) -> Staff | None:
    """The person whose account it is; the first time, the one with the address."""
    by_subject = sa.select(Staff).where(Staff.subject == identity.subject)
    found = session.scalar(by_subject.with_for_update())
    if found is not None:
        return found
    _must_be_verified(identity)
    by_address = sa.select(Staff).where(Staff.email == identity.email)
    found = session.scalar(by_address.with_for_update())
    if found is None:
        return None
    if found.subject is not None:
        raise NotLetIn(
            _(
                "%(email)s belongs to another company account. If that one is gone, an "
                "administrator can part it from the account here."
            )
            % {"email": identity.email}
        )
    _bind(session, found, identity)
    return found


def _new(session: Session, identity: Identity, role: Role | None) -> Staff:
    """Somebody who comes for the first time, let in by the role that the provider gives."""
    if role is None:
        raise NotLetIn(
            _("There is no account for %(email)s here. An administrator can make one.")
            % {"email": identity.email}
        )
    made = accounts.add(
        session, None, email=identity.email, role=role, name=identity.name, who=identity.email
    )
    _bind(session, made, identity)
    return made


def _bind(session: Session, staff: Staff, identity: Identity) -> None:
    staff.subject = identity.subject
    # Whoever asked for the link by which a password is set need not be who has the account.
    staff.invitation_digest = staff.invitation_until = None
    audit.record(session, member_of(staff), "staff.bind", email=staff.email)


def _must_be_verified(identity: Identity) -> None:
    if not identity.email:
        raise NotLetIn(_("Your company account has no e-mail address, by which we would know you."))
    if not identity.is_verified:
        raise NotLetIn(
            _(
                "Your company’s sign-in does not vouch for %(email)s. Have the address verified "
                "there, or ask for a link to set a password here."
            )
            % {"email": identity.email}
        )
