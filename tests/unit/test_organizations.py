"""Reading the organizations at John Deere: how often, for how long, and what counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug import Request, Response

from onboarding.connections import growers, organizations
from onboarding.connections.organizations import READS_AFTER_RETURN, Look
from onboarding.deere import Deere
from onboarding.models import Link
from onboarding.states import SharingTrouble, Stage
from tests.unit.conftest import SettingsFor
from tests.unit.failures import Server
from tests.unit.rows import connection_of
from tests.unit.test_deere import ORGANIZATIONS_PATH, organization
from tests.unit.walk import Walk

LATEST_SECONDS = 6.0
"""After this no reading begins: a grower waits."""


class Clock:
    """What the use case knows of `time`: it passes while John Deere answers, and in pauses."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    passing = Clock()
    monkeypatch.setattr(organizations, "time", passing)
    return passing


@pytest.fixture
def deere(server: Server, settings_for: SettingsFor) -> Deere:
    return Deere(settings_for(server.http), remembered=lambda: None, remember=lambda _text: None)


@pytest.fixture
def look(walk: Walk, link: Link, deere: Deere) -> Callable[[], Look]:
    """As when the grower is back from John Deere's page for organizations."""
    started = walk.start(link)
    walk.receive(started)
    return lambda: organizations.look(
        walk.database,
        walk.vault,
        deere,
        started.attempt_id,
        reads=READS_AFTER_RETURN,
    )


def serve(server: Server, clock: Clock, seconds: float, *answers: list[Any] | int) -> list[float]:
    """Answer with these organizations, or statuses, one after the other; the last one stays.

    :param seconds: how long each answer takes
    :return: when John Deere was asked
    """
    asked: list[float] = []

    def answer(_request: Request) -> Response:
        asked.append(clock.now)
        clock.now += seconds
        given = answers[min(len(asked), len(answers)) - 1]
        if isinstance(given, int):
            return Response(status=given)
        return Response(json.dumps({"values": given}), content_type="application/json")

    server.http.expect_request(ORGANIZATIONS_PATH).respond_with_handler(answer)
    return asked


NOT_SHARED = [organization(1, "self", "connections")]
SHARED = [organization(1, "self", "manage_connections")]


@pytest.mark.parametrize(
    ("seconds", "reads"), [(0, 3), (0.9, 3), (1.1, 2), (3.9, 2), (4.1, 1), (19, 1)]
)
def test_john_deere_is_asked_three_times_at_most_and_never_late(
    look: Callable[[], Look], server: Server, clock: Clock, seconds: float, reads: int
) -> None:
    asked = serve(server, clock, seconds, NOT_SHARED)

    look()

    assert len(asked) == reads
    assert max(asked) <= LATEST_SECONDS


def test_it_is_not_asked_again_once_one_is_shared(
    look: Callable[[], Look], server: Server, clock: Clock, walk: Walk, link: Link
) -> None:
    asked = serve(server, clock, 0, NOT_SHARED, SHARED)

    look()

    assert len(asked) == 2
    assert connection_of(walk.database, link).has_shared_organization


@pytest.mark.parametrize("failure", [503, 403])
@pytest.mark.parametrize("good", [1, 2])
def test_a_reading_that_fails_does_not_outweigh_the_good_one_before(
    look: Callable[[], Look],
    server: Server,
    clock: Clock,
    walk: Walk,
    link: Link,
    good: int,
    failure: int,
) -> None:
    serve(server, clock, 0, *[NOT_SHARED] * good, failure)

    look()

    connection = connection_of(walk.database, link)
    assert connection.sharing_trouble is None
    assert [row.name for row in connection.organizations] == ["Farm 1"]


def test_a_first_reading_that_fails_is_trouble(
    look: Callable[[], Look], server: Server, clock: Clock, walk: Walk, link: Link
) -> None:
    asked = serve(server, clock, 0, 503, SHARED)

    look()

    assert len(asked) == 1
    trouble = connection_of(walk.database, link).sharing_trouble
    assert trouble is SharingTrouble.DEERE_UNAVAILABLE


@pytest.mark.parametrize("stage", [Stage.HANDING_OVER, Stage.CHOOSING_ORGANIZATIONS])
def test_a_grower_on_the_way_to_choose_owes_leaf_a_sync_whatever_leaf_has(
    look: Callable[[], Look], deere: Deere, walk: Walk, link: Link, stage: Stage
) -> None:
    walk.put(link, stage=stage, sync_owed=False)

    with walk.database.transaction() as session:
        connection = growers.connection_of(session, link.grower_id)
        organizations.page_for(session, deere, connection, organization_id=None)

    assert connection_of(walk.database, link).sync_owed
