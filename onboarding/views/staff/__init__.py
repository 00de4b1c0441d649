"""The dashboard, a module a page."""

from onboarding.views.staff import (
    account,
    attempts,
    bulk,
    connections,
    imports,
    overview,
    sign_in,
    system,
)
from onboarding.views.staff.parts import init_app

__all__ = [
    "account",
    "attempts",
    "bulk",
    "connections",
    "imports",
    "init_app",
    "overview",
    "sign_in",
    "system",
]
