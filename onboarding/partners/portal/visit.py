"""What is known when a portal is looked at, and a line of what is found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from onboarding.partners.portal.page import Page
from onboarding.partners.portal.tokens import TokenState

Kind = Literal["fine", "note", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    :ivar kind: `note`: it works, and something is to be known; or it could not be looked at
    :ivar code: stable
    :ivar value: exactly what to write, or to have registered; empty: nothing
    """

    kind: Kind
    code: str
    text: str
    value: str = ""


@dataclass(frozen=True)
class Visit:
    """What is known: of the portal's page, and here.

    :ivar registered: the origins that may frame the partner's pages; None: there is no such partner
    :ivar public_url: origin of this installation
    :ivar is_sandbox: whether portals on the developer's own machine are let in
    """

    slug: str
    registered: frozenset[str] | None
    page: Page
    token: TokenState
    public_url: str
    is_sandbox: bool
    moment: datetime
