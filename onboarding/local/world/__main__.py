"""`python -m onboarding.local.world`: make the demo world, if nobody is there yet.

Prints one JSON object for `python -m onboarding.local`: `{"partner": "heartland"}`, or `{}`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import sqlalchemy as sa

from onboarding import settings
from onboarding.clock import now
from onboarding.errors import SettingsInvalid
from onboarding.installation import assemble
from onboarding.local.world import making, residents, rows
from onboarding.models import Partner


def main(file: Path) -> None:
    """Make it.

    :param file: for the sandbox, which reads it when it starts
    :raise SettingsInvalid: if this is no sandbox
    """
    parts = assemble(settings.load())
    if not parts.settings.is_sandbox:
        raise SettingsInvalid("The demo world is for the sandbox alone.")
    made = {}
    with parts.database.transaction() as session:
        if session.scalar(sa.select(Partner.id).limit(1)) is None:
            world = making.make(parts.settings, now())
            residents.write(file, world.lives)
            rows.write(session, parts.vault, world)
        first, _, _ = making.PARTNERS[0]
        known = sa.select(Partner.slug).where(Partner.slug == first["slug"])
        if (slug := session.scalar(known)) is not None:
            made["partner"] = slug
    sys.stdout.write(json.dumps(made) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
