"""The page that says whether the installation works."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from uuid import uuid4

import html5lib
import sqlalchemy as sa

from onboarding.clock import now
from onboarding.connections import pace
from onboarding.connections.pace import Rank, Turns
from onboarding.db import Database
from onboarding.models import (
    Application,
    Connection,
    Link,
    Mail,
    Pace,
    WebhookDelivery,
    WebhookEndpoint,
    Worker,
)
from onboarding.states import Environment, MailKind, Outcome, PauseReason, Role, Stage
from onboarding.vault import Vault
from onboarding.version import VERSION
from onboarding.webhooks import outbox
from tests.support.desk import Desk
from tests.support.queries import counted
from tests.support.stack import ROOT
from tests.unit import hooks
from tests.unit.rows import attempted, invited, watched

HOUR = timedelta(hours=1)


def put(database: Database, link: Link, *, key: bytes) -> None:
    """Let a token wait for Leaf that this key encrypted."""
    with database.transaction() as session:
        of = Connection.grower_id == link.grower_id
        session.execute(
            sa.update(Connection)
            .where(of)
            .values(
                stage=Stage.HANDING_OVER,
                refresh_token=Vault([key]).encrypt("token", place="here"),
                token_received_at=now() - 3 * HOUR,
                hand_over_due_at=now(),
            )
        )


def shown(desk: Desk, **who: list[str]) -> str:
    """The page's text, as a viewer sees it."""
    email = "limited@example.com" if who else "viewer@example.com"
    with counted(desk.app.extensions["onboarding"].database.engine) as sent:
        answer = desk.browser(Role.VIEWER, email=email, **who).get("/staff/system")
    assert len(sent) <= 6, sent
    page = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(answer.text)
    return " ".join("".join(page.find(".//main").itertext()).split())


def test_that_no_worker_runs_is_the_first_that_is_said(desk: Desk) -> None:
    assert shown(desk).startswith("System No worker runs: nothing is handed to Leaf")


def test_page_says_what_waits_and_what_does_not_work(desk: Desk) -> None:
    moment = now()
    link = invited(desk.database)
    put(desk.database, link, key=b"k" * 32)
    watched(desk.database, 2, check_due_at=moment - 2 * HOUR, checked_at=moment - HOUR)
    detail = "John Deere: exchange the code: no answer"
    attempted(desk.database, link, Outcome.DEERE_UNAVAILABLE, ended=moment, detail=detail)
    with desk.database.transaction() as session:
        worker = {"started_at": moment - 5 * HOUR, "seen_at": moment}
        session.add(Worker(id=uuid4(), host="web-1 boot ns", pid=17, **worker))
        session.add(Worker(id=uuid4(), host="silent boot ns", pid=18, **worker))
        gone = sa.update(Worker).where(Worker.pid == 18)
        session.execute(gone.values(seen_at=moment - HOUR))
        at = session.scalars(sa.select(Connection.id)).first()
        session.add(Mail(connection_id=at, kind=MailKind.INVITATION, created_at=moment - HOUR / 2))
        closed = {"closed_until": moment - HOUR, "next_at": moment}
        session.add(Pace(service="Leaf", minute_at=moment, used=40, used_before=0, **closed))

    page = shown(desk)

    assert "A hand-over has waited for more than an hour." in page
    assert "web-1 17 5 h ago now" in page
    assert "silent" not in page
    assert "Hand-overs 1 3 h ago" in page
    assert "Checks that are due 2 2 h ago" in page
    assert "Mails 1 30 min ago" in page
    assert "May be asked last check 1 h ago" in page
    assert "About 40 of 900 in the last minute" in page
    assert f"Failed lately now {detail}" in page
    assert "1 key, all that is kept is encrypted with the first" in page


def test_webhooks_that_nobody_sends_are_told_and_who_is_paused_by_hand_takes_nothing(
    desk: Desk,
) -> None:
    parts = desk.app.extensions["onboarding"]
    connections = watched(desk.database, 2, checked_at=now())
    ids = [
        hooks.endpoint(desk.database, parts.vault, parts.settings, f"https://portal.example/{one}")
        for one in "ab"
    ]
    with desk.database.transaction() as session:
        outbox.pause(session.get_one(WebhookEndpoint, ids[0]), PauseReason.BY_HAND)
    assert "1 endpoint takes what is sent 1 endpoint is paused by hand" in shown(desk)
    hooks.breaks(desk.database, connections)
    with desk.database.transaction() as session:
        session.execute(sa.update(WebhookDelivery).values(due_at=now() - 3 * HOUR))
    page = shown(desk)
    assert "Webhooks 2 3 h ago" in page
    assert "A webhook has waited for more than an hour" in page


def test_token_that_no_key_reads_is_told(desk: Desk) -> None:
    put(desk.database, invited(desk.database), key=b"x" * 32)
    page = shown(desk)
    assert "ENCRYPTION_KEYS can’t read waiting tokens" in page
    assert "Can’t read 1 of the tokens and secrets that are kept" in page


def test_who_is_limited_sees_no_number_of_others(desk: Desk) -> None:
    link = invited(desk.database)
    put(desk.database, link, key=b"k" * 32)
    attempted(desk.database, link, Outcome.DEERE_UNAVAILABLE, ended=now(), detail="no answer")
    page = shown(desk, partners=[])
    assert "No worker runs" in page
    for others in ("Hand-overs", "MiB", "key", "Failed lately", "No failure", "Requests"):
        assert others not in page


def test_requests_of_the_last_minute_are_those_of_all_workers(fresh_database: Database) -> None:
    workers = [Turns(fresh_database, per_minute=6000) for _ in range(2)]
    for turns in workers:
        for _ in range(3):
            turns.take(Rank.ROUTINE, can_wait=False)
        turns.report()
    assert used(fresh_database) == 6
    move_minute(fresh_database, timedelta(seconds=90))
    assert 2 <= used(fresh_database) <= 3, "half of that minute is over"
    workers[0].take(Rank.ROUTINE, can_wait=False)
    workers[0].report()
    assert 3 <= used(fresh_database) <= 4
    move_minute(fresh_database, timedelta(minutes=2))
    assert used(fresh_database) == 0


def used(database: Database) -> int:
    """What is told of the last minute."""
    with database.reading() as session:
        return pace.standing(session)[1]


def move_minute(database: Database, back: timedelta) -> None:
    """Let the minute that is counted have begun earlier."""
    with database.transaction() as session:
        row = session.get_one(Pace, "Leaf")
        assert row.minute_at is not None
        row.minute_at -= back


def test_version_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION


def test_secrets_of_applications_count_among_what_the_keys_have_to_read(desk: Desk) -> None:
    def keep(name: str, key: bytes) -> None:
        with desk.database.transaction() as session:
            session.add(
                Application(
                    id=uuid4(),
                    name=name,
                    environment=Environment.STAGE,
                    client_key=name,
                    client_secret=Vault([key]).encrypt("secret", place="here"),
                    scopes=["ag1"],
                    created_at=now(),
                    secret_set_at=now(),
                )
            )

    keep("of the first key", b"k" * 32)
    assert "all that is kept is encrypted with the first" in shown(desk)
    keep("of a lost key", b"x" * 32)
    assert "Can’t read 1 of the tokens and secrets that are kept" in shown(desk)
