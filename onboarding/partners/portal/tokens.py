"""A token that a portal's page carries, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.errors import LinkInvalid
from onboarding.links import Links
from onboarding.models import Link
from onboarding.partners import keys
from onboarding.states import LinkKind

Fault = Literal["missing", "key", "invalid", "not_for_frames", "of_another", "expired"]


@dataclass(frozen=True)
class TokenState:
    """What who holds a token may know of it: nothing of its grower.

    :ivar fault: None: it opens the frame
    :ivar expires_at: None: it is none of this partner's
    """

    fault: Fault | None
    expires_at: datetime | None = None


def look_at(session: Session, links: Links, token: str, *, slug: str) -> TokenState:
    """What is wrong with a token in the frame of a partner."""
    if not token:
        return TokenState("missing")
    if token.startswith(keys.BEGINNING):
        return TokenState("key")
    try:
        link = session.get(Link, links.link_id(token))
    except LinkInvalid:
        link = None
    if link is None:
        return TokenState("invalid")
    if link.grower.partner.slug != slug:
        return TokenState("of_another")
    if link.kind is not LinkKind.EMBED:
        return TokenState("not_for_frames")
    fault: Fault | None = None if link.is_usable(now()) else "expired"
    return TokenState(fault, link.expires_at)
