"""Growers with an address, and what reached it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import requests
import sqlalchemy as sa

from onboarding.clock import now
from onboarding.connections import mails
from onboarding.connections.owed import owe_check
from onboarding.models import Connection, Mail, locked
from onboarding.states import MailState
from tests.support.people import People, Person
from tests.support.stack import Stack
from tests.support.wait import wait_until

LINK = re.compile(r"^(http://\S+/c/\S+)$", re.MULTILINE)
STOP = re.compile(r"^(http://\S+/m/\S+/stop)$", re.MULTILINE)
SOON = timedelta(minutes=30)
"""Whatever is due within this is being worked on; all pauses that are meant are longer."""
Taken = dict[str, Any]
"""A mail as the sandbox's control API shows it."""


class Mailed:
    """A grower with an address, and the mails that reached it.

    Time passes and sweeps come when a test says so, since both would take it too long.
    """

    def __init__(self, stack: Stack, person: Person, address: str) -> None:
        self.stack, self.person, self.address = stack, person, address

    @classmethod
    def invited(cls, stack: Stack, people: People, **more: Any) -> Mailed:
        """A grower with a link that nobody has mailed."""
        address = new_address()
        return cls(stack, people.invited(email=address, **more), address)

    def mails(self) -> list[Taken]:
        """What the mail server took, oldest first."""
        return self.stack.control.mails(self.address)

    def rows(self) -> list[Mail]:
        """What is stored about the grower's mails, oldest first."""
        query = sa.select(Mail).where(Mail.connection_id == self.person.connection().id)
        with self.stack.installation.database.reading() as session:
            return list(session.scalars(query.order_by(Mail.created_at)))

    def row(self) -> Mail:
        """The newest of them."""
        return self.rows()[-1]

    def deliver(self) -> list[Taken]:
        """Let a sweep come, wait until nothing is on its way any more; all that has come so far."""
        self.sweep()
        wait_until(lambda: not self._on_their_way(), what="no mail is on its way")
        return self.mails()

    def sweep(self) -> None:
        """Enqueue what is due."""
        parts = self.stack.installation
        with parts.database.transaction() as session:
            mails.enqueue_due(session, parts.queue, at_most=1000)

    def let_time_pass(self) -> None:
        """Until the next mail is due."""
        self._change_mails(due_at=now() - timedelta(seconds=1))

    def connect(self) -> list[Taken]:
        """The whole way, until the mail that says so has come; all mails so far."""
        self.person.connect("already-connected")
        self.person.wait_for_code("connected")
        self.look_at_leaf()
        return self.deliver()

    def leaf_says(self, status: str | None) -> None:
        """Let Leaf find out something, and let us hear of it."""
        leaf_user_id = self.person.connection().grower.leaf_user_id
        assert leaf_user_id
        self.stack.control.set_leaf_status(leaf_user_id, status)
        self.look_at_leaf()

    def look_at_leaf(self) -> None:
        """Let a check come, and wait until it has reported."""
        parts, begun = self.stack.installation, now()
        with parts.database.transaction() as session:
            owe_check(locked(session, self.person.connection().id))

        def has_reported() -> bool:
            checked = self.person.connection().checked_at
            return checked is not None and checked > begun

        wait_until(has_reported, what="Leaf has been asked")

    def change(self, **values: Any) -> None:
        """Set fields of the connection."""
        with self.stack.installation.database.transaction() as session:
            of_grower = Connection.id == self.person.connection().id
            session.execute(sa.update(Connection).where(of_grower).values(**values))

    def _change_mails(self, **values: Any) -> None:
        with self.stack.installation.database.transaction() as session:
            waiting = sa.and_(
                Mail.connection_id == self.person.connection().id,
                Mail.state == MailState.WAITING,
            )
            session.execute(sa.update(Mail).where(waiting).values(**values))

    def _on_their_way(self) -> list[Mail]:
        return [row for row in self.rows() if row.due_at and row.due_at < now() + SOON]


def new_address() -> str:
    """An address that nobody has."""
    return f"grower-{uuid4().hex[:12]}@farm.example"


def header(mail: Taken, name: str) -> str:
    """The one header of that name."""
    (value,) = [value for found, value in mail["headers"] if found == name]
    return str(value)


def link_in(mail: Taken) -> str:
    """The grower's page that a mail leads to; both forms say the same."""
    (link,) = LINK.findall(mail["text"])
    assert link in mail["html"]
    return str(link)


def stop_url_in(mail: Taken) -> str:
    """Where a mail says that such mails are stopped; both forms and the header say the same."""
    (url,) = STOP.findall(mail["text"])
    assert url in mail["html"]
    assert header(mail, "List-Unsubscribe") == f"<{url}>"
    return str(url)


def stop_by_program(mail: Taken) -> requests.Response:
    """What a mail program does when its reader presses "unsubscribe" (RFC 8058)."""
    assert header(mail, "List-Unsubscribe-Post") == "List-Unsubscribe=One-Click"
    return requests.post(
        stop_url_in(mail),
        data={"List-Unsubscribe": "One-Click"},
        timeout=30,
        allow_redirects=False,
    )


def until_march(*, hour: int) -> timedelta:
    """How far the clock has to go to an evening of the next March."""
    evening = now().replace(month=3, day=10, hour=hour, minute=30)
    return (evening if evening > now() else evening.replace(year=evening.year + 1)) - now()
