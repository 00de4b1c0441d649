"""Signing in and out."""

from __future__ import annotations

from flask import render_template
from flask.typing import ResponseReturnValue

from onboarding.views.staff.parts import bp, public


@bp.get("/sign-in")
@public
def sign_in() -> ResponseReturnValue:
    """Where one signs in."""
    return render_template("staff/sign_in.html")
