"""The first data: nothing is claimed before it has come, and then it is told by numbers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from onboarding import describe
from onboarding.clock import now
from onboarding.connections.arrivals import READ_AGAIN_AFTER
from onboarding.models import Connection
from onboarding.states import Health, Stage
from tests.unit.cases import NOW, Case
from tests.unit.leaf_double import LeafDouble, says
from tests.unit.tries import Tries

LEAF_USER = "leaf-y"
SUMMARY = {"provider": "JohnDeere", "growers": 2, "farms": 4, "fields": 37}


@pytest.fixture
def tries(tries: Tries, leaf: LeafDouble) -> Tries:
    """Leaf has the grower's token, and one organization is shared."""
    tries.let_leaf_have_it(LEAF_USER, since=timedelta(0))
    leaf.connected = {"1": True}
    return tries


def asks(tries: Tries) -> bool:
    """Whether a check asks what has arrived."""
    tries.leaf.asked.clear()
    tries.check()
    return "GET resources" in tries.leaf.asked


def sentences(tries: Tries) -> str:
    told = describe.connection(tries.connection(), latest=None, moment=now())
    assert told.code == "connected"
    return " ".join(told.sentences)


def test_what_arrives_is_told_with_its_numbers(tries: Tries, leaf: LeafDouble) -> None:
    assert asks(tries)
    assert "The first data can take a few hours." in sentences(tries)

    leaf.summaries = [SUMMARY]
    assert asks(tries)

    assert "37 fields on 4 farms of 2 clients arrived." in sentences(tries)
    assert "few hours" not in sentences(tries)
    assert tries.history().count("data_arrived") == 1


def test_what_has_arrived_is_asked_again_only_after_a_week(tries: Tries, leaf: LeafDouble) -> None:
    leaf.summaries = [SUMMARY]
    assert asks(tries)
    assert not asks(tries)

    tries.put(arrivals_read_at=now() - READ_AGAIN_AFTER - timedelta(seconds=1))
    leaf.summaries = [SUMMARY | {"fields": 40}]
    assert asks(tries)

    assert "40 fields on 4 farms of 2 clients arrived." in sentences(tries)
    assert tries.history().count("data_arrived") == 1


def test_nothing_is_asked_while_nothing_is_shared(tries: Tries, leaf: LeafDouble) -> None:
    leaf.connected = {"1": False}

    assert not asks(tries)


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_summary_that_leaf_does_not_give_is_no_trouble(
    tries: Tries, leaf: LeafDouble, status: int
) -> None:
    leaf.answers["GET resources"] = [says(status, {})] * 4

    for _ in range(4):
        tries.check()

    connection = tries.connection()
    assert (connection.failed_checks, connection.cause, connection.detail) == (0, None, "")
    assert "The first data can take a few hours." in sentences(tries)


def test_another_credential_claims_nothing_of_the_last_one(tries: Tries, leaf: LeafDouble) -> None:
    leaf.summaries = [SUMMARY]
    assert asks(tries)
    leaf.summaries = []

    tries.consent("refresh-2")
    leaf.credentials.clear()
    tries.once()

    assert tries.connection().fields_arrived is None
    assert asks(tries)


def connected(
    *, fields: int | None, farms: int | None, growers: int | None = 1, selects: bool = False
) -> Connection:
    made = Case(Stage.CONNECTED, Health.OK, organizations="shared").connection()
    made.fields_arrived, made.farms_arrived, made.growers_arrived = fields, farms, growers
    made.grower.partner.select_organizations = selects
    return made


@pytest.mark.parametrize(
    ("fields", "farms", "text"),
    [
        (1, 1, "1 field on 1 farm arrived."),
        (1, 2, "1 field on 2 farms arrived."),
        (2, 1, "2 fields on 1 farm arrived."),
        (5, 0, "5 fields arrived."),
        (0, 3, None),
        (None, None, None),
    ],
)
@pytest.mark.parametrize("selects", [False, True])
def test_numbers_are_told_only_where_fields_have_arrived(
    fields: int | None, farms: int | None, text: str | None, selects: bool
) -> None:
    """A partner that has not chosen yet has previews only: the organization and no field."""
    subject = connected(fields=fields, farms=farms, selects=selects)

    said = describe.connection(subject, latest=None, moment=NOW).sentences

    assert any("arrived" in sentence for sentence in said) is (text is not None)
    if text is not None:
        assert text in said


@pytest.mark.parametrize("growers", [None, 0, 1, 2, 12])
def test_the_farms_clients_are_counted_where_there_are_several(growers: int | None) -> None:
    subject = connected(fields=37, farms=4, growers=growers)

    said = describe.connection(subject, latest=None, moment=NOW).sentences

    of_clients = f" of {growers} clients" if growers in {2, 12} else ""
    assert f"37 fields on 4 farms{of_clients} arrived." in said


def test_what_arrived_is_told_also_where_rights_are_missing() -> None:
    subject = connected(fields=37, farms=4)
    subject.scopes_asked, subject.scopes_granted = ["ag1", "eq1"], ["ag1"]

    said = describe.connection(subject, latest=None, moment=NOW).sentences

    assert "37 fields on 4 farms arrived." in said
