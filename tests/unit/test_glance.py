"""Frames whose growers stand where they stood, and those where something has happened."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import embedding, glance
from onboarding.connections.glance import Glances, rows_of
from onboarding.connections.growers import connection_of
from onboarding.db import Database
from onboarding.models import Attempt, Connection, Link
from onboarding.states import Health, Outcome, Stage
from tests.support.queries import counted
from tests.support.wait import wait_until
from tests.unit.rows import invited

SLUG = "prairie"
Change = Callable[[Session, Link], object]


def framed(database: Database, external_id: str = "1") -> Link:
    """A link of a frame."""
    invitation = invited(database, external_id)
    with database.transaction() as session:
        return embedding.new_link(session, connection_of(session, invitation.grower_id))


def tell(database: Database, glances: Glances, *links: Link) -> None:
    """As the frames of these links are told in full."""
    with database.reading() as session:
        rows = rows_of(session.connection(), [link.id for link in links])
    for link in links:
        glances.keep(SLUG, link, rows[link.id], f"told {link.id}")


def new_attempt(session: Session, link: Link) -> None:
    """The grower begins."""
    session.add(
        Attempt(
            id=uuid4(),
            connection_id=connection_of(session, link.grower_id).id,
            link_id=link.id,
            state_digest=secrets.token_bytes(32),
            browser_digest=b"",
            created_at=now(),
        )
    )


CHANGES: dict[str, Change] = {
    "the window is open": lambda session, link: session.execute(
        sa.update(Link).where(Link.id == link.id).values(opened_at=now())
    ),
    "an attempt": new_attempt,
    "its end": lambda session, _: session.execute(
        sa.update(Attempt).values(outcome=Outcome.DENIED, ended_at=now())
    ),
    "another attempt": new_attempt,
    "the stage": lambda session, _: session.execute(
        sa.update(Connection).values(stage=Stage.CONNECTED)
    ),
    "Leaf's word": lambda session, _: session.execute(
        sa.update(Connection).values(health=Health.UNAUTHENTICATED)
    ),
    "withdrawn": lambda session, link: session.execute(
        sa.update(Link).where(Link.id == link.id).values(revoked_at=now())
    ),
}


def test_whatever_happens_to_a_grower_is_found_out_and_nothing_else(
    fresh_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glance, "LOOKED_FOR", -1.0)
    glances = Glances(fresh_database)
    mine, neighbour = framed(fresh_database), framed(fresh_database, "2")
    for name, change in CHANGES.items():
        tell(fresh_database, glances, mine)
        assert glances.etag(SLUG, mine.id) == f"told {mine.id}", f"before: {name}"
        with fresh_database.transaction() as session:
            change(session, mine)
        assert glances.etag(SLUG, mine.id) is None, name
    tell(fresh_database, glances, mine)
    with fresh_database.transaction() as session:
        new_attempt(session, neighbour)
    assert glances.etag(SLUG, mine.id) is not None
    assert glances.etag("acme", mine.id) is None, "told to another partner's frame"
    assert glances.etag(SLUG, neighbour.id) is None, "never told"


def test_one_query_is_for_all_who_have_asked_lately(fresh_database: Database) -> None:
    glances = Glances(fresh_database)
    links = [framed(fresh_database, str(number)) for number in range(3)]
    tell(fresh_database, glances, *links)
    with counted(fresh_database.engine) as sent:
        for link in links:
            assert glances.etag(SLUG, link.id) is not None
        assert sent == [], "they were told a moment ago"
        glance_again(glances)
        for link in links:
            assert glances.etag(SLUG, link.id) is not None
    assert len(sent) == 1


def glance_again(glances: Glances, *, after: float = 1) -> None:
    """As if some seconds had passed since the rows were looked at."""
    for glimpse in glances._kept.values():
        glimpse.looked_at -= after
    glances._looked_at -= after


def test_what_time_alone_changes_shows_within_a_minute_and_an_old_link_is_over_at_once(
    fresh_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    glances, link = Glances(fresh_database), framed(fresh_database)
    moment = now()
    tell(fresh_database, glances, link)
    monkeypatch.setattr(glance, "now", lambda: moment + timedelta(seconds=29))
    assert glances.etag(SLUG, link.id) is not None
    monkeypatch.setattr(glance, "now", lambda: moment + timedelta(seconds=61))
    assert glances.etag(SLUG, link.id) is None
    monkeypatch.setattr(glance, "now", lambda: link.expires_at - timedelta(seconds=1))
    tell(fresh_database, glances, link)
    assert glances.etag(SLUG, link.id) is not None
    monkeypatch.setattr(glance, "now", lambda: link.expires_at)
    assert glances.etag(SLUG, link.id) is None


def test_frames_that_ask_no_more_are_forgotten(
    fresh_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glance, "KEPT", 2)
    glances = Glances(fresh_database)
    links = [framed(fresh_database, str(number)) for number in range(3)]
    tell(fresh_database, glances, *links[:2])
    assert glances.etag(SLUG, links[0].id) is not None
    tell(fresh_database, glances, links[2])
    assert [glances.etag(SLUG, link.id) is not None for link in links] == [True, False, True]


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    """The database answers nobody until it is let go."""
    made = Hanging()
    monkeypatch.setattr(glance, "rows_of", made.rows_of)
    monkeypatch.setattr(glance, "LOOKED_FOR", 60.0)
    yield made
    made.let_go.set()


class Hanging:
    """Looks at rows, all of which wait.

    :ivar looks: how many have begun
    """

    def __init__(self) -> None:
        self.looks = 0
        self.let_go = threading.Event()

    def rows_of(self, connection: sa.Connection, link_ids: Sequence[UUID]) -> dict[UUID, Any]:
        self.looks += 1
        self.let_go.wait(30)
        return rows_of(connection, link_ids)


def test_while_the_database_hangs_nobody_waits_for_another_for_long(
    fresh_database: Database, hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glance, "WAIT_AT_MOST", 0.05)
    glances, link = Glances(fresh_database), framed(fresh_database)
    tell(fresh_database, glances, link)
    glance_again(glances, after=100)
    with ThreadPoolExecutor(4) as frames:
        first = frames.submit(glances.etag, SLUG, link.id)
        wait_until(lambda: hanging.looks == 1, what="one looks")
        others = [frames.submit(glances.etag, SLUG, link.id) for _ in range(3)]
        assert [one.result(timeout=20) for one in others] == [None] * 3
        assert not first.done()
        hanging.let_go.set()
        assert first.result(timeout=20) == f"told {link.id}"
    assert hanging.looks == 1


def test_who_waits_for_another_is_told_what_that_one_saw(
    fresh_database: Database, hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glance, "WAIT_AT_MOST", 20.0)
    glances = Glances(fresh_database)
    mine, changed = framed(fresh_database), framed(fresh_database, "2")
    tell(fresh_database, glances, mine, changed)
    with fresh_database.transaction() as session:
        new_attempt(session, changed)
    glance_again(glances, after=100)
    with ThreadPoolExecutor(4) as frames:
        first = frames.submit(glances.etag, SLUG, mine.id)
        wait_until(lambda: hanging.looks == 1, what="one looks")
        others = [frames.submit(glances.etag, SLUG, one.id) for one in (mine, changed)]
        assert not any(one.done() for one in others)
        hanging.let_go.set()
        assert first.result(timeout=20) == f"told {mine.id}"
        assert [one.result(timeout=20) for one in others] == [f"told {mine.id}", None]
    assert hanging.looks == 1
