"""`python -m onboarding.local.world FILE`: make the demo world, if nobody is there yet.

Prints one JSON object for `python -m onboarding.local`:
`{"partner": "heartland", "open_link": true, "staff": [{"email", "role", "sees", "password"}]}`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from onboarding import settings
from onboarding.installation import assemble
from onboarding.local.world import desk, opening

if __name__ == "__main__":
    opened = opening.begin(assemble(settings.load()), Path(sys.argv[1]))
    staff = [
        {
            "email": one.email,
            "role": one.role.value,
            "sees": one.partner or "all partners",
            "password": opened.passwords.get(one.email),
        }
        for one in desk.COLLEAGUES
    ]
    told = {
        "partner": opened.partner,
        "open_link": opened.open_link,
        "staff": staff if opened.partner else [],
    }
    sys.stdout.write(json.dumps(told) + "\n")
