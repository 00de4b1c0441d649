"""Which mails are owed, and in which order they go."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import growers, invitations, mails
from onboarding.connections.mails.owed import FIRST_AFTER
from onboarding.db import Database
from onboarding.errors import InputInvalid
from onboarding.links import Links
from onboarding.mail.address import Mailing, Sender
from onboarding.models import Connection, Grower, Incident, Link, Mail, Organization, locked
from onboarding.queue import MAIL_QUEUE, Queue
from onboarding.settings import Settings
from onboarding.states import (
    Cause,
    Environment,
    Health,
    IncidentKind,
    MailKind,
    MailState,
    SharingTrouble,
    Stage,
)
from tests.support.wait import wait_until
from tests.unit.mail_server import HELD, Postbox, postbox
from tests.unit.rows import connection_of, history_of, invited

ADDRESS = "miller@farm.example"
SECRET_KEY = "a-secret-key-for-tests-of-32-chars"


def at_leaf(database: Database, external_id: str = "grower-1", **fields: Any) -> UUID:
    """A grower with an address whose connection works, unless fields say otherwise."""
    made = connection_of(database, invited(database, external_id))
    values: dict[str, Any] = {
        "stage": Stage.CONNECTED,
        "health": Health.OK,
        "token_received_at": now(),
        "handed_over_at": now(),
        "email": ADDRESS,
    } | fields
    with database.transaction() as session:
        connection = locked(session, made.id)
        connection.grower.email = values.pop("email")
        connection.organizations.append(
            Organization(deere_id="1", name="Smith Farms", connected=True)
        )
        for name, value in values.items():
            setattr(connection, name, value)
    return made.id


def consider(database: Database, connection_id: UUID, **fields: Any) -> None:
    """A check has brought these fields."""
    with database.transaction() as session:
        connection = locked(session, connection_id)
        for name, value in fields.items():
            setattr(connection, name, value)
        mails.consider(session, connection)


def owed(database: Database) -> list[Mail]:
    """All mails, oldest first."""
    with database.reading() as session:
        return list(session.scalars(sa.select(Mail).order_by(Mail.created_at)))


def change(database: Database, **values: Any) -> None:
    """Set fields of all mails."""
    with database.transaction() as session:
        session.execute(sa.update(Mail).values(**values))


@pytest.fixture
def settings_with() -> Callable[..., Settings]:
    """`settings_with(server)`: settings with that mail server, or with none."""

    def build(server: Postbox | None, **fields: Any) -> Settings:
        sender = Sender(name="", address="connect@onboarding.example")
        mail = Mailing(server=server.address(), sender=sender) if server else None
        values: dict[str, Any] = {
            "secret_key": SECRET_KEY,
            "encryption_keys": (b"k" * 32,),
            "database_url": "sqlite://",
            "public_url": "https://connect.example",
            "trusted_proxies": 0,
            "deere_client_key": "client-key",
            "deere_client_secret": "client-secret",
            "deere_environment": Environment.STAGE,
            "deere_metadata_url": "https://signin.example",
            "deere_api_url": "https://api.example/platform",
            "deere_scopes": ("ag1", "offline_access"),
            "leaf_api_url": "https://leaf.example",
            "leaf_username": "owner@example.com",
            "leaf_password": "owner password",
            "leaf_requests_per_minute": 900,
            "link_lifetime_days": 14,
            "mail": mail,
        }
        return Settings(**values | fields)

    return build


def send(database: Database, settings: Settings, mail: Mail, *, number: int = 0) -> None:
    mails.send(database, settings, Links(SECRET_KEY), mail.id, number=number)


def test_connected_is_told_once_for_each_connecting(fresh_database: Database) -> None:
    connection_id = at_leaf(fresh_database)
    for _ in range(3):
        consider(fresh_database, connection_id)
    assert [mail.kind for mail in owed(fresh_database)] == [MailKind.CONNECTED]

    consider(fresh_database, connection_id, handed_over_at=now())

    assert [mail.kind for mail in owed(fresh_database)] == [MailKind.CONNECTED] * 2


def test_a_check_that_brings_nothing_new_asks_the_database_nothing(
    fresh_database: Database,
) -> None:
    connection_id = at_leaf(fresh_database)
    consider(fresh_database, connection_id)
    asked: list[str] = []
    with fresh_database.transaction() as session:
        connection = locked(session, connection_id)

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            asked.append(statement)

        sa.event.listen(fresh_database.engine, "before_cursor_execute", note)
        mails.consider(session, connection)
        session.flush()
        sa.event.remove(fresh_database.engine, "before_cursor_execute", note)
    assert asked == []


@pytest.mark.parametrize(
    "fields",
    [
        {"stage": Stage.INVITED, "health": Health.UNKNOWN},
        {"stage": Stage.AUTHORIZING, "health": Health.UNAUTHENTICATED},
        {"stage": Stage.HANDING_OVER, "health": Health.UNKNOWN},
        {"stage": Stage.FAILED, "health": Health.UNKNOWN, "cause": Cause.LEAF_REFUSED},
        {"stage": Stage.DISCONNECTED, "health": Health.UNAUTHENTICATED},
        {"health": Health.TEMPORARILY_UNAVAILABLE},
        {
            "stage": Stage.CHOOSING_ORGANIZATIONS,
            "organizations": [],
            "sharing_trouble": SharingTrouble.DEERE_UNAVAILABLE,
        },
        {"health": Health.UNKNOWN},
        {"health": Health.UNKNOWN, "health_text": "PAUSED"},
        {"health": Health.UNAUTHENTICATED, "email": None},
        {"handed_over_at": None, "email": None},
    ],
)
def test_nothing_is_owed_unless_the_grower_must_act_or_is_connected(
    fresh_database: Database, fields: dict[str, Any]
) -> None:
    consider(fresh_database, at_leaf(fresh_database, **fields))

    assert owed(fresh_database) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"health": Health.UNAUTHENTICATED},
        {"health": Health.MISSING_PERMISSION},
        {"health": Health.UNKNOWN, "cause": Cause.CREDENTIAL_MISSING},
        {"stage": Stage.CHOOSING_ORGANIZATIONS, "organizations": []},
    ],
)
def test_a_mail_is_owed_an_hour_after_the_grower_has_to_act(
    fresh_database: Database, fields: dict[str, Any]
) -> None:
    connection_id = at_leaf(fresh_database, **fields)
    consider(fresh_database, connection_id)
    consider(fresh_database, connection_id)

    (mail,) = owed(fresh_database)
    assert mail.kind is MailKind.ATTENTION
    assert mail.due_at is not None
    assert abs(mail.due_at - mail.created_at - FIRST_AFTER) < timedelta(seconds=1)


def test_an_address_that_comes_later_is_written_to(fresh_database: Database) -> None:
    connection_id = at_leaf(fresh_database, health=Health.UNAUTHENTICATED, email=None)
    consider(fresh_database, connection_id)
    with fresh_database.transaction() as session:
        session.execute(sa.update(Grower).values(email=ADDRESS))

    consider(fresh_database, connection_id)

    assert [mail.kind for mail in owed(fresh_database)] == [MailKind.ATTENTION]


def test_a_grower_who_has_connected_again_has_new_trouble(fresh_database: Database) -> None:
    connection_id = at_leaf(fresh_database, health=Health.UNAUTHENTICATED)
    consider(fresh_database, connection_id)
    consider(fresh_database, connection_id, handed_over_at=now())

    first, second = owed(fresh_database)
    assert first.about != second.about
    assert connection_of(fresh_database, _link(fresh_database)).grower_acts_since == second.about


def test_a_mail_is_sent_once_and_an_outdated_try_sends_nothing(
    fresh_database: Database, settings_with: Callable[..., Settings]
) -> None:
    connection_id = at_leaf(fresh_database)
    consider(fresh_database, connection_id)
    (mail,) = owed(fresh_database)
    with postbox() as server:
        settings = settings_with(server)
        send(fresh_database, settings, mail, number=1)
        assert server.mails == []
        for _ in range(2):
            send(fresh_database, settings, mail)
    assert len(server.mails) == 1
    (mail,) = owed(fresh_database)
    assert (mail.state, mail.due_at) == (MailState.SENT, None)
    assert history_of(fresh_database, connection_id)[-1] == "mail_sent"


def test_while_mail_is_off_nothing_is_sent_and_nothing_pretends_to_be(
    fresh_database: Database, settings_with: Callable[..., Settings]
) -> None:
    consider(fresh_database, at_leaf(fresh_database))
    (before,) = owed(fresh_database)
    settings = settings_with(None)

    send(fresh_database, settings, before)

    (after,) = owed(fresh_database)
    assert (after.state, after.due_at) == (MailState.WAITING, before.due_at)
    with fresh_database.transaction() as session:
        link = session.scalars(sa.select(Link)).one()
        connection = session.scalars(sa.select(Connection)).one()
        with pytest.raises(InputInvalid, match="Mail is off, so nothing can be sent"):
            mails.invite(session, settings, link, connection)


def test_old_news_is_left_out_when_mail_comes_on(
    fresh_database: Database, settings_with: Callable[..., Settings]
) -> None:
    connection_id = at_leaf(fresh_database)
    consider(fresh_database, connection_id)
    change(fresh_database, created_at=now() - timedelta(days=3))
    with postbox() as server:
        send(fresh_database, settings_with(server), owed(fresh_database)[0])
    assert server.mails == []
    (mail,) = owed(fresh_database)
    assert (mail.state, mail.detail) == (MailState.NOT_SENT, "it came too late to be news")


def test_an_address_that_is_refused_is_written_to_no_more_until_one_is_given(
    fresh_database: Database, settings_with: Callable[..., Settings]
) -> None:
    connection_id = at_leaf(fresh_database)
    consider(fresh_database, connection_id)
    with postbox() as server:
        settings = settings_with(server)
        server.answers["RCPT"] = "550 5.1.1 No such user"
        send(fresh_database, settings, owed(fresh_database)[0])
        assert history_of(fresh_database, connection_id)[-2:] == ["mail_failed", "address_refused"]

        server.answers.clear()
        consider(fresh_database, connection_id, health=Health.UNAUTHENTICATED)
        assert len(owed(fresh_database)) == 1
        with fresh_database.transaction() as session:  # as one that was owed before
            add_attention(session, connection_id)
        send(fresh_database, settings, owed(fresh_database)[-1])
        assert server.mails == []
        assert owed(fresh_database)[-1].detail == "the mail server has refused the address"

        give_address(fresh_database, "miller@another.example")
        consider(fresh_database, connection_id)
        send(fresh_database, settings, owed(fresh_database)[-1])
        assert len(server.mails) == 1
    assert "address_in_use_again" in history_of(fresh_database, connection_id)


def test_trouble_that_could_not_be_told_is_told_to_the_next_address(
    fresh_database: Database, settings_with: Callable[..., Settings]
) -> None:
    connection_id = at_leaf(fresh_database, health=Health.UNAUTHENTICATED)
    consider(fresh_database, connection_id)
    with postbox() as server:
        server.answers["RCPT"] = "550 5.1.1 No such user"
        send(fresh_database, settings_with(server), owed(fresh_database)[0])
    consider(fresh_database, connection_id)
    assert len(owed(fresh_database)) == 1
    with fresh_database.reading() as session:
        assert mails.count_undelivered(session) == 1

    give_address(fresh_database, ADDRESS)  # staff have made sure of it
    consider(fresh_database, connection_id)

    assert [mail.state for mail in owed(fresh_database)] == [MailState.FAILED, MailState.WAITING]
    with fresh_database.reading() as session:
        assert mails.count_undelivered(session) == 0


def test_refusal_is_of_the_address_that_was_written_to(
    fresh_database: Database, settings_with: Callable[..., Settings]
) -> None:
    connection_id = at_leaf(fresh_database)
    consider(fresh_database, connection_id)
    with postbox() as server:
        settings = settings_with(server)
        server.answers["RCPT"] = f"{HELD}550 5.1.1 No such user"
        sending = threading.Thread(
            target=send, args=(fresh_database, settings, owed(fresh_database)[0])
        )
        sending.start()
        wait_until(lambda: any("RCPT" in line.upper() for line in server.said), what="it is asked")
        give_address(fresh_database, "miller@another.example")
        server.released.set()
        sending.join()
    assert owed(fresh_database)[0].state is MailState.FAILED
    assert "address_refused" not in history_of(fresh_database, connection_id)


@pytest.mark.parametrize(
    "fields",
    [
        {"health": Health.TEMPORARILY_UNAVAILABLE},
        {"stage": Stage.AUTHORIZING},
        {"stage": Stage.HANDING_OVER},
        {"failed_checks": 1},
        {"handed_over_at": None, "checked_at": None},
        {"checked_at": now() - timedelta(days=3), "handed_over_at": now() - timedelta(days=9)},
    ],
)
def test_what_is_not_so_at_this_moment_is_looked_at_an_hour_later(
    fresh_database: Database, settings_with: Callable[..., Settings], fields: dict[str, Any]
) -> None:
    connection_id = at_leaf(fresh_database, health=Health.UNAUTHENTICATED)
    consider(fresh_database, connection_id)
    with fresh_database.transaction() as session:
        for name, value in fields.items():
            setattr(locked(session, connection_id), name, value)
    with postbox() as server:
        send(fresh_database, settings_with(server), owed(fresh_database)[0])
    assert server.mails == []
    (mail,) = owed(fresh_database)
    assert mail.due_at is not None
    assert timedelta(minutes=59) < mail.due_at - now() < timedelta(minutes=61)
    assert mail.first_tried_at is None


def let_begin(database: Database, kind: IncidentKind) -> None:
    """Let there be an incident since an hour ago."""
    hour_ago = now() - timedelta(hours=1)
    with database.transaction() as session:
        session.add(Incident(kind=kind, began_at=hour_ago, turned=9, asked=9))


def end_incidents(database: Database) -> None:
    with database.transaction() as session:
        session.execute(sa.update(Incident).values(ended_at=now()))


OF_OURS = [
    (IncidentKind.REFUSED, Health.UNAUTHENTICATED),
    (IncidentKind.LIMITED, Health.MISSING_PERMISSION),
]


@pytest.mark.parametrize(("kind", "health"), OF_OURS)
def test_nobody_is_written_to_about_what_many_have_until_its_end(
    fresh_database: Database, kind: IncidentKind, health: Health
) -> None:
    let_begin(fresh_database, kind)
    connection_id = at_leaf(fresh_database, connected_told_for=now())
    consider(fresh_database, connection_id, health=health, health_since=now())
    assert owed(fresh_database) == []

    end_incidents(fresh_database)
    consider(fresh_database, connection_id)

    assert [mail.kind for mail in owed(fresh_database)] == [MailKind.ATTENTION]


@pytest.mark.parametrize(("kind", "health"), OF_OURS)
def test_who_had_it_before_many_did_is_written_to(
    fresh_database: Database, kind: IncidentKind, health: Health
) -> None:
    let_begin(fresh_database, kind)
    connection_id = at_leaf(fresh_database, connected_told_for=now())

    consider(fresh_database, connection_id, health=health, health_since=now() - timedelta(hours=2))

    assert [mail.kind for mail in owed(fresh_database)] == [MailKind.ATTENTION]


@pytest.mark.parametrize("kind", IncidentKind)
def test_a_mail_that_is_owed_waits_for_the_end_of_the_incident(
    fresh_database: Database, settings_with: Callable[..., Settings], kind: IncidentKind
) -> None:
    """It was found out only after the first of them had turned."""
    health = dict(OF_OURS).get(kind, Health.UNAUTHENTICATED)
    connection_id = at_leaf(fresh_database, connected_told_for=now(), checked_at=now())
    consider(fresh_database, connection_id, health=health, health_since=now())
    (mail,) = owed(fresh_database)
    let_begin(fresh_database, kind)

    with postbox() as server:
        send(fresh_database, settings_with(server), mail)
        assert server.mails == []
        assert owed(fresh_database)[0].state is MailState.WAITING

        end_incidents(fresh_database)
        send(fresh_database, settings_with(server), mail)
    assert len(server.mails) == 1


def test_connected_waits_while_that_is_not_so(
    fresh_database: Database, settings_with: Callable[..., Settings]
) -> None:
    connection_id = at_leaf(fresh_database)
    consider(fresh_database, connection_id)
    consider(fresh_database, connection_id, health=Health.TEMPORARILY_UNAVAILABLE)
    with postbox() as server:
        settings = settings_with(server)
        send(fresh_database, settings, owed(fresh_database)[0])
        assert server.mails == []
        consider(fresh_database, connection_id, health=Health.OK)
        send(fresh_database, settings, owed(fresh_database)[0])
        assert len(server.mails) == 1


def test_a_mail_is_tried_for_two_days_with_growing_pauses_and_then_given_up(
    fresh_database: Database, settings_with: Callable[..., Settings]
) -> None:
    consider(fresh_database, at_leaf(fresh_database))
    pauses = []
    with postbox() as server:
        server.answers["CONNECT"] = "421 Not now"
        settings = settings_with(server)
        for waited in (0, 1, 10, 50, 47 * 60):
            mail = owed(fresh_database)[0]
            change(fresh_database, first_tried_at=now() - timedelta(minutes=waited))
            send(fresh_database, settings, mail)
            due = owed(fresh_database)[0].due_at
            assert due is not None
            pauses.append((due - now()).total_seconds() / 60)
        change(fresh_database, first_tried_at=now() - timedelta(days=2, minutes=1))
        send(fresh_database, settings, mail)
    for pause, meant in zip(pauses, (1, 1, 10, 50, 60), strict=True):
        assert 0.7 * meant < pause < 1.3 * meant
    (mail,) = owed(fresh_database)
    assert mail.state is MailState.FAILED
    assert mail.detail == "given up: 421 Not now"


def test_every_mail_but_an_invitation_has_a_link_of_its_own_that_works_two_weeks(
    fresh_database: Database, settings_with: Callable[..., Settings]
) -> None:
    consider(fresh_database, at_leaf(fresh_database))
    with postbox() as server:
        send(fresh_database, settings_with(server, link_lifetime_days=1), owed(fresh_database)[0])
    (mail,) = owed(fresh_database)
    with fresh_database.reading() as session:
        link = session.get_one(Link, mail.link_id)
        assert link.expires_at - link.created_at == timedelta(days=14)
        assert session.scalar(sa.select(sa.func.count()).select_from(Link)) == 2


def test_a_link_that_was_revoked_is_not_mailed(
    fresh_database: Database, settings_with: Callable[..., Settings]
) -> None:
    with postbox() as server:
        settings = settings_with(server)
        link_id = invited(fresh_database).id
        with fresh_database.transaction() as session:
            link = session.get_one(Link, link_id)
            link.grower.email = ADDRESS
            connection = growers.connection_of(session, link.grower_id)
            mails.invite(session, settings, link, connection)
            invitations.revoke(session, link)
        send(fresh_database, settings, owed(fresh_database)[0])
    assert server.mails == []
    assert owed(fresh_database)[0].detail == "its link was revoked, or has expired"


@pytest.mark.parametrize(
    ("email", "words"),
    [(None, "has no address to send to"), ("müller@farm.example", "do not take the address")],
)
def test_an_invitation_needs_an_address(
    fresh_database: Database,
    settings_with: Callable[..., Settings],
    email: str | None,
    words: str,
) -> None:
    link_id = invited(fresh_database).id
    with postbox() as server, fresh_database.transaction() as session:
        link = session.get_one(Link, link_id)
        link.grower.email = email
        connection = growers.connection_of(session, link.grower_id)
        with pytest.raises(InputInvalid, match=words):
            mails.invite(session, settings_with(server), link, connection)


def test_invitations_pass_by_a_crowd_of_reminders(fresh_database: Database) -> None:
    connection_id = at_leaf(fresh_database)
    with fresh_database.transaction() as session:
        for number in range(20):
            kind = MailKind.ATTENTION if number < 18 else MailKind.INVITATION
            session.add(
                Mail(
                    connection_id=connection_id,
                    kind=kind,
                    created_at=now(),
                    due_at=now() - timedelta(minutes=20 - number),
                )
            )
    queue = Queue(fresh_database.engine)

    for _ in range(3):  # the second and the third find no room
        with fresh_database.transaction() as session:
            mails.enqueue_due(session, queue, at_most=5)

    enqueued = [mail for mail in owed(fresh_database) if mail.tries]
    assert sorted(mail.kind for mail in enqueued) == (
        [MailKind.ATTENTION] * 3 + [MailKind.INVITATION] * 2
    )
    assert queue.mails_waiting(100) == 5


def test_a_mail_at_which_our_work_breaks_off_is_put_off(fresh_database: Database) -> None:
    consider(fresh_database, at_leaf(fresh_database))
    queue = Queue(fresh_database.engine)
    with fresh_database.transaction() as session:
        mails.enqueue_due(session, queue, at_most=5)
    _end_in_error(fresh_database)
    change(fresh_database, due_at=now() - timedelta(seconds=1))

    with fresh_database.transaction() as session:
        mails.enqueue_due(session, queue, at_most=5)

    (mail,) = owed(fresh_database)
    assert "our work broke off" in mail.detail
    assert mail.due_at is not None
    assert mail.due_at > now() + timedelta(seconds=40)
    assert queue.mails_waiting(100) == 0


def test_due_mails_are_found_by_an_index(fresh_database: Database) -> None:
    query = (
        sa.select(Mail)
        .where(Mail.kind == MailKind.ATTENTION, Mail.due_at < now())
        .order_by(Mail.due_at)
        .limit(10)
    )
    prefix = "EXPLAIN QUERY PLAN" if fresh_database.engine.dialect.name == "sqlite" else "EXPLAIN"
    with fresh_database.transaction() as session:
        if prefix == "EXPLAIN":
            session.execute(sa.text("SET LOCAL enable_seqscan = off"))
        literal = query.compile(fresh_database.engine, compile_kwargs={"literal_binds": True})
        plan = "\n".join(str(row) for row in session.execute(sa.text(f"{prefix} {literal}")))
    assert "ix_mail_kind_due_at" in plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan


def test_old_mails_are_forgotten(fresh_database: Database) -> None:
    connection_id = at_leaf(fresh_database)
    with fresh_database.transaction() as session:
        for days, state in ((401, MailState.SENT), (399, MailState.SENT), (401, MailState.FAILED)):
            ended: datetime = now() - timedelta(days=days)
            session.add(
                Mail(
                    connection_id=connection_id,
                    kind=MailKind.CONNECTED,
                    state=state,
                    created_at=ended,
                    ended_at=ended,
                )
            )

    with fresh_database.transaction() as session:
        mails.tidy(session)

    (kept,) = owed(fresh_database)
    assert kept.state is MailState.SENT


def give_address(database: Database, address: str) -> None:
    """As `link … --email`, without a mail of its own."""
    with database.transaction() as session:
        invitations.invite(
            session,
            partner_slug="demo",
            external_id="grower-1",
            name="Maple Farm",
            email=address,
            lifetime=timedelta(days=14),
        )


def add_attention(session: Session, connection_id: UUID) -> None:
    connection = locked(session, connection_id)
    connection.grower_acts_since = now()
    session.add(
        Mail(
            connection_id=connection_id,
            kind=MailKind.ATTENTION,
            about=connection.grower_acts_since,
            created_at=now(),
            due_at=now(),
        )
    )


def _link(database: Database) -> Link:
    with database.reading() as session:
        return session.scalars(sa.select(Link).order_by(Link.created_at)).first() or Link()


def _end_in_error(database: Database) -> None:
    """As the queue writes it down when a workflow raises."""
    schema = "" if database.engine.dialect.name == "sqlite" else "dbos."
    with database.transaction() as session:
        session.execute(
            sa.text(
                f"UPDATE {schema}workflow_status SET status = 'ERROR' WHERE queue_name = :queue"  # noqa: S608
            ),
            {"queue": MAIL_QUEUE},
        )
