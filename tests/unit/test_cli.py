"""The commands as an operator types them: what they print, where, and how they fail."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dotenv import dotenv_values

from onboarding import settings
from onboarding.clock import now
from onboarding.errors import SettingsInvalid
from onboarding.local import commands
from onboarding.models import Connection, Event, Incident, Link, Mail, Organization, Worker
from onboarding.states import Cause, Health, IncidentKind, MailKind, Stage
from onboarding.vault import Vault, new_key
from tests.support.ports import free_port
from tests.support.postgres import Cluster
from tests.support.stack import ROOT, Stack
from tests.unit.rows import connection_of

LIMIT_SECONDS = 60.0
REQUIRED = (
    *("SECRET_KEY", "ENCRYPTION_KEYS", "PUBLIC_URL"),
    *("DEERE_CLIENT_KEY", "DEERE_CLIENT_SECRET", "DEERE_ENVIRONMENT"),
    *("LEAF_USERNAME", "LEAF_PASSWORD"),
)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Ask for `shell` instead."""
    folder = tmp_path_factory.mktemp("shell")
    stack = Stack(folder, f"sqlite:///{folder}/app.sqlite")
    stack.cli("db", "upgrade")
    yield stack
    stack.close()


@pytest.fixture
def shell(migrated: Stack) -> Stack:
    """A migrated SQLite installation in a folder of its own; no process runs.

    The growers of earlier tests are there, and nothing is the matter with them.
    """
    with migrated.installation.database.transaction() as session:
        session.execute(
            sa.update(Connection).values(
                stage=Stage.INVITED, cause=None, refresh_token=None, hand_over_due_at=None
            )
        )
    return migrated


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Stack]:
    """An installation whose database has no tables yet."""
    stack = Stack(tmp_path, f"sqlite:///{tmp_path}/app.sqlite")
    yield stack
    stack.close()


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """What a command that failed says; nothing else is printed."""
    assert done.returncode == 1, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, lines
    return lines[0].removeprefix("Error: ")


def run(folder: Path, command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """A command with these settings and no others."""
    return subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


def connection(stack: Stack, url: str) -> Connection:
    """The connection that a link leads to."""
    parts = stack.installation
    with parts.database.reading() as session:
        link = session.get_one(Link, parts.links.link_id(url.rpartition("/")[2]))
    return connection_of(parts.database, link)


def give_token(stack: Stack, url: str, vault: Vault) -> Connection:
    """Let a connection hold a refresh token."""
    with stack.installation.database.transaction() as session:
        row = session.get_one(Connection, connection(stack, url).id)
        row.refresh_token = vault.encrypt("refresh", place=row.token_place)
        row.token_received_at = now()
    return row


def test_new_keys_are_printed_without_any_setting_and_fit_the_file(tmp_path: Path) -> None:
    done = run(tmp_path, commands.flask("keys", "new"))

    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / ".env").write_text(done.stdout)
    found = {name: value or "" for name, value in dotenv_values(tmp_path / ".env").items()}
    assert list(found) == ["SECRET_KEY", "ENCRYPTION_KEYS", "LEAF_ALERT_SECRET"]
    with pytest.raises(SettingsInvalid) as caught:
        settings.load(found | {"DATABASE_URL": "sqlite:///unused.sqlite"})
    assert "KEY" not in str(caught.value).replace("DEERE_CLIENT_KEY", "")


