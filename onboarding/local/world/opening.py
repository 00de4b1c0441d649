"""Lets the demo world begin, if nobody is there yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from onboarding.clock import now
from onboarding.errors import SettingsInvalid
from onboarding.installation import Installation
from onboarding.local.world import desk, making, residents, rows
from onboarding.models import Partner


@dataclass(frozen=True)
class Opened:
    """What there is to tell of it.

    :ivar partner: the slug of the first of its partners; None: this is another world
    :ivar open_link: whether growers may ask for links at the address of that partner
    :ivar passwords: of the staff, by their addresses; empty if it was made earlier: none is kept
    """

    partner: str | None
    open_link: bool
    passwords: dict[str, str]


def begin(parts: Installation, file: Path) -> Opened:
    """Make it, unless there is a partner already; the database is up to date.

    :param file: for the sandbox, which reads it when it starts
    :raise SettingsInvalid: if this is no sandbox
    """
    if not parts.settings.is_sandbox:
        raise SettingsInvalid("The demo world is for the sandbox alone.")
    passwords = {}
    with parts.database.transaction() as session:
        if session.scalar(sa.select(Partner.id).limit(1)) is None:
            world = making.make(parts.settings, now())
            residents.write(file, world.lives)
            rows.write(session, parts.vault, world)
            passwords = desk.let_in(session)
        slug = making.PARTNERS[0][0]["slug"]
        known = session.scalar(sa.select(Partner).where(Partner.slug == slug))
        is_open = known is not None and known.open_link
    return Opened(known.slug if known else None, is_open, passwords)
