"""The links that growers get."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import growers, history, partnership
from onboarding.errors import InputInvalid
from onboarding.models import Connection, Link
from onboarding.states import LinkKind


def invite(
    session: Session,
    *,
    partner_slug: str,
    external_id: str,
    name: str,
    lifetime: timedelta,
    email: str | None = None,
    phone: str | None = None,
    leaf_user_id: str | None = None,
) -> Link:
    """A new link for a grower, who is made or brought up to date first.

    :param external_id: the partner's own id of the grower
    :param leaf_user_id: the grower's Leaf user, if there is one already
    :raise InputInvalid: if the partner is unknown or a value can't be used
    """
    partner = partnership.find(session, partner_slug)
    if partner is None:
        raise InputInvalid(
            f"There is no partner {partner_slug!r}. Add it with: "
            f"flask --app wsgi partner add {partner_slug} --name NAME"
        )
    grower, _is_new = growers.register(
        session,
        partner,
        external_id=external_id,
        name=name,
        email=email,
        phone=phone,
        leaf_user_id=leaf_user_id,
    )
    return new_link(session, growers.connection_of(session, grower.id), lifetime=lifetime)


def new_link(
    session: Session,
    connection: Connection,
    *,
    lifetime: timedelta,
    kind: LinkKind = LinkKind.INVITATION,
    return_url: str | None = None,
    who: str = history.STAFF,
) -> Link:
    """One more link for a grower. Those that they have go on working until they end.

    :param return_url: where the grower goes on afterwards; checked by the caller
    :param who: makes it, for the history
    """
    moment = now()
    link = Link(
        id=uuid4(),  # known before it is written
        grower=connection.grower,
        created_at=moment,
        expires_at=moment + lifetime,
        kind=kind,
        return_url=return_url,
    )
    session.add(link)
    if kind is LinkKind.INVITATION:
        history.record(session, connection, "link_made", who=who)
    return link


def revoke(session: Session, link: Link, *, who: str = history.STAFF) -> None:
    """Make a link worthless. Again is the same as once.

    :param who: does it, for the history
    """
    if link.revoked_at is None:
        link.revoked_at = now()
        connection = growers.connection_of(session, link.grower_id)
        history.record(session, connection, "link_revoked", who=who)
