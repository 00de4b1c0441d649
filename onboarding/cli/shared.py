"""What several commands need: the installation, errors as a line, a connection by its reference."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import click
import sqlalchemy as sa
from flask import current_app
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from onboarding.errors import OnboardingError, SettingsInvalid
from onboarding.installation import Installation
from onboarding.models import Connection

SHOWN = 100
"""Lines of a list."""


def installation() -> Installation:
    """What the app was made with.

    :raise click.ClickException: naming what is missing, if the settings are not complete
    """
    found = current_app.extensions["onboarding"]
    if isinstance(found, SettingsInvalid):
        raise click.ClickException(f"the settings are not complete.\n{found}")
    return cast(Installation, found)


@contextmanager
def plain_errors() -> Iterator[None]:
    """What is wrong in a line, without a traceback."""
    try:
        yield
    except OnboardingError as err:
        raise click.ClickException(str(err)) from err
    except (OperationalError, ProgrammingError) as err:
        # Not to be reached, or without our tables.
        what = str(err.orig).partition("\n")[0]
        raise click.ClickException(
            f"the database can't be used: {what}. What to do says: flask --app wsgi doctor"
        ) from err


def connection_named(session: Session, reference: str) -> Connection:
    """The connection with this reference code, however it is written.

    :raise click.ClickException: if there is none
    """
    wanted = sa.select(Connection).where(Connection.reference == reference.strip().upper())
    found = session.scalar(wanted)
    if found is None:
        raise click.ClickException(f"no connection has the reference {reference!r}.")
    return found
