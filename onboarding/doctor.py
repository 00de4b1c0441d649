"""Checks an installation and says, one line each, what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from onboarding import describe, schema
from onboarding.clock import now
from onboarding.connections import attention, incidents
from onboarding.connections.workers import SILENT_AFTER
from onboarding.errors import UpstreamError
from onboarding.installation import Installation
from onboarding.models import Connection, Organization, Worker
from onboarding.settings import SECRET_KEY_MIN_CHARS
from onboarding.states import Environment
from onboarding.vault import HEAD_BYTES

STAGE_ORGANIZATIONS = 5


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    fine: bool
    text: str


def examine(installation: Installation) -> Iterator[Finding]:
    """Every check in turn; a check that fails does not stop the next."""
    yield _world(installation)
    yield from _database(installation)
    yield _deere(installation)
    yield _leaf(installation)
    yield from _redirect_uris(installation)


def _world(installation: Installation) -> Finding:
    settings = installation.settings
    if settings.is_sandbox:
        return Finding(True, "Sandbox: nothing reaches John Deere or Leaf.")
    return Finding(True, f"Real services, John Deere application in {settings.deere_environment}.")


def _database(installation: Installation) -> Iterator[Finding]:
    database = installation.database
    kind = database.engine.dialect.name
    try:
        current = schema.is_current(database)
    except SQLAlchemyError:
        yield Finding(False, f"Database ({kind}) can't be reached: check DATABASE_URL.")
        return
    if not current:
        todo = schema.unfitness(database) or "run flask --app wsgi db upgrade"
        yield Finding(False, f"Database ({kind}) is not up to date: {todo}")
        return
    yield Finding(True, f"Database ({kind}) is up to date.")
    yield _keys(installation)
    yield _worker(installation)
    yield _incident(installation)
    yield _attention(installation)
    if installation.settings.deere_environment is Environment.STAGE:
        yield _stage_limit(installation)


def _keys(installation: Installation) -> Finding:
    """Whether the keys are there with which the waiting tokens were encrypted."""
    head = sa.func.substr(Connection.refresh_token, 1, HEAD_BYTES, type_=sa.LargeBinary)
    waiting = sa.select(head).where(Connection.refresh_token.is_not(None))
    with installation.database.reading() as session:
        heads = session.scalars(waiting.distinct()).all()
    if not all(map(installation.vault.has_key_of, heads)):
        return Finding(
            False, "ENCRYPTION_KEYS can't read a waiting token: bring the old key back, as well."
        )
    count = len(installation.settings.encryption_keys)
    return Finding(
        True,
        f"Keys: SECRET_KEY has {SECRET_KEY_MIN_CHARS} characters or more, ENCRYPTION_KEYS has "
        f"{count}.",
    )


def _worker(installation: Installation) -> Finding:
    alive_since = now() - SILENT_AFTER
    with installation.database.reading() as session:
        alive = session.scalar(
            sa.select(sa.func.count()).select_from(Worker).where(Worker.seen_at > alive_since)
        )
    if not alive:
        return Finding(False, "No worker runs: start one with flask --app wsgi worker")
    return Finding(True, f"Workers running: {alive}.")


def _incident(installation: Installation) -> Finding:
    """Trouble of many at once: one finding, instead of one for each of them."""
    with installation.database.reading() as session:
        incident = incidents.present(session)
    if incident:
        return Finding(False, describe.incident_for_staff(incident))
    return Finding(True, "No incident at John Deere is known.")


def _attention(installation: Installation) -> Finding:
    with installation.database.reading() as session:
        waiting = attention.count(session)
    if waiting:
        return Finding(
            False, f"Connections that wait for staff: {waiting}. flask --app wsgi connection list"
        )
    return Finding(True, "No connection waits for staff.")


def _stage_limit(installation: Installation) -> Finding:
    """An application in STAGE can connect five organizations; the sixth grower is refused."""
    with installation.database.reading() as session:
        used = session.scalar(
            sa.select(sa.func.count(Organization.deere_id.distinct())).where(Organization.connected)
        )
    text = f"STAGE allows {STAGE_ORGANIZATIONS} organizations in all, {used} are connected."
    if (used or 0) < STAGE_ORGANIZATIONS or installation.settings.is_sandbox:
        return Finding(True, text)
    return Finding(False, f"{text} Ask John Deere for production, or end connections there.")


def _deere(installation: Installation) -> Finding:
    def sign() -> None:
        installation.deere.check_metadata()

    issuer = installation.settings.deere_issuer
    return _call(
        sign,
        fine=f"John Deere's metadata is there, its issuer is {issuer}.",
        wrong="Check DEERE_METADATA_URL and the way out of this network.",
    )


def _leaf(installation: Installation) -> Finding:
    return _call(
        installation.leaf().sign_in,
        fine=f"Leaf accepts the sign-in of {installation.settings.leaf_username}.",
        wrong="Check LEAF_USERNAME, LEAF_PASSWORD and LEAF_API_URL.",
    )


def _call(action: Callable[[], None], *, fine: str, wrong: str) -> Finding:
    try:
        action()
    except UpstreamError as err:
        return Finding(False, f"{err}. {wrong}")
    return Finding(True, fine)


def _redirect_uris(installation: Installation) -> Iterator[Finding]:
    settings = installation.settings
    for url in (settings.callback_url, settings.organizations_url):
        yield Finding(True, f"Redirect URI to register at John Deere: {url}")
