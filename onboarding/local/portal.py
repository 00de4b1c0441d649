"""`python -m onboarding.local.portal SLUG ORIGIN FILE`: let the sample portal show frames.

Its origin and its page are listed with the partner, and the file has a key of the API for it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from onboarding import settings
from onboarding.installation import Installation, assemble
from onboarding.partners import keys
from onboarding.staff import partners
from onboarding.states import ApiScope

SCOPES = (ApiScope.READ.value, ApiScope.WRITE.value)


def prepare(parts: Installation, slug: str, origin: str, file: Path) -> None:
    """Make a key unless the file has one that works.

    :param slug: of the partner
    """
    kept = file.read_text().strip() if file.exists() else ""
    with parts.database.transaction() as session:
        partner = partners.named(session, slug)
        partners.list_addresses(
            session,
            parts.settings,
            partner,
            frame_origins=[origin],
            return_urls=[f"{origin}/"],
            by=None,
        )
        known = keys.find(session, kept) if kept else None
        if known is None or known.partner_id != partner.id:
            _made, kept = keys.make(session, partner, name="Sample portal", scopes=SCOPES)
            with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as text:
                text.write(kept + "\n")


if __name__ == "__main__":
    prepare(assemble(settings.load()), sys.argv[1], sys.argv[2], Path(sys.argv[3]))
