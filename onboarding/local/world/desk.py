"""Who sits at the dashboard of the demo world, and what they have done there so far."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import history
from onboarding.local.world.life import SPAN, Life
from onboarding.local.world.making import SEED, WORKING_HOURS, World
from onboarding.local.world.people import FEATURE, PLACE
from onboarding.models import Audit, Staff
from onboarding.staff import passwords
from onboarding.states import Health, Role

RECHECKED = 0.35
"""Of the connections in trouble."""
NOTED = 0.5
"""Of those that they looked at."""
NOTES = (
    "Called. The owner is in the field until the weekend, will sign in on Saturday.",
    "Their dealer set up the John Deere account. Asked who has its password.",
    "Left a message on the answering machine.",
    "The son looks after the account. New number: (515) 555-0188.",
    "They changed their password last week, so they know that they have to connect again.",
    "Wants to share one organization only. Explained where to tick it.",
    "Asked for the link by text message instead of mail.",
)
FRIDAY = 4
WORDS = 4
"""Of a password: 24 bits, for what listens on this machine alone."""


@dataclass(frozen=True)
class Colleague:
    """One of them."""

    name: str
    email: str
    role: Role
    partner: str | None = None
    """The slug of the partner that they are limited to; None: they see all."""


COLLEAGUES = (
    Colleague("Robin Avery", "admin@sandbox.example", Role.ADMINISTRATOR),
    Colleague("Jo Delacroix", "operator@sandbox.example", Role.OPERATOR, "heartland"),
    Colleague("Sam Ito", "viewer@sandbox.example", Role.VIEWER),
)


def staff(world: World) -> list[Staff]:
    """Their accounts, as yet without a password."""
    return [
        Staff(
            id=uuid.uuid5(uuid.NAMESPACE_URL, one.email),
            email=one.email,
            name=one.name,
            role=one.role,
            is_limited=one.partner is not None,
            created_at=world.moment - SPAN,
            failures=0,
        )
        for one in COLLEAGUES
    ]


def let_in(session: Session) -> dict[str, str]:
    """Give each a new password.

    :return: the passwords by address; no other copy of them is kept
    """
    moment, made = now(), {}
    for one in COLLEAGUES:
        made[one.email] = "-".join(secrets.choice(PLACE + FEATURE) for _ in range(WORDS))
        change = sa.update(Staff).where(Staff.email == one.email)
        hashed = passwords.hashed(made[one.email])
        session.execute(change.values(password_hash=hashed, password_set_at=moment))
    return made


def limits(world: World, people: list[Staff]) -> list[dict[str, uuid.UUID]]:
    """Rows of `staff_partner`: to which partners they are limited."""
    slugs = {one.email: one.partner for one in COLLEAGUES}
    return [
        {"staff_id": person.id, "partner_id": partner.id}
        for person in people
        for partner in world.partners
        if partner.slug == slugs[person.email]
    ]


def audit(world: World, people: list[Staff]) -> list[Audit]:
    """What they have done, the earliest first."""
    chance = Random(SEED)  # noqa: S311 - for a demo
    lines = [line for one in people for line in _arrivals(chance, world, one)]
    acting = [one for one in people if one.role is not Role.VIEWER]
    for life in world.lives:
        can_see = [one for one in acting if not one.is_limited or _is_theirs(life)]
        lines += _about(chance, life, chance.choice(can_see))
    return sorted(lines, key=lambda line: line.at)


def _is_theirs(life: Life) -> bool:
    return any(one.partner == life.grower.partner.slug for one in COLLEAGUES)


def _arrivals(chance: Random, world: World, person: Staff) -> Iterator[Audit]:
    """They sign in on working days."""
    for back in range(SPAN.days - 1, 0, -1):
        day = world.moment - timedelta(days=back)
        if day.weekday() <= FRIDAY and chance.random() < 0.6:
            at = day.replace(hour=WORKING_HOURS[0], minute=chance.randrange(60))
            yield Audit(
                at=min(at, world.moment),
                staff_id=person.id,
                who=person.email,
                action="staff.sign_in",
                data={},
            )


def _about(chance: Random, life: Life, person: Staff) -> Iterator[Audit]:
    """What they did about one connection: as its history has it, and some looks besides."""
    _, *others = [event for event in life.events if event.kind == "link_made"]
    asked = {event.at for event in life.events if event.kind == "new_link_asked"}
    for event in others:
        if event.at not in asked:
            yield _line(life, person, event.at, "connection.new_link")
    for event in life.events:
        if event.kind == "disconnect_asked" and event.who == history.STAFF:
            yield _line(life, person, event.at, "connection.disconnect", **event.data)
    since = life.connection.health_since
    is_troubled = life.connection.health is not Health.OK and since is not None
    if since is not None and is_troubled and chance.random() < RECHECKED:
        yield _line(life, person, life.later(since, hours=3), "connection.recheck")
        if chance.random() < NOTED:
            text = chance.choice(NOTES)
            yield _line(life, person, life.later(since, hours=5), "connection.note", text=text)


def _line(life: Life, person: Staff, at: datetime, action: str, **data: object) -> Audit:
    return Audit(
        at=at,
        staff_id=person.id,
        who=person.email,
        action=action,
        connection_id=life.connection.id,
        partner_id=life.grower.partner_id,
        data=data,
    )