def test_a_partner_and_a_link_are_all_that_a_grower_needs(shell: Stack) -> None:
    added = shell.cli(
        *("partner", "add", "north", "--name", "North Farms", "--colour", "#1d4b5c"),
        *("--frame-origin", "https://portal.north.example", "--select-organizations"),
        *("--frame-origin", "https://test.north.example", "--support-phone", "030 123"),
        *("--return-url", "https://portal.north.example/done"),
    )
    made = shell.cli(
        *("link", "north", "--external-id", "g-1", "--name", "Maple Farm"),
        *("--email", "maple@farm.example", "--leaf-user", "0b8fd2f4-leaf"),
    )

    assert added.stdout == ""
    assert "flask --app wsgi link north" in added.stderr
    url = made.stdout.removesuffix("\n")
    assert url.startswith(f"{shell.public_url}/c/")
    assert "\n" not in url
    grower = connection(shell, url).grower
    assert (grower.name, grower.email) == ("Maple Farm", "maple@farm.example")
    assert grower.leaf_user_id == "0b8fd2f4-leaf"
    assert grower.partner.frame_origins == [
        "https://portal.north.example",
        "https://test.north.example",
    ]
    assert grower.partner.return_urls == ["https://portal.north.example/done"]
    assert (grower.partner.select_organizations, grower.partner.colour) == (True, "#1d4b5c")


def test_what_cannot_be_used_is_said_in_a_line(shell: Stack) -> None:
    done = shell.cli("link", "nobody", "--external-id", "1", "--name", "N", check=False)

    assert complaint(done).startswith("There is no partner 'nobody'. Add it with: flask --app")


def test_a_link_can_be_revoked_by_its_url(shell: Stack) -> None:
    url, other = shell.invite("revoked-1"), shell.invite("revoked-1")

    done = shell.cli("revoke-link", f"{url}/")
    refused = shell.cli("revoke-link", other[:-3], check=False)

    assert (done.stdout, done.stderr) == ("", "Revoked.\n")
    assert "this installation did not make this link" in complaint(refused)
    parts = shell.installation
    with parts.database.reading() as session:
        links = [
            session.get_one(Link, parts.links.link_id(one.rpartition("/")[2]))
            for one in (url, other)
        ]
    assert [link.is_usable(now()) for link in links] == [False, True]


def test_keys_are_rotated_so_that_the_old_one_can_go(shell: Stack) -> None:
    old, new = shell.environment["ENCRYPTION_KEYS"], new_key()
    url = shell.invite("rotated-1")
    held = give_token(shell, url, shell.installation.vault)
    give_token(shell, shell.invite("rotated-2"), Vault([b"l" * 32]))
    shell.environment["ENCRYPTION_KEYS"] = f"{new},{old}"
    try:
        done = shell.cli("keys", "rotate", check=False)
    finally:
        shell.environment["ENCRYPTION_KEYS"] = old

    assert done.stdout == "Encrypted anew with the first key: 1.\n"
    assert done.returncode == 1
    assert "no key in ENCRYPTION_KEYS reads 1 of what is stored" in done.stderr
    stored = connection(shell, url).refresh_token
    key = settings.load(shell.environment | {"ENCRYPTION_KEYS": new}).encryption_keys
    assert Vault(key).decrypt(stored or b"", place=held.token_place) == "refresh"


def test_a_connection_is_shown_by_its_reference_and_shows_no_secret(shell: Stack) -> None:
    url = shell.invite("shown-1", name="Willow Farm")
    held = give_token(shell, url, shell.installation.vault)
    with shell.installation.database.transaction() as session:
        row = session.get_one(Connection, held.id)
        row.stage, row.cause = Stage.FAILED, Cause.LEAF_REFUSED
        row.detail = "Leaf: create credentials: HTTP 400: no such application"
        row.leaf_credential_id = "cred-1"

    shown = shell.cli("connection", "show", f" {held.reference.lower()}").stdout
    listed = shell.cli("connection", "list").stdout

    lines = shown.splitlines()
    assert lines[0] == "Willow Farm (demo: shown-1)"
    assert "Whose turn: staff" in lines[1]
    assert lines[2] == "stage failed, health UNKNOWN"
    assert lines[3].startswith("Why: leaf_refused: Leaf refused the credentials.")
    assert lines[3].endswith("HTTP 400: no such application")
    assert "cred-1" in shown
    assert lines[-1].endswith("staff link_made")
    assert url.rpartition("/")[2] not in shown
    assert f"{held.reference}  demo/shown-1  leaf_refused  Leaf refused the cred" in listed


