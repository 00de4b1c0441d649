"""`python -m onboarding.local.world FILE`: make the demo world, if nobody is there yet.

Prints one JSON object for `python -m onboarding.local`: `{"partner": "heartland"}`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from onboarding import settings
from onboarding.installation import assemble
from onboarding.local.world import opening

if __name__ == "__main__":
    partner = opening.begin(assemble(settings.load()), Path(sys.argv[1]))
    sys.stdout.write(json.dumps({"partner": partner}) + "\n")
