"""The dashboard, a module a page."""

from onboarding.views.staff import (
    account,
    attempts,
    audit,
    bulk,
    connection,
    connections,
    imports,
    overview,
    sign_in,
    system,
    team,
)
from onboarding.views.staff.parts import init_app

__all__ = [
    "account",
    "attempts",
    "audit",
    "bulk",
    "connection",
    "connections",
    "imports",
    "init_app",
    "overview",
    "sign_in",
    "system",
    "team",
]
