"""Who did what when."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.models import Audit, Connection, Partner
from onboarding.staff.roles import Member

COMMAND = "command"
"""Who acts where nobody has signed in: somebody with a shell on the server."""
NOBODY = "nobody"
"""Who acts where a sign-in failed."""


def record(
    session: Session,
    by: Member | None,
    action: str,
    *,
    connection: Connection | None = None,
    partner: Partner | None = None,
    who: str = COMMAND,
    **data: Any,
) -> None:
    """Write a line, in the transaction of what it is about.

    :param by: None: `who`
    :param action: what was done, in dotted words, e.g. `connection.recheck`
    :param partner: whose it is, if that does not follow from the connection
    :param data: small, as JSON takes it, without secrets
    """
    if connection is not None:
        partner = connection.grower.partner
    session.add(
        Audit(
            at=now(),
            staff_id=by.id if by else None,
            who=by.email if by else who,
            action=action,
            connection_id=connection.id if connection else None,
            partner_id=partner.id if partner else None,
            data=data,
        )
    )
