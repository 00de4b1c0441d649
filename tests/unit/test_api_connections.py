"""What partners' programs see and do of connections: where they stand, what happened."""

from __future__ import annotations

from typing import get_args

import sqlalchemy as sa
from flask import Flask

from onboarding import create_app
from onboarding.clock import now
from onboarding.connections import announcing, consent, embedding, history
from onboarding.db import Database
from onboarding.describe import Told
from onboarding.describe.told import Tone, Who
from onboarding.models import Connection, Event, Link, Organization
from onboarding.partners import happened, status, ways
from onboarding.staff.happened import OURS
from onboarding.staff.words import WORDS
from onboarding.states import Outcome, Stage, SyncChoice, Urgency
from tests.support.program import Program, wrong
from tests.support.queries import counted
from tests.support.stack import ROOT
from tests.unit.conftest import SettingsFor
from tests.unit.failures import ThreadedServer
from tests.unit.rows import watched


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


def test_every_status_is_in_the_guide_and_only_those_are_asked_for(app: Flask) -> None:
    guide = (ROOT / "docs/partners.md").read_text()
    assert [code for code in status.CODES if f"| `{code}` |" not in guide] == []
    answer = Program(app, "prairie").call("GET", "/connections?status=conected")
    assert wrong(answer) == "invalid"
    (one,) = answer.get_json()["errors"]
    assert one["field"] == "status"
    assert "must be one of: invited, " in one["reason"]


BEFORE_CONSENT = {
    *("invited", "authorizing", "denied", "took_too_long", "interrupted", "code_refused"),
    *("deere_unavailable", "application_refused", "no_refresh_token", "finishing"),
}


def test_guide_says_by_which_events_each_status_is_told() -> None:
    guide = (ROOT / "docs/partners.md").read_text()
    _, _, table = guide.partition("| `status.code` | whose turn | | frame | webhook |")
    rows = [line.split("|")[1:-1] for line in table.partition("\n\n")[0].splitlines()[2:]]
    shown = {code.strip(" `"): [one.strip() for one in row] for code, *row in rows}
    assert [*shown] == [*status.CODES]
    for code, (whose, _, frame, webhook) in shown.items():
        (who,) = (one for one in get_args(Who) if one == whose.partition(",")[0])
        tone: Tone = "ok" if code == "connected" else "wait"
        told = Told(code=code, tone=tone, label="", title="", who=who)
        connection = Connection(
            stage=Stage.DISCONNECTED if code == "disconnected" else Stage.CONNECTED,
            token_received_at=None if code in BEFORE_CONSENT else now(),
        )
        event = embedding.event_of(connection, told)
        assert frame == ("" if event == "working" else f"`{event}`"), code
        sent = announcing.event_of(told)
        assert webhook == ("" if sent is None else f"`{sent.removeprefix('connection.')}`"), code


FOR_STAFF = {
    *("address_in_use_again", "alert_received", "check_broke_off", "credential_is_another"),
    *("disconnect_taken_up_again", "events_not_copied", "hand_over_taken_up_again"),
    *("mail_not_sent", "stray_request_awaited"),
    "attempt_authorized",  # `token_received` says so
}
"""How we and Leaf work inside."""


def test_what_happens_is_told_to_partners_or_kept_for_staff_on_purpose() -> None:
    ends = {f"attempt_{outcome.value}" for outcome in Outcome}
    assert {*OURS, *ends} == {*happened.WORDS, *FOR_STAFF}
    assert not happened.WORDS.keys() & FOR_STAFF


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
    assert len(sent) <= 5, sent
    for after in ("x", "-1", "٣", "9" * 19):
        answer = program.call("GET", path, query_string={"after": after})
        assert wrong(answer) == "invalid", after
    assert wrong(Program(app, "acme").call("GET", path)) == "not-found"


