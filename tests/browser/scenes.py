"""Growers in every situation in which a page shows them something else.

Where one walk through the sandbox leads there, the grower walks; where it would take days, or a
machine that breaks down, the rows are set as it would have left them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import object_session

from onboarding.clock import now
from onboarding.connections import consent, growers, incidents, mails, pace, partnership
from onboarding.connections.incidents import LEAST
from onboarding.models import Attempt, Connection, Incident, Link, Organization, Pace, Partner
from onboarding.states import Health, IncidentKind, Outcome, Stage
from tests.support.mailed import Mailed, new_address
from tests.support.people import People, Person
from tests.support.stack import Stack
from tests.support.wait import wait_until

HELPFUL, COLOURED = "prairie", "north-fork"
SUPPORT: dict[str, Any] = {
    "support_name": "Dana Whitfield",
    "support_email": "help@prairie-coop.example",
    "support_phone": "(515) 555-0142",
    "support_url": "https://prairie-coop.example/help",
}


class Scenes:
    """Makes growers of a partner that says whom to call, if no other partner is named.

    :ivar stack: the processes
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._people = People(stack)
        self._add_partner(HELPFUL, "Prairie Co-op")
        self._add_partner(COLOURED, "North Fork Crop Insurance", colour="#7a2e4d")

    def person(self, *, partner: str = HELPFUL) -> Person:
        """A new grower who has opened nothing yet."""
        return self._people.invited(partner=partner)

    def mailed(self) -> Mailed:
        """A new grower with an address."""
        address = new_address()
        person = self._people.invited(partner=HELPFUL, email=address)
        return Mailed(self.stack, person, address)

    def visitor(self, link: str) -> Person:
        """Somebody with a link that exists already."""
        return self._people.visitor(link)

    def link(self, *, partner: str = HELPFUL) -> str:
        """The link of a new grower."""
        return self.person(partner=partner).link

    def link_again(self, person: Person) -> str:
        """Another link for a grower that has one."""
        return self.stack.invite(person.external_id, partner=HELPFUL)

    def walked(
        self,
        account: str,
        organizations: Collection[str] | None = None,
        *,
        partner: str = HELPFUL,
        settled: bool = True,
    ) -> str:
        """The link of a grower who went the whole way.

        :param organizations: those to tick; None: all
        :param settled: whether to wait until nobody works on it any more
        """
        person = self.person(partner=partner)
        person.connect(account, organizations)
        if settled:
            self.wait_for(
                person.link,
                lambda row: row.stage is not Stage.HANDING_OVER and not row.is_about_to_change,
            )
        return person.link

    def wait_for(self, link: str, condition: Any, *, what: str = "the hand-over ends") -> None:
        """Wait until the connection's row fulfils a condition."""

        def fulfilled() -> bool:
            with self.connection(link, write=False) as row:
                return bool(condition(row))

        wait_until(fulfilled, what=what)

    def started(self) -> str:
        """The link of a grower who is at John Deere now."""
        person = self.person()
        person.open()
        person.start()
        return person.link

    def failed(self, outcome: Outcome, *, times: int = 1) -> str:
        """The link of a grower whose attempts have just ended so."""
        person = self.person()
        for _ in range(times):
            person.open()
            person.start()
            with self.attempt(person.link) as attempt:
                attempt.used_at = now()
                session = object_session(attempt)
                assert session is not None
                consent.finish(session, attempt, outcome)
        return person.link

    def at_leaf(self, *, partner: str = HELPFUL, shared: bool = True, **fields: Any) -> str:
        """The link of a grower whose token Leaf has taken.

        :param shared: whether an organization is shared
        :param fields: of the connection, to be set
        """
        link = self.link(partner=partner)
        with self.connection(link) as connection:
            connection.stage, connection.health = Stage.CONNECTED, Health.OK
            connection.token_received_at = connection.handed_over_at = now()
            connection.organizations.append(
                Organization(deere_id="450101", name="Smith Farms", connected=shared)
            )
            connection.settle()
            for name, value in fields.items():
                setattr(connection, name, value)
        return link

    def stop_url(self, *, stopped: bool = False) -> str:
        """Where a grower stops mails, or has stopped them."""
        link, links = self.link(partner=COLOURED), self.stack.installation.links
        with self._session_to(write=True) as session:
            grower = session.get_one(Link, self._link_id(link)).grower
            if stopped:
                mails.stop(session, grower)
            return f"{self.stack.public_url}/m/{links.stop_token(grower.id)}/stop"

    @contextmanager
    def connection(self, link: str, *, write: bool = True) -> Iterator[Connection]:
        """The connection of a link's grower; what is changed is committed at the end."""
        with self._session_to(write) as session:
            grower_id = session.get_one(Link, self._link_id(link)).grower_id
            yield growers.connection_of(session, grower_id)

    @contextmanager
    def attempt(self, link: str, *, write: bool = True) -> Iterator[Attempt]:
        """The newest attempt of a link's grower; what is changed is committed at the end."""
        with self._session_to(write) as session:
            grower_id = session.get_one(Link, self._link_id(link)).grower_id
            connection = growers.connection_of(session, grower_id)
            attempt = consent.latest(session, connection.id)
            assert attempt is not None, "nobody has started"
            yield attempt

    def attempts(self, link: str) -> int:
        """How often the link was used to start."""
        with self._session_to(write=False) as session:
            query = sa.select(sa.func.count()).select_from(Attempt)
            return session.scalar(query.where(Attempt.link_id == self._link_id(link))) or 0

    def change_link(self, link: str, **values: datetime) -> str:
        """Set fields of a link, for example `revoked_at`; returns it."""
        with self._session_to(write=True) as session:
            session.execute(sa.update(Link).where(Link.id == self._link_id(link)).values(**values))
        return link

    def partner(self, slug: str, name: str, **fields: Any) -> str:
        """Add a partner, or set its fields; returns the slug."""
        self._add_partner(slug, name)
        with self._session_to(write=True) as session:
            session.execute(sa.update(Partner).where(Partner.slug == slug).values(**fields))
        return slug

    @contextmanager
    def leaf_down(self) -> Iterator[None]:
        """Let Leaf have trouble. It is of everybody, so it must not last."""
        self._set_pace(down_since=now(), closed_until=now() + timedelta(minutes=1))
        try:
            yield
        finally:
            self._set_pace(down_since=None, closed_until=None)

    def turned_with_many(self, kind: IncidentKind, health: Health) -> str:
        """The link of a grower whose connection turned with many others.

        They did so in an hour from now: so the incident is none of those of other scenes, and it
        stays as long as there is such a crowd.
        """
        moment = now() + timedelta(hours=1)
        turned: dict[str, Any] = {
            "health": health,
            "health_text": health.value,
            "checked_at": moment,
        }
        links = [self.at_leaf(health_since=moment, **turned) for _ in range(LEAST)]
        with self._session_to(write=True) as session:
            if kind not in {one.kind for one in incidents.present(session)}:
                session.add(Incident(kind=kind, began_at=moment, turned=37, asked=120))
        return links[0]

    def close(self) -> None:
        """Close the browsers of those who walked."""
        self._people.close()

    def _add_partner(self, slug: str, name: str, **fields: Any) -> None:
        with self._session_to(write=True) as session:
            if partnership.find(session, slug) is None:
                partnership.add_partner(session, slug=slug, name=name, **SUPPORT, **fields)

    def _set_pace(self, **values: datetime | None) -> None:
        with self._session_to(write=True) as session:
            known = session.get(Pace, pace.SERVICE) or Pace(service=pace.SERVICE, next_at=now())
            session.add(known)
            for name, value in values.items():
                setattr(known, name, value)

    def _session_to(self, write: bool) -> Any:
        database = self.stack.installation.database
        return database.transaction() if write else database.reading()

    def _link_id(self, link: str) -> UUID:
        return self.stack.installation.links.link_id(link.rpartition("/")[2])


def ago(**time: float) -> datetime:
    """A moment in the past, for example `ago(minutes=5)`."""
    return now() - timedelta(**time)
