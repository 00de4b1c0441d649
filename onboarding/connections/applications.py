"""As which application John Deere is asked: the default one of the settings, or a partner's own.

What the rest of the product needs of an application are the settings as they would be if it were
the default one. An attempt, and what comes of it, stays with the application that it began with:
both remember its client key and environment.
"""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.errors import ApplicationUnknown
from onboarding.models import Application, Partner
from onboarding.settings import DEERE_API_URLS, Settings
from onboarding.states import Environment
from onboarding.vault import Vault


def of_partner(session: Session, partner: Partner) -> Application | None:
    """The partner's own application; None: the default one."""
    if partner.application_id is None:
        return None
    return session.get_one(Application, partner.application_id)


def named(
    session: Session, settings: Settings, client_key: str | None, environment: Environment | None
) -> Application | None:
    """The application with this key in this environment; None: the default one.

    :param client_key: None: nobody has written down which one it was, so it was the default one
    :raise ApplicationUnknown: if it is neither the default one nor one of ours
    """
    if client_key is None or (client_key, environment) == default_of(settings):
        return None
    found = session.scalar(
        sa.select(Application).where(
            Application.client_key == client_key, Application.environment == environment
        )
    )
    if found is None:
        raise ApplicationUnknown(f"application {client_key} ({environment}) is not here any more")
    return found


def default_of(settings: Settings) -> tuple[str, Environment]:
    """What the default application is known by."""
    return settings.deere_client_key, settings.deere_environment


def described(settings: Settings, application: Application | None) -> Settings:
    """The settings with all of the application's but its secret."""
    if application is None:
        return settings
    return replace(
        settings,
        deere_client_key=application.client_key,
        deere_client_secret="",
        deere_environment=application.environment,
        deere_metadata_url=application.metadata_url or settings.deere_metadata_url,
        deere_api_url=application.api_url or usual_api_url(settings, application.environment),
        deere_scopes=tuple(application.scopes),
    )


def complete(settings: Settings, vault: Vault, application: Application | None) -> Settings:
    """The settings with all of the application's.

    :raise TokenUnreadable: if no key reads its secret
    """
    if application is None:
        return settings
    secret = vault.decrypt(application.client_secret, place=application.secret_place)
    return replace(described(settings, application), deere_client_secret=secret)


def usual_api_url(settings: Settings, environment: Environment) -> str:
    """Where John Deere's API is for this environment; a sandbox has one for both."""
    if settings.deere_api_url == DEERE_API_URLS[settings.deere_environment]:
        return DEERE_API_URLS[environment]
    return settings.deere_api_url