def test_choice_of_what_leaf_fetches_is_owed_until_leaf_has_confirmed_it(
    app: Flask, fresh_database: Database
) -> None:
    (connection_id,) = watched(fresh_database, 1)
    with fresh_database.transaction() as session:
        found = session.get_one(Connection, connection_id)
        found.organizations[0].sync_choice = SyncChoice.SELECTED
        found.organizations.append(Organization(deere_id="2", name="Oak Hollow", connected=False))
        found.check_due_at, path = now(), f"/connections/{found.reference}/organizations"
    program = Program(app, "watched")
    told = program.call("GET", path).get_json()["organizations"]
    assert [(one["id"], one["connected"], one["sync"]) for one in told] == [
        ("1", True, "SELECTED"),
        ("2", False, None),
    ]
    for _ in range(2):
        asked = program.call("PATCH", f"{path}/1", {"sync": "PREVIEW"})
        assert asked.status_code == 202
        assert asked.get_json() == told[0] | {"sync": None, "chosen": "PREVIEW", "is_owed": True}
    with fresh_database.transaction() as session:
        found = session.get_one(Connection, connection_id)
        assert found.check_urgency == Urgency.LOOK
        found.organizations[0].sync_choice = SyncChoice.PREVIEW  # as a worker does
    done = program.call("GET", path).get_json()["organizations"][0]
    assert (done["sync"], done["is_owed"]) == ("PREVIEW", False)
    lines = program.call("GET", path.replace("organizations", "history")).get_json()["events"]
    assert [(one["type"], one["by"]) for one in lines] == [("sync_choice_asked", "partner")]

    refused = program.call("PATCH", f"{path}/2", {"sync": "SELECTED"})
    assert wrong(refused) == "not-to-be-chosen"
    assert "the grower has to allow it there first" in refused.get_json()["detail"]
    assert wrong(program.call("PATCH", f"{path}/7", {"sync": "SELECTED"})) == "not-found"
    assert wrong(program.call("PATCH", f"{path}/1", {"sync": "BLOCKED"})) == "invalid"


def test_disconnect_is_owed_from_the_answer_on_and_once(
    app: Flask, fresh_database: Database
) -> None:
    (connection_id,) = watched(fresh_database, 1)
    with fresh_database.reading() as session:
        path = f"/connections/{session.get_one(Connection, connection_id).reference}"
    program = Program(app, "watched")
    assert wrong(program.call("POST", f"{path}/disconnect", {"reason": "a\tb"})) == "invalid"
    for _ in range(2):
        asked = program.call("POST", f"{path}/disconnect", {"reason": "has left us"})
        assert asked.status_code == 202
        assert asked.get_json()["code"] == "disconnecting"
    with fresh_database.transaction() as session:
        found = session.get_one(Connection, connection_id)
        assert (found.stage, found.hand_over_try) == (Stage.DISCONNECTING, 1)
        assert found.hand_over_due_at is not None
        told = session.scalars(sa.select(Event).where(Event.kind == "disconnect_asked")).one()
        assert (told.who, told.data) == ("partner", {"reason": "has left us"})
        found.stage = Stage.DISCONNECTED  # as a worker does
    again = program.call("POST", f"{path}/disconnect", {})
    assert (again.status_code, again.get_json()["code"]) == (202, "disconnected")
    fresh = program.grower()["connection"]
    never = program.call("POST", f"/connections/{fresh}/disconnect", {})
    assert wrong(never) == "nothing-to-end"
    assert "there is nothing to end" in never.get_json()["detail"]


def test_every_status_can_be_had_in_the_sandbox(app: Flask) -> None:
    assert set(WORDS) == set(ways.CODES) == set(status.CODES)
    assert len(ways.CODES) == len(set(ways.CODES))
    program = Program(app, "prairie")
    path = f"/sandbox/connections/{program.grower()['connection']}/state"
    unknown = program.call("POST", path, {"state": "conected"})
    assert wrong(unknown) == "invalid"
    assert "must be one of: " in unknown.get_json()["errors"][0]["reason"]
    silent = program.call("POST", path, {"state": "connected"})  # no sandbox answers here
    assert wrong(silent) == "unavailable"


def test_statuses_are_not_to_be_had_where_leaf_is_real(
    settings_for: SettingsFor, httpserver: ThreadedServer, app: Flask, fresh_url: str
) -> None:
    real = {"leaf_api_url": "https://api.withleaf.io", "database_url": fresh_url}
    other = create_app(settings_for(httpserver, **real))
    program = Program(other, "prairie")
    path = f"/connections/{program.grower()['connection']}"
    answer = program.call("POST", f"/sandbox{path}/state", {"state": "denied"})
    assert wrong(answer) == "not-found"
    assert "with the sandbox only" in answer.get_json()["detail"]
    assert program.call("GET", path).get_json()["status"]["code"] == "invited"
    other.extensions["onboarding"].database.engine.dispose()
