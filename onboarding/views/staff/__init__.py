"""The dashboard, a module a page."""

from onboarding.views.staff import (
    account,
    applications,
    attempts,
    audit,
    bulk,
    company,
    connection,
    connection_links,
    connection_remedies,
    connections,
    draft,
    imports,
    overview,
    partners,
    sign_in,
    system,
    team,
)
from onboarding.views.staff.parts import init_app

__all__ = [
    "account",
    "applications",
    "attempts",
    "audit",
    "bulk",
    "company",
    "connection",
    "connection_links",
    "connection_remedies",
    "connections",
    "draft",
    "imports",
    "init_app",
    "overview",
    "partners",
    "sign_in",
    "system",
    "team",
]
