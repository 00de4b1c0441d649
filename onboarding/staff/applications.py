"""Applications at John Deere besides the default one: made, changed, tried, deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import applications
from onboarding.errors import InputInvalid
from onboarding.models import ATTEMPT_LIFETIME, Application, Attempt, Connection, Partner
from onboarding.settings import Settings
from onboarding.staff import audit
from onboarding.staff.application_drafts import SECRET_MAX, visible_text
from onboarding.staff.roles import Member
from onboarding.staff.scope import of_partners
from onboarding.vault import Vault


def all_by_name(session: Session) -> Sequence[Application]:
    """Every application but the default one."""
    return session.scalars(sa.select(Application).order_by(Application.name)).all()


def partners_of(session: Session, by: Member | None = None) -> dict[UUID, list[str]]:
    """The names of the partners that use each application; for a member, of those they see."""
    query = sa.select(Application.id, Partner.name).join(
        Partner, Partner.application_id == Application.id
    )
    if by is not None:
        query = query.where(*of_partners(Partner.id, by))
    found: dict[UUID, list[str]] = {}
    for application_id, name in session.execute(query.order_by(Partner.name)):
        found.setdefault(application_id, []).append(name)
    return found


def named(session: Session, name: str) -> Application:
    """An application by its name.

    :raise InputInvalid: if there is none
    """
    found = session.scalar(sa.select(Application).where(Application.name == name))
    if found is None:
        raise InputInvalid(f"There is no application {name!r}.")
    return found


def visible(session: Session, by: Member) -> Sequence[Application]:
    """The applications, by name; for who is limited to some partners, those of these alone."""
    query = sa.select(Application).order_by(Application.name)
    if by.partners is not None:
        theirs = sa.select(Partner.application_id).where(
            Partner.id.in_(by.partners), Partner.application_id.is_not(None)
        )
        query = query.where(Application.id.in_(theirs))
    return session.scalars(query).all()


def add(
    session: Session,
    vault: Vault,
    settings: Settings,
    made: Application,
    secret: str,
    by: Member | None,
) -> None:
    """Keep a draft, with its secret.

    :raise InputInvalid: if there is one like it, or the secret can't be one
    """
    known_by = (made.client_key, made.environment)
    if known_by == applications.default_of(settings):
        raise InputInvalid("This is the default application: the settings DEERE_… name it.")
    same = sa.select(Application.name).where(
        Application.client_key == made.client_key, Application.environment == made.environment
    )
    if (other := session.scalar(same)) is not None:
        raise InputInvalid(f"Application {other!r} has this client key and environment already.")
    _refuse_known_name(session, made.name)
    made.client_secret = _sealed(vault, made, secret)
    made.created_at = made.secret_set_at = now()
    session.add(made)
    _record(session, by, "application.add", made)


def change(
    session: Session,
    vault: Vault,
    kept: Application,
    wanted: Application,
    secret: str,
    by: Member | None,
) -> None:
    """Take over what may be changed of an application: all but client key and environment.

    :param wanted: a draft
    :param secret: empty: as it is
    :raise InputInvalid: if the name is taken, or the secret can't be one
    """
    if wanted.name != kept.name:
        _refuse_known_name(session, wanted.name)
    names = ("name", "scopes", "metadata_url", "api_url")
    changed = [name for name in names if getattr(kept, name) != getattr(wanted, name)]
    for name in changed:
        setattr(kept, name, getattr(wanted, name))
    if changed:
        _record(session, by, "application.change", kept, changed=changed)
    if secret:
        replace_secret(session, vault, kept, secret, by)


def replace_secret(
    session: Session, vault: Vault, kept: Application, secret: str, by: Member | None
) -> None:
    """Use another client secret from now on, also for hand-overs that wait.

    :raise InputInvalid: if it can't be one
    """
    kept.client_secret = _sealed(vault, kept, secret)
    kept.secret_set_at = now()
    _record(session, by, "application.replace_secret", kept)


def delete(session: Session, kept: Application, by: Member | None) -> None:
    """Delete an application that nobody needs any more. What Leaf holds of it stays there.

    :raise InputInvalid: saying who needs it
    """
    session.scalars(
        sa.select(Application.id).where(Application.id == kept.id).with_for_update()
    ).one()
    users = partners_of(session).get(kept.id)
    if users:
        raise InputInvalid(
            f"It is used by {', '.join(users)}. Give them another application first."
        )
    if _is_in_flight(session, kept):
        raise InputInvalid(
            "Growers are on their way with it: a sign-in is open, or a token waits for Leaf. Try "
            "again when they are through."
        )
    _record(session, by, "application.delete", kept)
    session.delete(kept)


def _is_in_flight(session: Session, kept: Application) -> bool:
    open_attempts = sa.select(Attempt.id).where(
        Attempt.client_key == kept.client_key,
        Attempt.environment == kept.environment,
        sa.or_(
            sa.and_(Attempt.outcome.is_(None), Attempt.created_at > now() - ATTEMPT_LIFETIME),
            Attempt.access_token_until > now(),
        ),
    )
    waiting = sa.select(Connection.id).where(
        Connection.refresh_token.is_not(None),
        Connection.client_key == kept.client_key,
        Connection.environment == kept.environment,
    )
    return bool(session.scalar(sa.select(sa.or_(open_attempts.exists(), waiting.exists()))))


def _record(
    session: Session, by: Member | None, action: str, application: Application, **data: Any
) -> None:
    audit.record(session, by, action, application=application.name, **data)


def _refuse_known_name(session: Session, name: str) -> None:
    if session.scalar(sa.select(Application.id).where(Application.name == name)):
        raise InputInvalid(f"There is an application {name!r} already.")


def _sealed(vault: Vault, application: Application, secret: str) -> bytes:
    secret = visible_text(secret, "client secret", SECRET_MAX)
    return vault.encrypt(secret, place=application.secret_place)
