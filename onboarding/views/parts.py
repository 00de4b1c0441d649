"""What the views share."""

from __future__ import annotations

from typing import cast

from flask import current_app, request

from onboarding.installation import Installation


def installation() -> Installation:
    """The installation that serves this request."""
    return cast(Installation, current_app.extensions["onboarding"])


def bearer_token() -> str:
    """What the request carries as a bearer's token (RFC 6750); empty: nothing."""
    given = request.authorization
    return (given.token if given is not None and given.type == "bearer" else None) or ""
