"""What is known when a portal is looked at, and a line of what is found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.installation import Installation
from onboarding.models import Partner
from onboarding.partners.portal.page import Page
from onboarding.partners.portal.tokens import TokenState, look_at

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

    @classmethod
    def of(
        cls,
        session: Session,
        parts: Installation,
        partner: Partner | None,
        *,
        slug: str,
        page: Page,
        token: str,
    ) -> Visit:
        """A page as it is seen from here, at this moment.

        :param partner: of the slug
        :param token: that stands in the page; empty: none
        """
        return cls(
            slug=slug,
            registered=None if partner is None else frozenset(partner.frame_origins),
            page=page,
            token=look_at(session, parts.links, token, slug=slug),
            public_url=parts.settings.public_url,
            is_sandbox=parts.settings.is_sandbox,
            moment=now(),
        )