def at_leaf(stack: Stack, url: str, **fields: Any) -> Connection:
    """Let Leaf have had the token of a connection since a day ago."""
    day_ago = now() - timedelta(days=1)
    with stack.installation.database.transaction() as session:
        row = session.get_one(Connection, connection(stack, url).id)
        row.stage, row.token_received_at, row.handed_over_at = Stage.CONNECTED, day_ago, day_ago
        row.organizations.append(Organization(deere_id="1", name="Smith Farms", connected=True))
        for name, value in fields.items():
            setattr(row, name, value)
    return row


def test_a_connection_shows_since_when_leaf_says_it_and_what_has_arrived(shell: Stack) -> None:
    url = shell.invite("shown-2", name="Willow Farm")
    since = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
    told_from = now() + timedelta(minutes=9)
    held = at_leaf(
        shell,
        url,
        health=Health.TEMPORARILY_UNAVAILABLE,
        health_text="TEMPORARILY_UNAVAILABLE",
        health_since=since,
        trouble_told_from=told_from,
    )
    before = shell.cli("connection", "show", held.reference).stdout
    with shell.installation.database.transaction() as session:
        row = session.get_one(Connection, held.id)
        row.growers_arrived, row.farms_arrived, row.fields_arrived = 2, 4, 37
        row.arrivals_read_at = since

    shown = shell.cli("connection", "show", held.reference).stdout

    health = "stage connected, health TEMPORARILY_UNAVAILABLE since 2026-03-04 05:06"
    until = f"(the grower is told if it lasts until {told_from:%H:%M})"
    assert shown.splitlines()[2] == f"{health} {until}"
    arrived = "Arrived at Leaf, as of 2026-03-04 05:06: growers 2, farms 4, fields 37"
    assert arrived in shown.splitlines()
    assert "Arrived" not in before


def test_incidents_stand_above_the_list_and_decide_whose_turn_it_is(shell: Stack) -> None:
    url = shell.invite("shown-3", name="Willow Farm")
    held = at_leaf(
        shell,
        url,
        health=Health.UNAUTHENTICATED,
        health_text="UNAUTHENTICATED",
        health_since=now(),
    )
    began = now() - timedelta(minutes=5)
    quiet = shell.cli("connection", "list").stderr
    alone = shell.cli("connection", "show", held.reference).stdout
    with shell.installation.database.transaction() as session:
        for kind in (IncidentKind.PAUSE, IncidentKind.REFUSED):
            session.add(Incident(kind=kind, began_at=began, turned=37, asked=120))

    listed = shell.cli("connection", "list")
    shown = shell.cli("connection", "show", held.reference).stdout
    with shell.installation.database.transaction() as session:
        session.execute(sa.delete(Incident))

    since = f"{began:%Y-%m-%d %H:%M} UTC"
    assert f"Incident at John Deere since {since}: of 120 connections" in listed.stderr
    assert f"Incident of our application since {since}: of 120 connections" in listed.stderr
    assert held.reference not in listed.stdout
    assert "Incident" not in quiet
    assert "Whose turn: staff" in shown.splitlines()[1]
    assert "Whose turn: grower" in alone.splitlines()[1]


def test_a_reference_that_nobody_has_is_said_in_a_line(shell: Stack) -> None:
    done = shell.cli("connection", "show", "NOSUCH22", check=False)

    assert complaint(done) == "no connection has the reference 'NOSUCH22'."


def test_a_retry_needs_a_token_and_enqueues_the_hand_over(shell: Stack) -> None:
    url = shell.invite("retried-1")
    reference = connection(shell, url).reference

    refused = shell.cli("connection", "retry", reference, check=False)
    assert "the grower must connect again" in complaint(refused)

    give_token(shell, url, shell.installation.vault)
    with shell.installation.database.transaction() as session:
        row = session.get_one(Connection, connection(shell, url).id)
        row.stage, row.cause = Stage.FAILED, Cause.LEAF_REFUSED
    done = shell.cli("connection", "retry", reference)

    assert done.stderr == "Enqueued.\n"
    found = connection(shell, url)
    assert (found.stage, found.cause, found.hand_over_try) == (Stage.HANDING_OVER, None, 1)
    waiting = f"hand_over:{found.id}:1"
    assert shell.installation.queue.unfinished([waiting]) == {waiting: None}
    with shell.installation.database.transaction() as session:
        assert (
            session.scalar(sa.select(Event.who).where(Event.kind == "hand_over_retried")) == "staff"
        )


