"""Two apps in one process, each with its own application at John Deere."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from onboarding import create_app
from onboarding.deere import Deere
from tests.unit.conftest import SettingsFor
from tests.unit.databases import Sqlite
from tests.unit.failures import Server
from tests.unit.test_deere import STATE, TOKEN_PATH, TOKENS, VERIFIER, exchange, serve_metadata


def test_each_is_its_own_client(
    server: Server, settings_for: SettingsFor, migrated_sqlite: Sqlite, tmp_path: Path
) -> None:
    serve_metadata(server)
    server.json("POST", TOKEN_PATH, TOKENS)
    url = migrated_sqlite.fresh(tmp_path)
    apps = {
        name: create_app(settings_for(server.http, database_url=url, deere_client_key=name))
        for name in ("first", "second")
    }
    for name in ("first", "second", "first"):
        deere: Deere = apps[name].extensions["onboarding"].deere
        asked = urlsplit(deere.consent_url(state=STATE, code_verifier=VERIFIER)).query
        assert parse_qs(asked)["client_id"] == [name]
        exchange(deere)
        sent = server.sent[-1].authorization
        assert sent is not None
        assert sent.username == name
    for app in apps.values():
        app.extensions["onboarding"].database.engine.dispose()
