"""What the tests of single modules share."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from flask import Flask
from flask.testing import FlaskClient
from pytest_httpserver import HTTPServer

from onboarding import create_app
from onboarding.connections import partnership
from onboarding.db import Database
from onboarding.models import Link
from onboarding.settings import WELL_KNOWN, Settings
from onboarding.states import Environment
from tests.support.desk import Desk
from tests.support.postgres import Cluster
from tests.unit.databases import Postgresql, Sqlite, as_settings_write_it
from tests.unit.failures import Server, ThreadedServer
from tests.unit.leaf_double import LeafDouble
from tests.unit.rows import invited
from tests.unit.tries import Tries
from tests.unit.walk import Walk

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile(
    "unhurried",
    deadline=None,
    derandomize=True,  # a failure is then the fault of what was changed
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("unhurried")

ISSUER_PATH = "/oauth2/aus78tnlaysMraFhC1t7"
SettingsFor = Callable[..., Settings]


@pytest.fixture(scope="session")
def make_httpserver() -> Iterator[HTTPServer]:
    """What `httpserver` is in these tests."""
    with ThreadedServer() as server:
        yield server


@pytest.fixture
def settings_for() -> SettingsFor:
    """`settings_for(httpserver)`: settings with which John Deere and Leaf are both that server.

    Any field of `Settings` can be given by name.
    """

    def build(server: HTTPServer, **fields: Any) -> Settings:
        origin = server.url_for("").rstrip("/")
        values: dict[str, Any] = {
            "secret_key": "a-secret-key-for-tests-of-32-chars",
            "encryption_keys": (b"k" * 32,),
            "database_url": "sqlite://",
            "public_url": "https://connect.example",
            "trusted_proxies": 0,
            "deere_client_key": "client-key",
            "deere_client_secret": "client-secret",
            "deere_environment": Environment.STAGE,
            "deere_metadata_url": origin + ISSUER_PATH + WELL_KNOWN,
            "deere_api_url": origin + "/platform",
            "deere_scopes": ("ag1", "org1", "offline_access"),
            "leaf_api_url": origin,
            "leaf_username": "owner@example.com",
            "leaf_password": "owner password",
            "leaf_requests_per_minute": 900,
            "link_lifetime_days": 14,
        }
        return Settings(**values | fields)

    return build


@pytest.fixture
def server(httpserver: ThreadedServer) -> Iterator[Server]:
    """The server that can answer in bad ways; whatever hangs in it ends with the test."""
    released = threading.Event()
    yield Server(httpserver, released)
    released.set()
    httpserver.forget()


@pytest.fixture
def loud(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that is logged, down to DEBUG; the loggers' own levels are put back."""
    levels = {name: logging.getLogger(name).level for name in ("authlib", "urllib3")}
    with caplog.at_level(logging.DEBUG):
        yield caplog
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Sqlite:
    """Ask for `fresh_url` or `fresh_database` instead."""
    return Sqlite(tmp_path_factory.mktemp("migrated"))


@pytest.fixture(scope="session")
def migrated_postgresql(postgres: Cluster) -> Postgresql:
    """Ask for `fresh_url` or `fresh_database` instead."""
    return Postgresql(postgres.new_database())


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without any table, of both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.sqlite'}"
    cluster: Cluster = request.getfixturevalue("postgres")
    return as_settings_write_it(cluster.new_database())


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty, migrated database: everything that asks for it runs on both kinds."""
    migrated: Sqlite | Postgresql = request.getfixturevalue(f"migrated_{request.param}")
    return migrated.fresh(tmp_path)


@pytest.fixture
def fresh_database(fresh_url: str) -> Iterator[Database]:
    """That database, opened."""
    database = Database(fresh_url)
    yield database
    database.engine.dispose()


@pytest.fixture
def walk(fresh_database: Database, fresh_url: str) -> Walk:
    """The use cases of a consent on that database."""
    return Walk(fresh_database, fresh_url)


@pytest.fixture
def link(walk: Walk) -> Link:
    """A link for a grower who has not begun yet."""
    return invited(walk.database)


@pytest.fixture
def leaf(server: Server) -> LeafDouble:
    return LeafDouble(server)


@pytest.fixture
def tries(walk: Walk, leaf: LeafDouble, link: Link) -> Tries:
    """A token of the grower waits to be handed over."""
    tries = Tries(walk, leaf, link)
    tries.consent()
    return tries


@pytest.fixture
def desk(
    settings_for: SettingsFor, httpserver: ThreadedServer, fresh_database: Database, fresh_url: str
) -> Iterator[Desk]:
    """The dashboard on that database, and browsers of those who use it."""
    app = create_app(settings_for(httpserver, database_url=fresh_url))
    yield Desk(app, fresh_database)
    app.extensions["onboarding"].database.engine.dispose()


@pytest.fixture
def app(
    settings_for: SettingsFor, httpserver: ThreadedServer, fresh_database: Database, fresh_url: str
) -> Iterator[Flask]:
    """The application with two partners, `prairie` and `acme`, whose growers come back to one URL.

    Tests that need another one have their own.
    """
    made = create_app(settings_for(httpserver, database_url=fresh_url))
    with fresh_database.transaction() as session:
        for slug in ("prairie", "acme"):
            urls = ["https://portal.example/back"]
            partnership.add_partner(session, slug=slug, name=slug, return_urls=urls)
    yield made
    made.extensions["onboarding"].database.engine.dispose()


@pytest.fixture
def browser(app: Flask) -> FlaskClient:
    """Somebody's who has not been there before."""
    return app.test_client()
