"""Partners: how they are called, where they show us, and what is kept of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import accepted
from onboarding.errors import InputInvalid
from onboarding.models import Partner

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
SLUG_MAX = 64
CHANGED = (
    *("name", "frame_origins", "return_urls", "select_organizations", "colour", "open_link"),
    *("support_name", "support_email", "support_phone", "support_url"),
)
"""What `change_partner` takes."""


def add_partner(
    session: Session,
    *,
    slug: str,
    name: str,
    frame_origins: Sequence[str] = (),
    return_urls: Sequence[str] = (),
    select_organizations: bool = False,
    open_link: bool = False,
    colour: str | None = None,
    support_name: str | None = None,
    support_email: str | None = None,
    support_phone: str | None = None,
    support_url: str | None = None,
) -> Partner:
    """A new partner.

    :param frame_origins: origins that may frame our pages, e.g. `https://portal.example.com`
    :param return_urls: where growers may be sent back to
    :param select_organizations: Leaf syncs nothing until organizations are chosen there
    :param open_link: whether anybody may ask for a link at `/j/<slug>`
    :raise InputInvalid: saying which value to change and how
    """
    if not SLUG.fullmatch(slug) or len(slug) > SLUG_MAX:
        raise InputInvalid(
            f"The slug must be at most {SLUG_MAX} small letters and digits, with single hyphens "
            f"between them; {slug!r} is not."
        )
    if session.scalar(sa.select(Partner.id).where(Partner.slug == slug)):
        raise InputInvalid(f"There is a partner {slug!r} already.")
    partner = Partner(slug=slug, created_at=now())
    change_partner(
        partner,
        name=name,
        frame_origins=frame_origins,
        return_urls=return_urls,
        select_organizations=select_organizations,
        open_link=open_link,
        colour=colour,
        support_name=support_name,
        support_email=support_email,
        support_phone=support_phone,
        support_url=support_url,
    )
    session.add(partner)
    return partner


def change_partner(
    partner: Partner,
    *,
    name: str,
    frame_origins: Sequence[str],
    return_urls: Sequence[str],
    select_organizations: bool,
    open_link: bool,
    colour: str | None,
    support_name: str | None,
    support_email: str | None,
    support_phone: str | None,
    support_url: str | None,
) -> None:
    """Give a partner these values, which are all checked first; its slug stays.

    :raise InputInvalid: saying which value to change and how
    """
    if colour and not COLOUR.fullmatch(colour):
        raise InputInvalid("The colour must look like #1a2b3c.")
    kept = partner.return_urls or ()  # one that was taken once keeps nobody from changing others
    values = {
        "name": accepted.text(name, "name", accepted.NAME_MAX),
        "colour": colour.lower() if colour else None,
        "support_name": accepted.optional(support_name, "support name", accepted.NAME_MAX),
        "support_email": accepted.email(support_email),
        "support_phone": accepted.optional(support_phone, "support phone", accepted.PHONE_MAX),
        "support_url": accepted.url(support_url, "support URL") if support_url else None,
        "frame_origins": [accepted.origin(origin) for origin in frame_origins],
        "return_urls": [one if one in kept else accepted.return_url(one) for one in return_urls],
        "select_organizations": select_organizations,
        "open_link": open_link,
    }
    for column, value in values.items():
        setattr(partner, column, value)


def find(session: Session, slug: str) -> Partner | None:
    """The partner that an address names. What can be no slug is not asked for: PostgreSQL takes no
    NUL in a text."""
    if not SLUG.fullmatch(slug):
        return None
    return session.scalar(sa.select(Partner).where(Partner.slug == slug))