def test_an_invitation_is_mailed_when_asked_for(shell: Stack) -> None:
    command = ("link", "demo", "--external-id", "mailed-1", "--name", "Willow Farm")
    shell.invite("mailed-1")
    refused = shell.cli(*command, "--send", check=False)
    assert complaint(refused) == "The grower has no address to send to. Give one with --email."

    done = shell.cli(*command, "--email", "willow@farm.example", "--send")

    assert done.stdout.startswith(f"{shell.public_url}/c/")
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr.strip() == "The worker mails it to willow@farm.example."
    found = connection(shell, done.stdout.strip())
    with shell.installation.database.transaction() as session:
        (mail,) = session.scalars(sa.select(Mail).where(Mail.connection_id == found.id))
        session.delete(mail)
    assert mail.kind is MailKind.INVITATION
    assert mail.link_id == shell.installation.links.link_id(done.stdout.strip().rpartition("/")[2])
    shown = shell.cli("connection", "show", found.reference).stdout
    assert "Mail: the grower is written to." in shown


def test_while_mail_is_off_every_command_says_so_and_no_link_is_made(shell: Stack) -> None:
    command = ("link", "demo", "--external-id", "unmailed-1", "--name", "Willow Farm")
    url = shell.invite("unmailed-1", email="willow@farm.example")
    mail_url = shell.environment.pop("MAIL_URL")
    try:
        refused = shell.cli(*command, "--send", check=False)
        listed = shell.cli("mail", "list")
        shown = shell.cli("connection", "show", connection(shell, url).reference).stdout
    finally:
        shell.environment["MAIL_URL"] = mail_url

    assert complaint(refused).startswith("Mail is off, so nothing can be sent. Set MAIL_URL")
    assert (listed.stdout, listed.stderr) == ("", "Mail is off: MAIL_URL is not set.\n")
    assert "Mail is off: MAIL_URL is not set." in shown
    with shell.installation.database.reading() as session:
        made = session.scalars(
            sa.select(Link).where(Link.grower_id == connection(shell, url).grower_id)
        )
        assert len(made.all()) == 1


def test_the_doctor_ends_with_the_status_that_a_scheduler_understands(shell: Stack) -> None:
    sick = shell.cli("doctor", check=False)
    shell.start_sandbox()
    _let_a_worker_live(shell)
    well = shell.cli("doctor", check=False)

    assert (sick.returncode, well.returncode) == (1, 0), (sick, well)
    wrong = [line for line in sick.stdout.splitlines() if line.startswith("WRONG ")]
    assert len(wrong) == 5
    assert "start one with flask --app wsgi worker" in wrong[0]
    assert "Check DEERE_METADATA_URL" in wrong[1]
    assert "Check LEAF_USERNAME" in wrong[2]
    assert "no answer: Connection refused. Check MAIL_URL." in wrong[3]
    assert "Check STAFF_OIDC_METADATA_URL" in wrong[4]
    lines = well.stdout.splitlines()
    assert all(line.startswith("ok    ") for line in lines), lines
    assert lines[-4].endswith(f" {shell.public_url}/deere/callback")
    assert lines[-3].endswith(f" {shell.public_url}/deere/organizations")
    assert lines[-1].endswith(f" {shell.public_url}/staff/sign-in/company/callback")
    secrets = ("DEERE_CLIENT_SECRET", "LEAF_PASSWORD", "STAFF_OIDC_CLIENT_SECRET")
    for secret in ("SECRET_KEY", "ENCRYPTION_KEYS", *secrets):
        assert shell.environment[secret] not in sick.stdout + sick.stderr + well.stdout


