"""Migrations: they lead to what the models say, from nothing, twice, and back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from alembic import command

from onboarding import schema
from onboarding.clock import now
from onboarding.db import Database
from onboarding.errors import DatabaseUnfit
from onboarding.models import Attempt, Base, Copy, Link
from onboarding.queue import Queue
from onboarding.states import Outcome
from tests.support.postgres import SUPERUSER, Cluster
from tests.unit.databases import as_settings_write_it
from tests.unit.rows import attempted, invited


@pytest.fixture
def empty_database(empty_url: str) -> Iterator[Database]:
    """A database without any table."""
    database = Database(empty_url)
    yield database
    database.engine.dispose()


SEARCH_ON_SQLITE = "listing_search"
"""A virtual table and what it keeps its index in."""


def our_tables(database: Database) -> set[str]:
    """The tables of the models that are there."""
    return set(sa.inspect(database.engine).get_table_names()) & set(Base.metadata.tables)


def test_an_empty_database_gets_every_table(empty_database: Database, empty_url: str) -> None:
    assert not schema.is_current(empty_database)

    schema.upgrade(empty_database, empty_url)

    assert schema.is_current(empty_database)
    assert our_tables(empty_database) == set(Base.metadata.tables)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_is_not_in_utf8_is_left_alone_and_told_how_to_make_one(
    postgres: Cluster, encoding: str
) -> None:
    url = as_settings_write_it(postgres.new_database(encoding=encoding))
    database = Database(url)

    with pytest.raises(DatabaseUnfit, match=f"is {encoding}.* createdb .*-E UTF8 -T template0"):
        schema.upgrade(database, url)

    assert not schema.is_current(database)
    assert sa.inspect(database.engine).get_table_names() == []
    assert "dbos" not in sa.inspect(database.engine).get_schema_names()
    database.engine.dispose()


def test_who_may_not_make_tables_is_told_what_to_ask_for(postgres: Cluster) -> None:
    role = f"grower-{uuid4().hex[:8]}"
    url = as_settings_write_it(postgres.new_database(role=role))
    database = Database(url)

    with pytest.raises(DatabaseUnfit) as caught:
        schema.upgrade(database, url)
    statement = str(caught.value).partition("administrator: ")[2]
    administrator = sa.create_engine(database.engine.url.set(username=SUPERUSER))
    with administrator.begin() as connection:
        connection.exec_driver_sql(statement)
    administrator.dispose()
    schema.upgrade(database, url)

    assert schema.is_current(database)
    database.engine.dispose()


def test_upgrading_again_changes_nothing(fresh_database: Database, fresh_url: str) -> None:
    with fresh_database.transaction() as session:
        session.add(Copy(name="a", text="kept", fetched_at=now()))

    schema.upgrade(fresh_database, fresh_url)

    assert schema.is_current(fresh_database)
    with fresh_database.reading() as session:
        assert session.get_one(Copy, "a").text == "kept"


def test_the_models_say_what_the_migrations_made(fresh_database: Database) -> None:
    """Also beside the queue's tables, which on SQLite stand in the same file."""
    with schema.migrating(fresh_database) as config:
        command.check(config)


def test_no_table_is_left_that_no_model_knows(empty_database: Database) -> None:
    with schema.migrating(empty_database) as config:
        command.upgrade(config, "head")

    tables = sa.inspect(empty_database.engine).get_table_names()
    made = {name for name in tables if not name.startswith(SEARCH_ON_SQLITE)}
    assert made == {*Base.metadata.tables, "alembic_version"}


def test_the_queue_can_be_used_after_an_upgrade(fresh_database: Database) -> None:
    queue, connection_id = Queue(fresh_database.engine), uuid4()

    with fresh_database.transaction() as session:
        queue.hand_over(session, connection_id, number=1, after=timedelta(0))

    assert queue.unfinished([f"hand_over:{connection_id}:1"]) == {
        f"hand_over:{connection_id}:1": None
    }


def test_migrations_lead_back_and_forth_again(empty_database: Database, empty_url: str) -> None:
    schema.upgrade(empty_database, empty_url)

    with schema.migrating(empty_database) as config:
        command.downgrade(config, "base")

    assert our_tables(empty_database) == set()
    assert not schema.is_current(empty_database)
    schema.upgrade(empty_database, empty_url)
    assert schema.is_current(empty_database)


def test_rows_stay_when_a_migration_makes_anew_what_they_refer_to(
    fresh_database: Database, fresh_url: str
) -> None:
    link = invited(fresh_database)
    attempted(fresh_database, link, Outcome.DENIED, ended=now())

    with schema.migrating(fresh_database) as config:
        command.downgrade(config, "0021")
    schema.upgrade(fresh_database, fresh_url)

    with fresh_database.transaction() as session:
        assert session.scalars(sa.select(Attempt.link_id)).one() == link.id
        with pytest.raises(sa.exc.IntegrityError):
            session.execute(sa.delete(Link))


def test_a_database_of_another_release_is_not_current(
    empty_database: Database, empty_url: str
) -> None:
    schema.upgrade(empty_database, empty_url)
    with empty_database.transaction() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = 'of-tomorrow'"))

    assert not schema.is_current(empty_database)


def test_a_failed_migration_leaves_nothing_behind(empty_database: Database, empty_url: str) -> None:
    """A release that was cut off in the middle can simply be repeated."""
    with empty_database.transaction() as session:
        session.execute(sa.text("CREATE TABLE worker (something INTEGER)"))

    with pytest.raises(sa.exc.DBAPIError):
        schema.upgrade(empty_database, empty_url)

    assert our_tables(empty_database) == {"worker"}
    with empty_database.transaction() as session:
        session.execute(sa.text("DROP TABLE worker"))
    schema.upgrade(empty_database, empty_url)
    assert schema.is_current(empty_database)
