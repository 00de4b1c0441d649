"""New links by mail: to whom they are offered, how often, and that asking tells nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from onboarding.clock import now
from onboarding.connections import mails
from onboarding.db import Database
from onboarding.links import Links
from onboarding.models import Link, Mail
from onboarding.queue import Queue
from onboarding.settings import Settings
from onboarding.states import MailKind, MailState
from tests.unit.mail_server import postbox
from tests.unit.rows import connection_of, history_of, invited
from tests.unit.test_mails import ADDRESS, SECRET_KEY, change, owed, settings_with

__all__ = ["settings_with"]  # the fixture


def expired(database: Database, external_id: str = "grower-1", *, email: str | None) -> Link:
    """A link whose time is over."""
    made = invited(database, external_id)
    with database.transaction() as session:
        link = session.get_one(Link, made.id)
        link.grower.email = email
        link.created_at, link.expires_at = now() - timedelta(days=15), now() - timedelta(days=1)
    return link


def ask(database: Database, link: Link) -> list[str]:
    """Ask; what the database was told to do for it."""
    told: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        told.append(statement)

    sa.event.listen(database.engine, "before_cursor_execute", note)
    try:
        with database.transaction() as session:
            mails.ask(session, session.get_one(Link, link.id))
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", note)
    return told


@pytest.mark.parametrize("times", [1, 2])
def test_asking_does_the_same_whether_or_not_there_is_an_address(
    fresh_database: Database, times: int
) -> None:
    with_address = expired(fresh_database, "with", email=ADDRESS)
    without = expired(fresh_database, "without", email=None)
    for _ in range(times):
        seen = [ask(fresh_database, link) for link in (with_address, without)]
    assert seen[0] == seen[1]
    assert len(owed(fresh_database)) == 2


def test_two_who_ask_at_the_same_moment_get_one_mail(fresh_database: Database) -> None:
    link = expired(fresh_database, email=ADDRESS)
    together = threading.Barrier(4)

    def press() -> None:
        together.wait()
        with fresh_database.transaction() as session:
            mails.ask(session, session.get_one(Link, link.id))

    threads = [threading.Thread(target=press) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(owed(fresh_database)) == 1
    connection = connection_of(fresh_database, link)
    assert history_of(fresh_database, connection.id).count("new_link_asked") == 1


@pytest.mark.parametrize(
    ("minutes_ago", "waits", "is_new"),
    [
        ([], False, True),
        ([59], False, False),
        ([61], False, True),
        ([61, 122], False, True),
        ([61, 122, 183], False, False),
        ([61, 122, 24 * 60 - 1], False, False),
        ([61, 122, 24 * 60 + 1], False, True),
        ([61], True, False),
    ],
)
def test_so_often_may_be_asked(
    fresh_database: Database, minutes_ago: list[int], waits: bool, is_new: bool
) -> None:
    link = expired(fresh_database, email=ADDRESS)
    connection = connection_of(fresh_database, link)
    with fresh_database.transaction() as session:
        for minutes in minutes_ago:
            session.add(
                Mail(
                    connection_id=connection.id,
                    kind=MailKind.NEW_LINK,
                    state=MailState.WAITING if waits else MailState.SENT,
                    created_at=now() - timedelta(minutes=minutes),
                    due_at=None,
                )
            )
        session.add(Mail(connection_id=connection.id, kind=MailKind.ATTENTION, created_at=now()))
    ask(fresh_database, link)
    assert len(owed(fresh_database)) == len(minutes_ago) + 1 + is_new


@pytest.mark.parametrize(
    ("revoked", "is_offered"),
    [("nothing", True), ("itself", False), ("an earlier one", True), ("a later one", False)],
)
@pytest.mark.parametrize("email", [ADDRESS, None])
def test_a_withdrawn_link_ends_the_way_by_mail_for_those_before_it(
    fresh_database: Database,
    settings_with: Callable[..., Settings],
    revoked: str,
    is_offered: bool,
    email: str | None,
) -> None:
    link = expired(fresh_database, email=email)
    other = invited(fresh_database)
    with fresh_database.transaction() as session:
        days = {"an earlier one": 16, "a later one": 2, "itself": 2}.get(revoked)
        which = session.get_one(Link, link.id if revoked == "itself" else other.id)
        which.revoked_at = now() - timedelta(days=days) if days else None
    with postbox() as server, fresh_database.reading() as session:
        found = session.get_one(Link, link.id)
        assert mails.is_offered(session, settings_with(server), found) is is_offered
        assert not mails.is_offered(session, settings_with(None), found)


def test_a_link_that_nobody_waits_for_any_more_is_not_mailed(
    fresh_database: Database, settings_with: Callable[..., Settings]
) -> None:
    ask(fresh_database, expired(fresh_database, email=ADDRESS))
    change(fresh_database, created_at=now() - timedelta(days=3))
    with postbox() as server:
        settings = settings_with(server)
        mails.send(
            fresh_database, settings, Links(SECRET_KEY), owed(fresh_database)[0].id, number=0
        )
    assert server.mails == []
    (mail,) = owed(fresh_database)
    assert (mail.state, mail.detail) == (
        MailState.NOT_SENT,
        "it came too late to be waited for",
    )


def test_who_waits_for_a_link_comes_before_a_crowd_of_invitations(
    fresh_database: Database,
) -> None:
    link = expired(fresh_database, email=ADDRESS)
    with fresh_database.transaction() as session:
        for minutes in range(20):
            session.add(
                Mail(
                    connection_id=connection_of(fresh_database, link).id,
                    kind=MailKind.INVITATION,
                    created_at=now(),
                    due_at=now() - timedelta(minutes=minutes + 1),
                )
            )
    ask(fresh_database, link)
    with fresh_database.transaction() as session:
        mails.enqueue_due(session, Queue(fresh_database.engine), at_most=1)
    (enqueued,) = [mail for mail in owed(fresh_database) if mail.tries]
    assert enqueued.kind is MailKind.NEW_LINK
