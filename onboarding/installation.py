"""What an installation is made of: its settings, and the parts that are built from them once."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError

from onboarding import clock
from onboarding.db import Database
from onboarding.deere import Deere
from onboarding.leaf import Leaf, Turn
from onboarding.links import Links
from onboarding.models import Copy
from onboarding.queue import Queue
from onboarding.settings import Settings
from onboarding.vault import Vault

METADATA_COPY = "deere-metadata"

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
    copies = _Copies(database)
    return Installation(
        settings=settings,
        database=database,
        vault=Vault(settings.encryption_keys),
        links=Links(settings.secret_key),
        queue=Queue(database.engine),
        deere=Deere(settings, remembered=copies.metadata, remember=copies.keep_metadata),
    )


class _Copies:
    """Keeps the last good copy of John Deere's metadata where every process finds it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def metadata(self) -> str | None:
        with self._database.reading() as session:
            copy = session.get(Copy, METADATA_COPY)
            return copy.text if copy else None

    def keep_metadata(self, text: str) -> None:
        try:
            with self._database.transaction() as session:
                session.merge(Copy(name=METADATA_COPY, text=text, fetched_at=clock.now()))
        except IntegrityError:
            log.info("Another process has just kept its copy of John Deere's metadata")
