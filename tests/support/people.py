"""Growers of whom a test also sees what is stored about them and what Leaf holds."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import requests
import sqlalchemy as sa

from onboarding.connections import partnership
from onboarding.models import Attempt, Connection, Event, Grower, Link
from tests.support import grower as browsing
from tests.support.inspection import complaints
from tests.support.page import Page
from tests.support.stack import PARTNER, Stack
from tests.support.wait import wait_until

CALLBACK_PATH = "/deere/callback"


class People:
    """Makes growers, and looks at every answer of ours that any of them gets."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.all: list[Person] = []

    def invited(
        self, external_id: str | None = None, *, partner: str = PARTNER, **more: Any
    ) -> Person:
        """A grower with a new link in a new browser.

        :param external_id: default: one that nobody has
        :param more: as for `Stack.invite`
        """
        external_id = external_id or f"farm-{uuid4().hex[:12]}"
        link = self._stack.invite(external_id, partner=partner, **more)
        return self.visitor(link, external_id)

    def partner(self, slug: str, **fields: Any) -> None:
        """Add a partner, as `flask partner add` does, without the time that a process takes."""
        with self._stack.installation.database.transaction() as session:
            partnership.add_partner(session, slug=slug, **fields)

    def visitor(self, link: str, external_id: str = "", *, address: str | None = None) -> Person:
        """Somebody in a new browser with a link that exists already."""
        person = Person(self._stack, link, external_id, address=address)
        self.all.append(person)
        return person

    def complaints(self) -> list[str]:
        """What is wrong with the answers of ours that all of them got."""
        return [
            wrong
            for person in self.all
            for answer in person.answers
            for wrong in complaints(
                answer, origin=self._stack.public_url, deere=self._stack.sandbox_url
            )
        ]

    def close(self) -> None:
        """Close all browsers."""
        for person in self.all:
            person.close()


class Person(browsing.Grower):
    """A grower, and what a test knows about them.

    :ivar external_id: the partner's id of the grower; empty for somebody who only has the link
    :ivar answers: every answer of our app that the browser got, redirects included
    """

    def __init__(
        self, stack: Stack, link: str, external_id: str, *, address: str | None = None
    ) -> None:
        super().__init__(link, address=address)
        self._stack = stack
        self.external_id = external_id
        self.answers: list[requests.Response] = []
        self.session.hooks["response"].append(self._note)

    def connection(self) -> Connection:
        """The row as it stands now, with its organizations."""
        with self._stack.installation.database.reading() as session:
            query = sa.select(Connection).join(Grower)
            return session.scalars(query.where(Grower.external_id == self.external_id)).one()

    def attempts(self) -> list[Attempt]:
        """The grower's attempts, oldest first."""
        query = sa.select(Attempt).where(Attempt.connection_id == self.connection().id)
        with self._stack.installation.database.reading() as session:
            return list(session.scalars(query.order_by(Attempt.created_at)))

    def events(self, kind: str | None = None) -> list[Event]:
        """The grower's history, oldest first."""
        query = sa.select(Event).where(Event.connection_id == self.connection().id)
        with self._stack.installation.database.reading() as session:
            events = session.scalars(query.order_by(Event.id)).all()
        return [event for event in events if kind in {None, event.kind}]

    def shared(self) -> set[str]:
        """Names of the organizations that are stored as shared."""
        return {row.name for row in self.connection().organizations if row.connected}

    def at_leaf(self) -> list[dict[str, Any]]:
        """The credentials that Leaf holds for the grower."""
        return self._stack.control.credentials(self.external_id)

    def fetched(self) -> dict[str, str]:
        """What Leaf fetches of each organization (`SELECTED`, `PREVIEW`, `BLOCKED`), by name."""
        leaf_user_id = self.connection().grower.leaf_user_id
        assert leaf_user_id
        choices = self._stack.installation.leaf().sync_choices(leaf_user_id)
        return {choice.name: str(choice.choice) for choice in choices}

    def wait_for_code(self, *codes: str, limit: float = 60.0) -> Page:
        """Load the page until it says one of these (the codes of `describe`).

        :param limit: seconds
        """
        wait_until(
            lambda: self.state()["code"] in codes,
            what=f"the page of {self.external_id} says {' or '.join(codes)}",
            limit=limit,
        )
        return self.open()

    def until_callback(self, account: str, *, decision: str = "Allow Access") -> str:
        """Walk from the page that is open, or from the link, to just before our callback.

        :return: the callback's URL, with state and code; opening it goes on
        """
        self.session.stop_before = self._stack.public_url + CALLBACK_PATH
        try:
            if self._page is None:
                self.open()
            self.start()
            if self.page.find(account):
                self.sign_in(account)
            if self.page.find(decision):
                self.press(decision)
        finally:
            self.session.stop_before = None
        return self.page.headers["location"]

    def come_back(self) -> Page:
        """As John Deere sends the browser back from its page for organizations."""
        return self.open(f"{self._stack.public_url}/deere/organizations")

    def expire_link(self) -> None:
        """Let the link's time be over."""
        self._change_link(expires_at=Link.created_at)

    def revoke_link(self) -> None:
        """Withdraw the link."""
        self._change_link(revoked_at=Link.created_at)

    def forget_access_tokens(self) -> None:
        """As the sweep does after an hour: only Leaf can be asked from then on."""
        with self._stack.installation.database.transaction() as session:
            session.execute(
                sa.update(Attempt)
                .where(Attempt.connection_id == self.connection().id)
                .values(access_token=None, access_token_until=None)
            )

    def _change_link(self, **values: Any) -> None:
        parts = self._stack.installation
        link_id = parts.links.link_id(self.link.rpartition("/")[2])
        with parts.database.transaction() as session:
            session.execute(sa.update(Link).where(Link.id == link_id).values(**values))

    def _note(self, answer: requests.Response, **_: Any) -> None:
        if answer.url.startswith(f"{self._stack.public_url}/"):
            self.answers.append(answer)
