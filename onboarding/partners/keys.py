"""Keys of the API: made, recognized, rotated, revoked. A key is shown once, when it is made."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from datetime import timedelta
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.errors import InputInvalid
from onboarding.links import digest
from onboarding.models import ApiKey, Partner
from onboarding.states import ApiScope

BEGINNING = "cjd_"
PREFIX_BYTES, SECRET_BYTES = 4, 32
NAME_MAX = 100
OVERLAP = timedelta(hours=24)
"""So long a key that was rotated still works."""


def make(
    session: Session, partner: Partner, *, name: str, scopes: Collection[str]
) -> tuple[ApiKey, str]:
    """A new key.

    :param name: what it is for
    :param scopes: what it may do, of `ApiScope`
    :return: the key's row, and the key itself, which is kept nowhere
    :raise InputInvalid: saying what to change
    """
    name = " ".join(name.split())
    if not name or len(name) > NAME_MAX:
        raise InputInvalid(f"The name must have 1 to {NAME_MAX} characters.")
    unknown = set(scopes) - set(ApiScope)
    if unknown or not scopes:
        raise InputInvalid(f"The scopes are some of: {', '.join(ApiScope)}.")
    prefix = BEGINNING + secrets.token_hex(PREFIX_BYTES)
    key = f"{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"
    made = ApiKey(
        id=uuid4(),
        partner_id=partner.id,
        name=name,
        prefix=prefix,
        digest=digest(key),
        scopes=[scope.value for scope in ApiScope if scope in scopes],
        created_at=now(),
    )
    session.add(made)
    return made, key


def find(session: Session, key: str) -> ApiKey | None:
    """Whose key it is, if it works."""
    found = session.scalar(sa.select(ApiKey).where(ApiKey.digest == digest(key)))
    return found if found is not None and found.is_usable(now()) else None


def of(session: Session, partner: Partner) -> Sequence[ApiKey]:
    """A partner's keys, the newest first."""
    query = sa.select(ApiKey).where(ApiKey.partner_id == partner.id)
    return session.scalars(query.order_by(ApiKey.created_at.desc(), ApiKey.id)).all()


def named(session: Session, prefix: str) -> ApiKey:
    """A key by how it begins.

    :raise InputInvalid: if there is none
    """
    found = session.scalar(sa.select(ApiKey).where(ApiKey.prefix == prefix))
    if found is None:
        raise InputInvalid(f"There is no key that begins with {prefix!r}.")
    return found


def rotate(session: Session, old: ApiKey) -> tuple[ApiKey, str]:
    """A key that may do the same; the old one works for a day more.

    :raise InputInvalid: if the old one does not work any more
    """
    if not old.is_usable(now()):
        raise InputInvalid("This key is revoked or was rotated. Make a new one.")
    end = now() + OVERLAP
    old.expires_at = end if old.expires_at is None else min(old.expires_at, end)
    return make(session, old.partner, name=old.name, scopes=old.scopes)


def revoke(key: ApiKey) -> None:
    """Let it open nothing any more. Again is the same as once."""
    key.revoked_at = key.revoked_at or now()
