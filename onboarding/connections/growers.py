"""Growers: made, and brought up to date by what is told of them."""

from __future__ import annotations

import re
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import accepted, history
from onboarding.errors import InputInvalid
from onboarding.models import Connection, Grower, Partner, locked
from onboarding.states import Cause, Stage

LEAF_USER = re.compile(r"[A-Za-z0-9-]{1,64}")
EXTERNAL_ID_MAX = 200
LEAF_USER_MAX = 64


def register(
    session: Session,
    partner: Partner,
    *,
    external_id: str,
    name: str,
    email: str | None = None,
    phone: str | None = None,
    leaf_user_id: str | None = None,
    who: str = history.STAFF,
) -> tuple[Grower, bool]:
    """A grower, made or brought up to date, without a link.

    :param who: tells it, for the history
    :return: also, whether they are new
    :raise InputInvalid: saying which value to change and how
    """
    name = accepted.text(name, "name", accepted.NAME_MAX)
    external_id = accepted.text(external_id, "external id", EXTERNAL_ID_MAX)
    is_by_partner = who == history.PARTNER
    grower, is_new = _grower(session, partner, external_id, name, by_partner=is_by_partner)
    bring_up_to_date(
        session,
        grower,
        name=name,
        email=email,
        phone=phone,
        leaf_user_id=leaf_user_id,
        who=who,
    )
    return grower, is_new


def bring_up_to_date(
    session: Session,
    grower: Grower,
    *,
    name: str,
    email: str | None = None,
    phone: str | None = None,
    leaf_user_id: str | None = None,
    who: str = history.STAFF,
) -> None:
    """Write down what is told of a grower. What is not told (None) stays as it is.

    :param email: empty: they have none any more; so with `phone`
    :param who: tells it, for the history
    :raise InputInvalid: saying which value to change and how
    """
    if leaf_user_id:
        # Before the grower is written: a worker, too, locks the connection first.
        leaf_user = accepted.text(leaf_user_id, "Leaf user", LEAF_USER_MAX)
        _set_leaf_user(session, grower, leaf_user, who=who)
    if email is not None:
        _set_address(session, grower, accepted.email(email), who=who)
    if phone is not None:
        grower.phone = accepted.phone(phone) if phone else None
    grower.name = accepted.text(name, "name", accepted.NAME_MAX)


def connection_of(session: Session, grower_id: UUID) -> Connection:
    """The grower's one John Deere connection."""
    return session.scalars(sa.select(Connection).where(Connection.grower_id == grower_id)).one()


def connection_id_of(session: Session, grower_id: UUID) -> UUID:
    """Its id alone, for who locks it next and reads it then."""
    return session.scalars(sa.select(Connection.id).where(Connection.grower_id == grower_id)).one()


def forget_refusal(session: Session, connection: Connection) -> None:
    """Write to the grower again, also about what they could not be told meanwhile.

    :param connection: locked
    """
    connection.grower.address_refused_at = None
    connection.grower_acts_since = None  # so that the next look at Leaf owes the mail anew
    history.record(session, connection, "address_in_use_again")


def _grower(
    session: Session, partner: Partner, external_id: str, name: str, *, by_partner: bool
) -> tuple[Grower, bool]:
    """Also, whether they are new."""
    if not external_id.isprintable():
        raise InputInvalid("The external id must be one line of printable characters.")
    query = sa.select(Grower).where(
        Grower.partner_id == partner.id, Grower.external_id == external_id
    )
    if (known := session.scalar(query)) is not None:
        return known, False
    moment = now()
    try:
        with session.begin_nested():
            grower = Grower(
                partner=partner,
                external_id=external_id,
                name=name,
                by_partner=by_partner,
                created_at=moment,
            )
            session.add(grower)
            session.add(Connection(grower=grower, created_at=moment))
            session.flush()
    except IntegrityError:
        return session.scalars(query).one(), False  # somebody else made it at this moment
    return grower, True


def _set_address(session: Session, grower: Grower, email: str | None, *, who: str) -> None:
    """Staff who set the same once more have made sure of it; a partner's program repeats itself."""
    if grower.address_refused_at is not None:
        if email is None:
            grower.address_refused_at = None
        elif who != history.PARTNER or email != grower.email:
            forget_refusal(session, locked(session, connection_id_of(session, grower.id)))
    grower.email = email


def _set_leaf_user(session: Session, grower: Grower, leaf_user_id: str, *, who: str) -> None:
    owner = session.scalar(sa.select(Grower).where(Grower.leaf_user_id == leaf_user_id))
    if owner is not None and owner.id != grower.id:
        raise InputInvalid(
            f"Leaf user {leaf_user_id} belongs to grower {owner.external_id!r} of partner "
            f"{owner.partner.slug!r}; two growers can't share one."
        )
    if not LEAF_USER.fullmatch(leaf_user_id):
        raise InputInvalid(f"{leaf_user_id!r} is not the id of a Leaf user: copy it from Leaf.")
    connection = locked(session, connection_id_of(session, grower.id))
    session.refresh(grower)  # as it is under the lock
    if grower.leaf_user_id == leaf_user_id:
        return
    if grower.leaf_user_id and not _may_change_leaf_user(connection):
        raise InputInvalid(
            f"The grower has Leaf user {grower.leaf_user_id} already, and a credential there or "
            "on its way. If that is the wrong user, delete it at Leaf; once a hand-over has missed "
            "it there you can set another."
        )
    history.record(session, connection, "leaf_user_set", who=who, leaf_user=leaf_user_id)
    grower.leaf_user_id = leaf_user_id
    connection.post_began_at = None
    connection.credential_before_post = None
    if connection.stage is Stage.HANDING_OVER:
        # A try that has the old one in mind must not go on; the sweep enqueues the next.
        connection.hand_over_try += 1
        connection.hand_over_due_at = now()


def _may_change_leaf_user(connection: Connection) -> bool:
    """Whether no credential can be with the Leaf user that the grower has now."""
    traces = (connection.handed_over_at, connection.post_began_at, connection.stray_since)
    return connection.cause is Cause.LEAF_USER_MISSING or (
        connection.stage is not Stage.DISCONNECTING and not any(traces)
    )
