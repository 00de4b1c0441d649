"""The doctor: one line for each check, and for what is wrong what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from onboarding.clock import now
from onboarding.connections.pace import Turns
from onboarding.connections.pace.closing import FAILURES_OF_AN_OUTAGE
from onboarding.db import Database
from onboarding.doctor import Finding, examine
from onboarding.errors import UpstreamUnavailable
from onboarding.installation import Installation, assemble
from onboarding.models import (
    Connection,
    Incident,
    Organization,
    WebhookDelivery,
    WebhookEndpoint,
    Worker,
)
from onboarding.settings import WELL_KNOWN
from onboarding.staff import applications
from onboarding.staff.application_drafts import draft
from onboarding.states import Cause, Environment, IncidentKind, PauseReason, Stage
from onboarding.vault import Vault
from tests.support.postgres import Cluster
from tests.unit import hooks
from tests.unit.conftest import ISSUER_PATH, SettingsFor
from tests.unit.databases import as_settings_write_it
from tests.unit.failures import FAILURES, Server
from tests.unit.rows import connection_of, invited, watched

SIGN_IN = "/api/authenticate"
METADATA = ISSUER_PATH + WELL_KNOWN
Install = Callable[..., Installation]


@pytest.fixture
def install(settings_for: SettingsFor, server: Server) -> Iterator[Install]:
    """`install(url)`: an installation on a database, with John Deere and Leaf on the server."""
    made: list[Installation] = []

    def build(url: str, **fields: Any) -> Installation:
        settings = settings_for(server.http, database_url=url, **fields)
        made.append(assemble(settings))
        return made[-1]

    yield build
    for installation in made:
        installation.database.engine.dispose()


@pytest.fixture
def installation(install: Install, fresh_url: str) -> Installation:
    """On a migrated database."""
    return install(fresh_url)


@pytest.fixture
def healthy(server: Server) -> None:
    """John Deere and Leaf answer as they should."""
    answer_metadata(server)
    server.json("POST", SIGN_IN, {"id_token": "token-1"})


def answer_metadata(server: Server, **changes: str) -> None:
    issuer = server.url + ISSUER_PATH
    endpoints = {f"{name}_endpoint": f"{issuer}/v1/{name}" for name in ("authorization", "token")}
    server.json("GET", METADATA, {"issuer": issuer} | endpoints | changes)


def add_worker(database: Database, *, silent_for: timedelta = timedelta(0)) -> None:
    seen = now() - silent_for
    with database.transaction() as session:
        session.add(Worker(id=uuid4(), host="here", pid=1, started_at=seen, seen_at=seen))


def test_a_database_that_can_not_be_used_is_not_sent_in_a_circle(
    install: Install, postgres: Cluster
) -> None:
    url = as_settings_write_it(postgres.new_database(encoding="SQL_ASCII"))

    found = line(install(url), "Database")

    assert not found.fine
    assert "need UTF8. Make it anew: createdb" in found.text


def line(installation: Installation, beginning: str) -> Finding:
    """The one line that begins like this; nothing is examined behind it."""
    found = next((one for one in examine(installation) if one.text.startswith(beginning)), None)
    assert found is not None, f"no line begins with {beginning!r}: {list(examine(installation))}"
    return found


@pytest.mark.usefixtures("healthy")
def test_a_healthy_installation_has_no_wrong_line(
    installation: Installation, server: Server
) -> None:
    add_worker(installation.database)

    found = list(examine(installation))

    kind = installation.database.engine.dialect.name
    assert [one.text for one in found if not one.fine] == []
    assert [one.text for one in found] == [
        "Sandbox: nothing reaches John Deere or Leaf.",
        f"Database ({kind}) is up to date.",
        "Keys: SECRET_KEY has 32 characters or more, ENCRYPTION_KEYS has 1.",
        "Workers running: 1.",
        "No incident at John Deere is known.",
        "No connection waits for staff.",
        "The workers may ask Leaf.",
        "Checks come in time.",
        "STAGE allows 5 organizations in all, 0 are connected.",
        f"John Deere's metadata is there, its issuer is {server.url}{ISSUER_PATH}.",
        "Leaf accepts the sign-in of owner@example.com.",
        "Leaf's alerts are off: LEAF_ALERT_SECRET is not set. Trouble is found within a day.",
        "Mail is off: MAIL_URL is not set.",
        "Redirect URI to register at John Deere: https://connect.example/deere/callback",
        "Redirect URI to register at John Deere: https://connect.example/deere/organizations",
    ]


@pytest.mark.usefixtures("healthy")
def test_a_database_without_tables_says_what_to_run_and_the_rest_is_still_checked(
    install: Install, empty_url: str
) -> None:
    found = list(examine(install(empty_url)))

    wrong = [one.text for one in found if not one.fine]
    assert len(wrong) == 1
    assert wrong[0].endswith("is not up to date: run flask --app wsgi db upgrade")
    assert [one.text.split()[0] for one in found[2:]] == [
        *("John", "Leaf", "Leaf's", "Mail", "Redirect", "Redirect"),
    ]


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_database_that_is_not_there_names_the_setting_and_no_password(
    install: Install, tmp_path: Path, kind: str
) -> None:
    url = {
        "sqlite": f"sqlite:///{tmp_path}/no/such/folder/app.sqlite",
        "postgresql": f"postgresql+psycopg://user:hunter22@/app?host={tmp_path}",
    }[kind]

    found = list(examine(install(url)))

    assert [one.text for one in found if not one.fine] == [
        f"Database ({kind}) can't be reached: check DATABASE_URL."
    ]
    assert "hunter22" not in str(found)


@pytest.mark.parametrize("silent_for", [None, timedelta(seconds=31), timedelta(days=3)])
def test_without_a_living_worker_it_says_how_to_start_one(
    installation: Installation, silent_for: timedelta | None
) -> None:
    if silent_for is not None:
        add_worker(installation.database, silent_for=silent_for)

    found = line(installation, "No worker runs")

    assert not found.fine
    assert found.text.endswith("start one with flask --app wsgi worker")


def test_only_workers_that_live_are_counted(installation: Installation) -> None:
    add_worker(installation.database)
    add_worker(installation.database, silent_for=timedelta(seconds=20))
    add_worker(installation.database, silent_for=timedelta(minutes=5))

    assert line(installation, "Workers") == Finding(True, "Workers running: 2.")


@pytest.mark.parametrize("unreadable", [0, 1, 2])
def test_a_waiting_token_that_no_key_reads_is_found(
    installation: Installation, unreadable: int
) -> None:
    vaults = [installation.vault] * 3
    vaults[unreadable] = Vault([b"a key that was dropped too early"])
    for number, vault in enumerate(vaults):
        link = invited(installation.database, f"grower-{number}")
        connection_id = connection_of(installation.database, link).id
        with installation.database.transaction() as session:
            row = session.get_one(Connection, connection_id)
            row.refresh_token = vault.encrypt("refresh", place=row.token_place)
            row.token_received_at = now() + timedelta(minutes=number)

    found = line(installation, "ENCRYPTION_KEYS")

    assert not found.fine
    assert "bring the old key back" in found.text


def test_connections_that_wait_for_staff_are_wrong_and_listed_elsewhere(
    installation: Installation,
) -> None:
    for number in range(2):
        invited(installation.database, f"grower-{number}")
    with installation.database.transaction() as session:
        session.execute(sa.update(Connection).values(stage=Stage.FAILED, cause=Cause.LEAF_REFUSED))

    found = line(installation, "Connections that wait for staff")

    assert not found.fine
    assert found.text.endswith("for staff: 2. flask --app wsgi connection list")


@pytest.mark.usefixtures("healthy")
def test_leaf_that_the_workers_found_down_is_told_with_its_answer(
    installation: Installation,
) -> None:
    add_worker(installation.database)
    turns = Turns(installation.database, per_minute=900)
    for _ in range(FAILURES_OF_AN_OUTAGE):
        turns.tell(UpstreamUnavailable("Leaf", "read the credential", status=503))
    found = line(installation, "Leaf is down for the workers since")
    assert not found.fine
    assert "Leaf: read the credential: HTTP 503" in found.text


@pytest.mark.usefixtures("healthy")
def test_limit_of_leaf_that_the_workers_wait_out_names_the_setting(
    installation: Installation,
) -> None:
    Turns(installation.database, per_minute=900).tell(
        UpstreamUnavailable("Leaf", "read the credential", status=429)
    )
    found = line(installation, "Leaf's limit is reached")
    assert not found.fine
    assert "LEAF_REQUESTS_PER_MINUTE" in found.text


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize(("hours", "fine"), [(23, True), (30, False)])
def test_checks_that_are_late_by_a_day_are_wrong(
    installation: Installation, hours: int, fine: bool
) -> None:
    watched(installation.database, 2, check_due_at=now() + timedelta(hours=1))
    watched(installation.database, 1, check_due_at=now() - timedelta(hours=hours))
    found = line(installation, "Checks ")
    assert found.fine is fine
    assert fine or "30 hours late" in found.text


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"issuer": "https://signin.elsewhere.example/oauth2/default"}, "names another issuer"),
        ({"issuer": ""}, "names another issuer"),
        ({"token_endpoint": "https://elsewhere.example/token"}, "has its token_endpoint elsewhere"),
    ],
)
def test_metadata_that_is_not_of_the_issuer_is_refused(
    install: Install, tmp_path: Path, server: Server, changes: dict[str, str], what: str
) -> None:
    answer_metadata(server, **changes)
    server.json("POST", SIGN_IN, {"id_token": "token-1"})

    found = line(install(f"sqlite:///{tmp_path}/app.sqlite"), "John Deere")

    assert not found.fine
    assert what in found.text
    assert "Check DEERE_METADATA_URL" in found.text


@pytest.mark.parametrize("failure", ["404", "503", "reset"])
def test_metadata_that_cannot_be_fetched_is_wrong_even_with_a_copy_at_hand(
    installation: Installation, server: Server, failure: str
) -> None:
    answer_metadata(server)
    installation.deere.metadata()
    server.http.clear()
    server.fail("GET", METADATA, FAILURES[failure])

    found = line(installation, "John Deere")

    assert not found.fine
    assert found.text.endswith("Check DEERE_METADATA_URL and the way out of this network.")


@pytest.mark.parametrize("failure", ["400", "401", "503", "reset"])
def test_leaf_refusing_or_failing_names_the_settings_and_no_password(
    install: Install, tmp_path: Path, server: Server, failure: str
) -> None:
    answer_metadata(server)
    server.fail("POST", SIGN_IN, FAILURES[failure])

    found = line(install(f"sqlite:///{tmp_path}/app.sqlite"), "Leaf")

    assert not found.fine
    assert found.text.endswith("Check LEAF_USERNAME, LEAF_PASSWORD and LEAF_API_URL.")
    assert "owner password" not in found.text


REAL = {
    "deere_metadata_url": f"https://signin.deere.example/oauth2/a{WELL_KNOWN}",
    "leaf_api_url": "https://leaf.example",
}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "Sandbox: nothing reaches John Deere or Leaf."),
        (REAL, "Real services, John Deere application in STAGE."),
        (
            REAL | {"deere_environment": Environment.PRODUCTION},
            "Real services, John Deere application in PRODUCTION.",
        ),
    ],
)
def test_the_first_line_says_which_world_it_is(
    install: Install, tmp_path: Path, fields: dict[str, Any], text: str
) -> None:
    found = next(examine(install(f"sqlite:///{tmp_path}/app.sqlite", **fields)))

    assert found == Finding(True, text)


@pytest.mark.parametrize(("connected", "fine"), [(4, True), (5, False), (6, False)])
def test_stages_limit_of_five_organizations_is_foreseen(
    install: Install, fresh_url: str, connected: int, fine: bool
) -> None:
    installation = install(fresh_url, **REAL)
    link = invited(installation.database)
    connection_id = connection_of(installation.database, link).id
    with installation.database.transaction() as session:
        for number in range(connected + 2):
            session.add(
                Organization(
                    connection_id=connection_id,
                    deere_id=str(number),
                    name="Farm",
                    connected=number < connected,
                )
            )

    found = line(installation, "STAGE allows")

    assert found.fine is fine
    assert f"{connected} are connected" in found.text
    assert ("Ask John Deere for production" in found.text) is not fine


def test_stages_limit_is_that_of_each_application_alone(install: Install, fresh_url: str) -> None:
    installation = install(fresh_url, **REAL)
    known_by = {"client_key": "own-key", "environment": Environment.STAGE}
    with installation.database.transaction() as session:
        made = draft(installation.settings, name="Own", client_key="own-key", environment="STAGE")
        vault, settings = installation.vault, installation.settings
        applications.add(session, vault, settings, made, "own-secret", None)
    for external_id, fields in (("default", {}), ("own", known_by)):
        link = invited(installation.database, external_id)
        connection_id = connection_of(installation.database, link).id
        with installation.database.transaction() as session:
            for name, value in fields.items():
                setattr(session.get_one(Connection, connection_id), name, value)
            session.add_all(
                Organization(
                    connection_id=connection_id,
                    deere_id=f"{external_id}-{number}",
                    name="Farm",
                    connected=True,
                )
                for number in range(5 if fields else 2)
            )

    limits = (one for one in examine(installation) if "STAGE allows" in one.text)
    default, own = next(limits), next(limits)

    assert (default.fine, own.fine) == (True, False)
    assert "2 are connected" in default.text
    assert own.text.startswith("Application Own: STAGE allows 5 organizations in all, 5 are")


WEBHOOKS = "/services/alerts/api/alerts/webhooks"
ALERTS_URL = "https://connect.example/leaf/alerts"
ALERT_SECRET = "alert-secret-of-16"


def webhook(**changes: Any) -> dict[str, Any]:
    events = ["credentialsUnauthenticated", "credentialsLimitedPermission"]
    ours = {"id": "w-1", "url": ALERTS_URL, "secret": ALERT_SECRET, "events": events}
    return ours | changes


@pytest.mark.parametrize(
    ("held", "registered"),
    [
        ([webhook()], True),
        ([webhook(events=[event], id=event) for event in webhook()["events"]], True),
        ([webhook(secret=None)], True),
        ([], False),
        ([webhook(secret="another-secret-of-16")], False),
        ([webhook(url="https://other.example/leaf/alerts")], False),
        ([webhook(events=["credentialsUnauthenticated"])], False),
    ],
)
@pytest.mark.usefixtures("healthy")
def test_alerts_with_a_secret_must_be_registered(
    install: Install,
    fresh_url: str,
    server: Server,
    held: list[dict[str, Any]],
    registered: bool,
) -> None:
    server.json("GET", WEBHOOKS, held)
    # In a sandbox alerts may be left out.
    real = {"deere_api_url": "https://sandboxapi.deere.com/platform"}
    parts = install(fresh_url, leaf_alert_secret=ALERT_SECRET, **real)
    found = [one for one in examine(parts) if ALERTS_URL in one.text]
    text = f"Leaf sends its alerts to {ALERTS_URL}."
    if not registered:
        text = f"Leaf does not send its alerts to {ALERTS_URL}: run flask --app wsgi leaf alerts "
        text += "register"
    assert found == [Finding(registered, text)]
    assert ALERT_SECRET not in str(list(examine(parts)))


@pytest.mark.usefixtures("healthy")
def test_alerts_that_leaf_does_not_tell_of_are_wrong(
    install: Install, fresh_url: str, server: Server
) -> None:
    server.fail("GET", WEBHOOKS, FAILURES["503"])
    found = line(install(fresh_url, leaf_alert_secret=ALERT_SECRET), "Leaf: list the webhooks")
    assert not found.fine


@pytest.mark.usefixtures("healthy")
def test_incidents_are_one_wrong_line_of_each_kind(installation: Installation) -> None:
    with installation.database.transaction() as session:
        for kind in (IncidentKind.PAUSE, IncidentKind.REFUSED):
            session.add(Incident(kind=kind, began_at=now(), turned=37, asked=120))

    pause = line(installation, "Incident at John Deere since")
    refused = line(installation, "Incident of our application since")

    assert not pause.fine
    assert "of 120 connections" in pause.text
    assert "37 stopped working" in pause.text
    assert not refused.fine
    assert "37 turned UNAUTHENTICATED" in refused.text


def test_endpoints_that_fail_and_messages_that_nobody_sends_are_wrong(
    installation: Installation,
) -> None:
    database, vault, settings = installation.database, installation.vault, installation.settings
    (connection_id,) = watched(database, 1, checked_at=now())
    assert not [one for one in examine(installation) if "ebhook" in one.text], "there is none"
    ids = [
        hooks.endpoint(database, vault, settings, f"https://portal.example/{number}")
        for number in range(4)
    ]

    def said() -> list[tuple[bool, str]]:
        found = [one for one in examine(installation) if "ebhook" in one.text]
        return [(one.fine, one.text.partition(" The partner")[0]) for one in found]

    def is_so(number: int, **values: Any) -> list[tuple[bool, str]]:
        """What is said once an endpoint is so."""
        with database.transaction() as session:
            of = WebhookEndpoint.id == ids[number]
            session.execute(sa.update(WebhookEndpoint).where(of).values(**values))
        return said()

    long_ago = now() - timedelta(hours=2)
    assert said() == [(True, "Webhook endpoints that take what is sent: 4.")]
    assert is_so(0, paused_at=now(), pause_reason=PauseReason.BY_HAND) == [
        (True, "Webhook endpoints that take what is sent: 3; paused by hand: 1.")
    ]
    told = "take what is sent: 2; failing for less than an hour: 1; paused by hand: 1."
    assert is_so(1, failing_since=now(), failure="500") == [
        (True, f"Webhook endpoints that {told}")
    ]
    assert is_so(1, failing_since=long_ago, failure="500") == [
        (False, "Webhook endpoints that fail, or are paused since they failed: 1."),
        (True, "Webhook endpoints that take what is sent: 2; paused by hand: 1."),
    ]
    assert is_so(2, paused_at=long_ago, pause_reason=PauseReason.GONE)[0] == (
        False,
        "Webhook endpoints that fail, or are paused since they failed: 2.",
    )

    hooks.breaks(database, [connection_id])
    hooks.mends(database, [connection_id])
    waiting = sa.update(WebhookDelivery).where(WebhookDelivery.endpoint_id.in_(ids[:3]))
    with database.transaction() as session:
        session.execute(waiting.values(due_at=long_ago))
    assert len(said()) == 2, "what waits for an endpoint that is paused is no worker's"
    with database.transaction() as session:
        of = WebhookDelivery.endpoint_id == ids[3]
        first = sa.select(sa.func.min(WebhookDelivery.id)).where(of).scalar_subquery()
        second = sa.update(WebhookDelivery).where(of, WebhookDelivery.id != first)
        session.execute(second.values(due_at=long_ago))
    assert len(said()) == 2, "one that waits for another, neither"
    with database.transaction() as session:
        session.execute(sa.update(WebhookDelivery).where(of).values(due_at=long_ago))
    fine, text = said()[1]
    assert not fine
    assert text.startswith(f"A webhook has waited since {long_ago:%Y-%m-%d %H:%M} UTC, though")
