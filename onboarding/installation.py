"""What an installation is made of: its settings, and the parts that are built from them once."""

from __future__ import annotations

import hashlib
import logging
import threading
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from onboarding import clock
from onboarding.connections import applications
from onboarding.connections.glance import Glances
from onboarding.db import Database
from onboarding.deere import Deere
from onboarding.errors import ApplicationUnknown
from onboarding.identity.provider import Provider
from onboarding.leaf import Leaf, Turn
from onboarding.links import Links
from onboarding.models import Application, Attempt, Connection, Copy, Partner
from onboarding.queue import Queue
from onboarding.settings import Settings
from onboarding.vault import Vault

METADATA_COPY = "deere-metadata"

CLIENTS_KEPT = 100
"""Of applications, those of replaced secrets included; more are begun anew."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Installation:
    """The parts that views, commands and worker hand to the use cases."""

    settings: Settings
    database: Database
    vault: Vault
    links: Links
    queue: Queue
    deere: Deere
    """For the default application."""
    clients: Clients
    glances: Glances
    company: Provider | None = None
    """By whose accounts staff sign in; None: by passwords alone."""

    def deere_of_partner(self, session: Session, partner: Partner) -> Deere:
        """John Deere for the application of a partner.

        :raise TokenUnreadable: if no key reads its secret
        """
        return self._deere(applications.of_partner(session, partner))

    def deere_of_attempt(self, session: Session, attempt: Attempt) -> Deere:
        """John Deere for the application that an attempt began with.

        :raise ApplicationUnknown: if that is not here any more
        :raise TokenUnreadable: if no key reads its secret
        """
        named = (attempt.client_key, attempt.environment)
        return self._deere(applications.named(session, self.settings, *named))

    def deere_for_reading(self, session: Session, whose: Attempt | Connection) -> Deere:
        """John Deere for what takes no secret: its API and its pages, for the application of
        an attempt or of a connection. Where that is gone, for the default one.
        """
        named = (whose.client_key, whose.environment)
        try:
            application = applications.named(session, self.settings, *named)
        except ApplicationUnknown:
            return self.deere
        return self.clients.of(applications.described(self.settings, application))

    def _deere(self, application: Application | None) -> Deere:
        return self.clients.of(applications.complete(self.settings, self.vault, application))

    def leaf(self, turn: Turn | None = None) -> Leaf:
        """A client for Leaf. Only the worker and a few commands have a use for it.

        :param turn: what each request waits for; only the few requests of a command do without
        """
        settings = self.settings
        return Leaf(
            settings.leaf_api_url, settings.leaf_username, settings.leaf_password, turn=turn
        )


def assemble(settings: Settings) -> Installation:
    """Build the parts. Nothing is asked of database or network yet.

    The clock of this process is from now on the one that the settings name.

    :raise SettingsInvalid: if that is none
    """
    clock.follow(settings.sandbox_clock)
    database = Database(settings.database_url)
    clients = Clients(database, settings)
    company = settings.company
    return Installation(
        settings=settings,
        database=database,
        vault=Vault(settings.encryption_keys),
        links=Links(settings.secret_key),
        queue=Queue(database.engine),
        deere=clients.of(settings),
        clients=clients,
        glances=Glances(database),
        company=None
        if company is None
        else Provider(company, redirect_uri=settings.company_callback_url),
    )


class Clients:
    """John Deere for each application, with what it has learned of the sign-in."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._default_url = settings.deere_metadata_url
        self._lock = threading.Lock()
        self._kept: dict[tuple[object, ...], Deere] = {}

    def of(self, settings: Settings) -> Deere:
        """The one for the application in these settings."""
        known_by = (
            settings.deere_client_key,
            settings.deere_client_secret,
            settings.deere_environment,
            settings.deere_metadata_url,
            settings.deere_api_url,
            settings.deere_scopes,
        )
        with self._lock:
            if len(self._kept) > CLIENTS_KEPT:
                self._kept.clear()
            if known_by not in self._kept:
                self._kept[known_by] = self._new(settings)
            return self._kept[known_by]

    def _new(self, settings: Settings) -> Deere:
        copies = _Copies(self._database, self._name(settings.deere_metadata_url))
        return Deere(settings, remembered=copies.metadata, remember=copies.keep_metadata)

    def _name(self, metadata_url: str) -> str:
        if metadata_url == self._default_url:
            return METADATA_COPY
        return f"{METADATA_COPY}-{hashlib.sha256(metadata_url.encode()).hexdigest()[:16]}"


class _Copies:
    """Keeps the last good copy of a server's metadata where every process finds it."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name

    def metadata(self) -> str | None:
        with self._database.reading() as session:
            copy = session.get(Copy, self._name)
            return copy.text if copy else None

    def keep_metadata(self, text: str) -> None:
        try:
            with self._database.transaction() as session:
                session.merge(Copy(name=self._name, text=text, fetched_at=clock.now()))
        except IntegrityError:
            log.info("Another process has just kept its copy of John Deere's metadata")
