"""A person who is signed in, and which partners they see."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from onboarding.models import Staff
from onboarding.states import Role


@dataclass(frozen=True)
class Member:
    """A person who is signed in.

    :ivar partners: the ids of those that they see; None: all
    """

    id: UUID
    email: str
    name: str
    role: Role
    partners: frozenset[UUID] | None

    def may(self, role: Role) -> bool:
        """Whether they may do what needs this role."""
        return self.role.includes(role)

    def sees(self, partner_id: UUID | None) -> bool:
        """Whether they see what is of this partner; what is of none only who sees all of them."""
        return self.partners is None or partner_id in self.partners


def member_of(staff: Staff) -> Member:
    """What the person may do and see, as of now."""
    return Member(
        id=staff.id,
        email=staff.email,
        name=staff.name or staff.email,
        role=staff.role,
        partners=frozenset(one.id for one in staff.partners) if staff.is_limited else None,
    )
