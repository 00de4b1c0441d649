"""What is broken, whose turn it is, what to click."""

from __future__ import annotations

from flask import render_template
from flask.typing import ResponseReturnValue

from onboarding.states import Role
from onboarding.views.staff.parts import bp, staff_only


@bp.get("/")
@staff_only(Role.VIEWER)
def home() -> ResponseReturnValue:
    """The page for the morning."""
    return render_template("staff/overview.html")
