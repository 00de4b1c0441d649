"""Links as staff see and give them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import segno
import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.models import Link

SHOWN = 10
SHOWN_FOR = timedelta(minutes=10)
"""A link is shown to who has just made it: it opens the grower's page."""


def newest(session: Session, grower_id: UUID) -> Sequence[Link]:
    """The links of a grower, the newest first."""
    query = sa.select(Link).where(Link.grower_id == grower_id)
    return session.scalars(query.order_by(Link.created_at.desc(), Link.id).limit(SHOWN)).all()


def is_shown(link: Link) -> bool:
    """Whether it was made just now, and can be used."""
    return link.is_usable(now()) and link.created_at > now() - SHOWN_FOR


def qr_code(url: str) -> str:
    """A picture (SVG) that a telephone's camera reads the address from.

    Dark on light whatever the page's colours are: not every camera reads the inverse.
    """
    return segno.make(url, error="m", micro=False).svg_inline(
        omitsize=True, border=4, dark="#000", light="#fff", svgclass="qr"
    )
