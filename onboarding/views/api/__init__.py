"""The partners' API, a module a resource."""

from onboarding.views.api import (
    connections,
    deliveries,
    documents,
    growers,
    history,
    organizations,
    sandbox,
    webhooks,
    writes,
)
from onboarding.views.api.parts import PREFIX, answer_error, bp

__all__ = [
    "PREFIX",
    "answer_error",
    "bp",
    "connections",
    "deliveries",
    "documents",
    "growers",
    "history",
    "organizations",
    "sandbox",
    "webhooks",
    "writes",
]
