"""What partners' programs see and do of connections: where they stand, what happened."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from flask import Flask

from onboarding import create_app
from onboarding.clock import now
from onboarding.connections import consent, history, invitations
from onboarding.db import Database
from onboarding.models import Connection, Link
from onboarding.states import Outcome
from tests.support.program import Program, wrong
from tests.support.queries import counted
from tests.unit.conftest import SettingsFor
from tests.unit.failures import ThreadedServer


@pytest.fixture
def app(
    settings_for: SettingsFor, httpserver: ThreadedServer, fresh_database: Database, fresh_url: str
) -> Iterator[Flask]:
    made = create_app(settings_for(httpserver, database_url=fresh_url))
    with fresh_database.transaction() as session:
        for slug in ("prairie", "acme"):
            invitations.add_partner(session, slug=slug, name=slug)
    yield made
    made.extensions["onboarding"].database.engine.dispose()


def deny(app: Flask) -> None:
    """The grower of the only link goes to John Deere and says no."""
    parts = app.extensions["onboarding"]
    with parts.database.transaction() as session:
        link = session.scalars(sa.select(Link)).one()
        started = consent.start(session, parts.vault, parts.settings, link)
    with parts.database.transaction() as session:
        attempt = consent.find(
            session, state=started.state, browser_secret=lambda _found: started.browser_secret
        )
        consent.finish(session, attempt, Outcome.DENIED, detail="access_denied: by Jo, jo@farm")


def test_status_says_since_when(app: Flask, fresh_database: Database) -> None:
    program = Program(app, "prairie")
    made = program.grower()
    path = f"/connections/{made['connection']}"
    first = program.call("GET", path).get_json()["status"]
    assert (first["code"], first["since"]) == ("invited", made["created_at"])
    program.call("POST", "/growers/7/links", {})
    before = now()
    deny(app)
    told = program.call("GET", path).get_json()["status"]
    assert told["code"] == "denied"
    assert before.isoformat() <= told["since"].replace("Z", "+00:00") <= now().isoformat()
    with fresh_database.transaction() as session:
        # Not seen by the row yet: time has passed, and the worker has not been here.
        session.execute(sa.text("UPDATE listing SET code = 'authorizing', due_at = NULL"))
    late = program.call("GET", path).get_json()["status"]
    assert late["since"] > told["since"]
    listed = program.call("GET", "/connections").get_json()["connections"][0]
    assert listed["since"] == told["since"]


def test_history_tells_in_pages_what_happened_and_nothing_that_is_for_staff(
    app: Flask, fresh_database: Database
) -> None:
    program = Program(app, "prairie")
    path = f"/connections/{program.grower()['connection']}/history"
    assert program.call("GET", path).get_json() == {"events": [], "next": None}
    program.call("POST", "/growers/7/links", {})
    deny(app)
    with fresh_database.transaction() as session:
        found = session.scalars(sa.select(Connection)).one()
        history.record(session, found, "alert_received", type="credentials_changed")
        history.record(session, found, "hand_over_waits", detail="HTTP 503 for secret-detail")
        history.record(session, found, "status_changed", stage="connected", health="OK", text="odd")
        history.record(
            session, found, "organization_shared", who=history.GROWER, organizations=["Maple (1)"]
        )

    first = program.call("GET", f"{path}?limit=4").get_json()
    second = program.call("GET", f"{path}?limit=4&after={first['next']}").get_json()
    assert second["next"] is None
    assert [one["type"] for one in first["events"] + second["events"]][::-1] == [
        "link_made",
        "attempt_started",
        "attempt_denied",
        "hand_over_waits",
        "status_changed",
        "organization_shared",
    ]
    told = {one["type"]: one for one in first["events"] + second["events"]}
    assert told["link_made"]["by"] == "partner"
    assert told["attempt_denied"]["by"] == "grower"
    assert told["attempt_denied"]["sentence"] == "Access was not allowed at John Deere."
    assert told["status_changed"]["health"] == "OK"
    assert told["organization_shared"]["organizations"] == ["Maple (1)"]
    assert not any(word in str(told) for word in ("secret-detail", "jo@farm", "odd"))
    with counted(app.extensions["onboarding"].database.engine) as sent:
        program.call("GET", path)
    assert len(sent) <= 4, sent
    for after in ("x", "-1", "٣", "9" * 19):
        answer = program.call("GET", path, query_string={"after": after})
        assert wrong(answer) == "invalid", after
    assert wrong(Program(app, "acme").call("GET", path)) == "not-found"
