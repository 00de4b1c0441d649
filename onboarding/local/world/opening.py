"""Lets the demo world begin, if nobody is there yet."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from onboarding.clock import now
from onboarding.errors import SettingsInvalid
from onboarding.installation import Installation
from onboarding.local.world import making, residents, rows
from onboarding.models import Partner


def begin(parts: Installation, file: Path) -> str | None:
    """Make it, unless there is a partner already; the database is up to date.

    :param file: for the sandbox, which reads it when it starts
    :return: the slug of the first of its partners; None if this is another world
    :raise SettingsInvalid: if this is no sandbox
    """
    if not parts.settings.is_sandbox:
        raise SettingsInvalid("The demo world is for the sandbox alone.")
    with parts.database.transaction() as session:
        if session.scalar(sa.select(Partner.id).limit(1)) is None:
            world = making.make(parts.settings, now())
            residents.write(file, world.lives)
            rows.write(session, parts.vault, world)
        slug = making.PARTNERS[0][0]["slug"]
        return session.scalar(sa.select(Partner.slug).where(Partner.slug == slug))