def _let_a_worker_live(stack: Stack) -> None:
    with stack.installation.database.transaction() as session:
        ahead = now() + timedelta(minutes=5)
        session.add(Worker(host="here", pid=1, started_at=now(), seen_at=ahead))


def test_before_the_upgrade_every_command_says_that_it_is_missing(bare: Stack) -> None:
    done = bare.cli("partner", "add", "demo", "--name", "Demo", check=False)
    assert "no such table: partner" in complaint(done)
    assert "flask --app wsgi doctor" in complaint(done)

    done = bare.cli("worker", check=False)
    assert complaint(done) == ("the database is not up to date. Run: flask --app wsgi db upgrade")


def test_a_database_out_of_reach_is_said_in_a_line_without_its_password(bare: Stack) -> None:
    bare.environment["DATABASE_URL"] = f"postgresql://user:hunter22@/app?host={bare.folder}"

    done = bare.cli("db", "upgrade", check=False)

    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "hunter22" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: the database can't be used: ")


def test_upgrade_and_link_work_on_postgresql_too(postgres: Cluster, tmp_path: Path) -> None:
    stack = Stack(tmp_path, postgres.new_database())
    try:
        done = stack.cli("db", "upgrade")
        assert done.stderr.splitlines()[-1] == "The database is up to date."
        stack.cli("partner", "add", "demo", "--name", "Demo Co-op")
        url = stack.cli("link", "demo", "--external-id", "1", "--name", "N").stdout.strip()
        assert connection(stack, url).stage is Stage.INVITED
    finally:
        stack.close()


def procfile() -> dict[str, list[str]]:
    """The commands of a production start, by their names."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    return {name: shlex.split(command) for name, _, command in (x.partition(":") for x in lines)}


def test_web_takes_what_is_about_processes_from_the_file_as_well(tmp_path: Path) -> None:
    shutil.copy(ROOT / "gunicorn.conf.py", tmp_path)
    (tmp_path / ".env").write_text("PORT=9333\nWEB_CONCURRENCY=1\nWEB_THREADS=5\n")
    _, *arguments = procfile()["web"]
    command = [commands.flask()[0], *arguments, "--print-config"]

    lines = run(tmp_path, command, WEB_THREADS="7").stdout.splitlines()

    found = dict(line.split("=", 1) for line in lines if "=" in line)
    taken = {name.strip(): value.strip() for name, value in found.items()}
    assert taken["bind"] == "['0.0.0.0:9333']"
    assert (taken["workers"], taken["threads"]) == ("1", "7")


@pytest.mark.parametrize("name", ["PORT", "WEB_CONCURRENCY", "WEB_THREADS"])
def test_web_says_which_of_its_numbers_is_none(tmp_path: Path, name: str) -> None:
    shutil.copy(ROOT / "gunicorn.conf.py", tmp_path)
    (tmp_path / ".env").write_text(f"{name}=many\n")
    _, *arguments = procfile()["web"]

    done = run(tmp_path, [commands.flask()[0], *arguments, "--print-config"])

    assert done.returncode != 0
    assert f"{name} must be a whole number" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["release", "web", "worker"])
def test_a_production_start_without_settings_names_all_of_them_and_ends(
    tmp_path: Path, name: str
) -> None:
    shutil.copy(ROOT / "gunicorn.conf.py", tmp_path)
    python, *arguments = procfile()[name]
    assert python == "python"

    done = run(
        tmp_path,
        [commands.flask()[0], *arguments],
        PORT=str(free_port()),
        DEERE_CLIENT_KEY="client-key",
    )

    said = done.stdout + done.stderr
    assert done.returncode not in {0, None}
    missing = next(line for line in said.splitlines() if "Missing settings: " in line)
    named = set(missing.partition("Missing settings: ")[2].split(", "))
    assert named == {*REQUIRED} - {"DEERE_CLIENT_KEY"}
    assert "sandbox" not in said.lower()
    assert not list(tmp_path.glob("**/*.sqlite*"))
