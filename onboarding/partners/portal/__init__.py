"""What is wrong with "Connect John Deere" in a partner's portal, and what to change there.

The same list for the portal's console, for our page and for the terminal. Nothing is fetched from
a portal: what is known of it, its own page or its developer has told.
"""

from onboarding.partners.portal.findings import examine
from onboarding.partners.portal.page import (
    ADDRESS_MAX,
    TEXT_MAX,
    Page,
    origin_of,
    page_in,
    without_token,
)
from onboarding.partners.portal.tokens import TokenState
from onboarding.partners.portal.visit import Finding, Visit

__all__ = [
    "ADDRESS_MAX",
    "TEXT_MAX",
    "Finding",
    "Page",
    "TokenState",
    "Visit",
    "examine",
    "origin_of",
    "page_in",
    "without_token",
]
