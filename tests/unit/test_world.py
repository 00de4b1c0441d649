"""The demo world of `make run`: everybody is there, and stands where they are said to stand."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
import time_machine
from pytest_httpserver import HTTPServer

from onboarding import describe
from onboarding.clock import now
from onboarding.connections import applications, attention, consent, incidents
from onboarding.db import Database
from onboarding.local.world import making, rows
from onboarding.local.world.life import SPAN
from onboarding.models import (
    Application,
    Attempt,
    Audit,
    Connection,
    Event,
    Figure,
    Grower,
    LeafEvent,
    Listing,
    Mail,
    WebhookDelivery,
    WebhookEndpoint,
)
from onboarding.staff import happened
from onboarding.states import DeliveryState, Environment, Outcome
from onboarding.vault import Vault
from tests.unit.conftest import SettingsFor

DESCRIBED = ("choosing", "connection", "ending", "handing_over", "leaf", "outcome")
"""Modules of `describe` that say where a connection stands."""
FEW = 3


def _codes() -> set[str]:
    folder = Path(describe.__file__).parent
    texts = [(folder / f"{name}.py").read_text() for name in DESCRIBED]
    return {code for text in texts for code in re.findall(r'code="(\w+)"', text)}


def test_of_every_code_there_are_some_and_each_is_told_what_the_world_says(
    fresh_database: Database, settings_for: SettingsFor, httpserver: HTTPServer
) -> None:
    settings, moment = settings_for(httpserver), now()
    world = making.make(settings, moment)
    # On a slow machine somebody would be late meanwhile.
    with time_machine.travel(moment, tick=False), fresh_database.transaction() as session:
        rows.write(session, Vault(settings.encryption_keys), world)

    said = {life.connection.id: code for life, code in zip(world.lives, world.codes, strict=True)}
    with fresh_database.reading() as session:
        told = {
            found.id: describe.connection(
                found,
                latest=consent.latest(session, found.id),
                moment=moment,
                incident=incidents.of(session, found),
            ).code
            for found in session.scalars(sa.select(Connection))
        }
        waiting_for_staff = attention.count(session)
        outcomes = set(session.scalars(sa.select(Attempt.outcome).distinct()))
        latest = [
            session.scalar(sa.select(sa.func.max(column)))
            for column in (Event.at, LeafEvent.at, Mail.ended_at, Attempt.ended_at)
        ]
        environments = Counter(session.scalars(sa.select(Connection.environment)))
        notes = session.scalars(sa.select(Audit).where(Audit.action == "connection.note")).all()
        own = session.scalars(sa.select(Application)).one()
        happenings = set(session.scalars(sa.select(Event.kind).distinct()))
        growers = session.scalars(sa.select(Grower)).all()
        listed = session.scalars(sa.select(Listing)).all()
        of_health = sa.select(Figure.day, sa.func.sum(Figure.number)).group_by(Figure.day)
        days = session.execute(of_health.order_by(Figure.day)).all()
        sent = Counter(session.scalars(sa.select(WebhookDelivery.state)))
        (endpoint,) = session.scalars(sa.select(WebhookEndpoint))
    assert told == said
    assert 100 < environments[Environment.PRODUCTION] < environments[Environment.STAGE]
    assert len(notes) > 10
    vault = Vault(settings.encryption_keys)
    complete = applications.complete(settings, vault, own)
    assert complete.deere_client_secret == making.OWN_APPLICATION[1]
    assert not [one for one in happenings if happened.event(one)[1] == one], "without words"
    assert {row.connection_id: row.code for row in listed} == said
    assert len([row for row in listed if row.opened_at is None]) > 100
    assert all(row.since <= moment for row in listed)
    reached = [(row.started_at, row.first_connected_at) for row in listed if row.first_connected_at]
    assert all(started and ended and started < ended for started, ended in reached)
    assert len(reached) > 1300
    assert endpoint.paused_at is not None, "nothing leaves this machine"
    assert set(sent) == set(DeliveryState)
    assert len(told) == 2000
    counted = Counter(told.values())
    assert set(counted) == _codes()
    assert min(counted.values()) >= FEW
    assert 0 < waiting_for_staff < 100
    assert outcomes == {None, *Outcome}
    assert max(filter(None, latest)) <= moment
    assert min(grower.created_at for grower in growers) > moment - SPAN - timedelta(days=5)
    assert len({grower.name for grower in growers}) > 1000
    # Each day has all who were there, so that the picture of them only grows.
    assert [day for day, _ in days] == [
        moment.date() - timedelta(days=back) for back in range(89, 0, -1)
    ]
    numbers = [number for _, number in days]
    assert numbers == sorted(numbers)
    assert 1900 < numbers[-1] <= 2000


def test_it_is_the_same_world_each_time(settings_for: SettingsFor, httpserver: HTTPServer) -> None:
    settings, moment = settings_for(httpserver), now()
    one, other = (making.make(settings, moment) for _ in range(2))
    assert [life.connection.reference for life in one.lives] == [
        life.connection.reference for life in other.lives
    ]
    assert [event.at for event in one.lives[7].events] == [
        event.at for event in other.lives[7].events
    ]
