"""What the views share."""

from __future__ import annotations

from typing import cast

from flask import current_app

from onboarding.installation import Installation


def installation() -> Installation:
    """The installation that serves this request."""
    return cast(Installation, current_app.extensions["onboarding"])
