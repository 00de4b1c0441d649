"""The open link: whoever opens a partner's address asks for a link of their own, by mail.

Web writes down what was typed, whoever it is from. Whether the address is known is found out by the
worker, out of sight: page, rows and time are the same for every address (decision 0048).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import history, mails
from onboarding.db import Database
from onboarding.mail.address import on_the_wire
from onboarding.models import Connection, Grower, LinkRequest, Partner, new_reference

EXTERNAL_ID = "open-{reference}"
"""By it partners recognize who came this way."""
AT_ONCE = 100
"""A sweep takes up no more; the next one goes on."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What somebody typed, each value looked at before."""

    farm: str
    person: str
    email: str
    phone: str | None


def ask(session: Session, partner: Partner, asked: Asked) -> None:
    """Write it down for the worker."""
    session.add(LinkRequest(partner_id=partner.id, created_at=now(), **vars(asked)))


def take_up(database: Database) -> None:
    """Make growers of those who have asked; who is known already is only mailed a link."""
    with database.reading() as session:
        waiting = sa.select(LinkRequest.id).order_by(LinkRequest.created_at).limit(AT_ONCE)
        ids = session.scalars(waiting).all()
    for request_id in ids:
        with database.transaction() as session:
            take_up_one(session, request_id)


def take_up_one(session: Session, request_id: UUID) -> None:
    """Do so with one request. Again is the same as once."""
    request = session.get(LinkRequest, request_id)
    if request is None:
        return  # by another worker
    # One after the other for each partner, so that two requests of one person make one grower.
    partner = session.scalars(
        sa.select(Partner)
        .where(Partner.id == request.partner_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one()
    still = sa.delete(LinkRequest).where(LinkRequest.id == request_id).returning(LinkRequest.id)
    if session.scalar(still) is None:
        return
    if mails.has_enough(session, set(spellings(request.email))):
        log.warning("An address was mailed open links often enough: nothing for %s", partner.slug)
        return
    known = _known(session, partner, request)
    if known is None:
        mails.send_first_link(session, _new(session, partner, request))
    else:
        mails.send_link_again(session, known)


def _known(session: Session, partner: Partner, request: LinkRequest) -> UUID | None:
    """The connection of the grower at this partner who has the address.

    Of several the one of that name, else the newest. Nothing of what was typed changes it.
    """
    spelled = sa.func.lower(Grower.email).in_(set(spellings(request.email)))
    query = (
        sa.select(Connection.id, Grower.name)
        .join(Grower, Grower.id == Connection.grower_id)
        .where(Grower.partner_id == partner.id, spelled)
        .order_by(Grower.created_at.desc(), Grower.id)
    )
    found = session.execute(query).all()
    same = [key for key, name in found if name.casefold() == request.farm.casefold()]
    return next(iter([*same, *(key for key, _name in found)]), None)


def spellings(email: str) -> Iterator[str]:
    """How an address may be written: capitals do not count, and a domain has two forms."""
    for form in (email, on_the_wire(email) or email):
        yield form.lower()
    local, _, domain = email.rpartition("@")
    try:
        yield f"{local}@{domain.encode().decode('idna')}".lower()
    except UnicodeError:
        return


def _new(session: Session, partner: Partner, request: LinkRequest) -> Connection:
    moment, reference = now(), new_reference()
    grower = Grower(
        partner=partner,
        external_id=EXTERNAL_ID.format(reference=reference),
        name=request.farm,
        person=request.person,
        email=request.email,
        phone=request.phone,
        by_open_link=True,
        created_at=moment,
    )
    connection = Connection(grower=grower, reference=reference, created_at=moment)
    session.add_all([grower, connection])
    session.flush()
    history.record(session, connection, "came_by_open_link", who=history.GROWER)
    return connection
