"""Applications at John Deere besides the default one: made, changed, tried, deleted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import applications
from onboarding.deere import Deere
from onboarding.errors import InputInvalid, UpstreamError
from onboarding.models import ATTEMPT_LIFETIME, Application, Attempt, Connection, Partner
from onboarding.settings import WELL_KNOWN, Settings
from onboarding.staff import audit
from onboarding.staff.roles import Member
from onboarding.staff.scope import of_partners
from onboarding.states import Environment
from onboarding.urls import fault_of_url, is_loopback
from onboarding.vault import Vault

NAME_MAX = 200
KEY_MAX = 200
SECRET_MAX = 500
URL_MAX = 500
VISIBLE = re.compile(r"[!-~]+")
"""What a key or a secret is made of (RFC 6749, appendix A)."""
SCOPE = re.compile(r"[!#-\[\]-~]+")
"""RFC 6749 section 3.3."""


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


@dataclass(frozen=True)
class Trial:
    """What John Deere's metadata say of an application."""

    is_fine: bool
    sentences: tuple[str, ...]


def try_out(deere: Deere) -> Trial:
    """Ask John Deere for the metadata of the sign-in, and compare.

    Key and secret can't be tried so: only a grower's sign-in shows whether they are right.
    """
    try:
        found, scopes = deere.examine_metadata()
    except UpstreamError as err:
        return Trial(False, (f"{err}.", "Check the metadata URL."))
    sentences = [
        f"The issuer is {found['issuer']}.",
        f"Growers sign in at {found['authorization_endpoint']}.",
        f"Codes are exchanged at {found['token_endpoint']}.",
    ]
    if scopes is None:
        return Trial(True, (*sentences, "It does not say which scopes there are."))
    unknown = [scope for scope in deere.settings.deere_scopes if scope not in scopes]
    if unknown:
        return Trial(False, (*sentences, f"It knows no such scopes: {', '.join(unknown)}."))
    return Trial(True, (*sentences, "It knows all of these scopes."))


def draft(
    settings: Settings,
    *,
    name: str,
    environment: str,
    client_key: str,
    scopes: str = "",
    metadata_url: str = "",
    api_url: str = "",
) -> Application:
    """An application as it was typed, checked, without a secret and not in the database.

    :param scopes: with spaces between them; none: as the settings say
    :raise InputInvalid: saying which value to change and how
    """
    if environment not in set(Environment):
        raise InputInvalid("The environment must be STAGE or PRODUCTION.")
    return Application(
        id=uuid4(),
        name=_name(name),
        environment=Environment(environment),
        client_key=_visible(client_key, "client key", KEY_MAX),
        scopes=_scopes(settings, scopes),
        metadata_url=_metadata_url(settings, metadata_url),
        api_url=_url(settings, api_url, "API URL"),
    )


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
    secret = _visible(secret, "client secret", SECRET_MAX)
    return vault.encrypt(secret, place=application.secret_place)


def _name(value: str) -> str:
    name = " ".join(value.split())
    if not name or len(name) > NAME_MAX or not name.isprintable():
        raise InputInvalid(f"The name must have 1 to {NAME_MAX} characters.")
    return name


def _visible(value: str, what: str, limit: int) -> str:
    text = value.strip()
    if not VISIBLE.fullmatch(text) or len(text) > limit:
        # Without the value: it may be a secret.
        raise InputInvalid(
            f"The {what} must have 1 to {limit} letters, digits and signs, without spaces: copy "
            "it from developer.deere.com."
        )
    return text


def _scopes(settings: Settings, value: str) -> list[str]:
    scopes = list(dict.fromkeys(value.split())) or list(settings.deere_scopes)
    if wrong := [scope for scope in scopes if not SCOPE.fullmatch(scope)]:
        raise InputInvalid(f"{wrong[0]!r} is not a scope.")
    if "offline_access" not in scopes:
        raise InputInvalid(
            "The scopes must contain offline_access; without it John Deere gives no refresh token."
        )
    return scopes


def _metadata_url(settings: Settings, value: str) -> str | None:
    url = _url(settings, value, "metadata URL")
    if url is not None and not url.endswith(WELL_KNOWN):
        raise InputInvalid(f"The metadata URL must end with {WELL_KNOWN}.")
    return url


def _url(settings: Settings, value: str, what: str) -> str | None:
    url = value.strip().rstrip("/")
    if not url:
        return None
    if fault := fault_of_url(url):
        raise InputInvalid(f"The {what} {fault}.")
    if len(url) > URL_MAX:
        raise InputInvalid(f"The {what} is longer than {URL_MAX} characters.")
    if is_loopback(url) != settings.is_sandbox:
        raise InputInvalid(
            f"The {what} must be on this machine, where the sandbox is."
            if settings.is_sandbox
            else f"The {what} must not be on this machine: a simulation would get real tokens."
        )
    return url
