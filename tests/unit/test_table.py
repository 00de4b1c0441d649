"""The whole table: what is told of each stage, health and organizations, and of each cause."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import get_args

import pytest

from onboarding import describe
from onboarding.describe import Told
from onboarding.states import Cause, Health, Service, Stage
from tests.unit.cases import NOW, Case, Kind

UNTOLD_PAUSE = "short pause"
"""TEMPORARILY_UNAVAILABLE since a moment ago."""
STRANGE = "STRANGE"
"""A word of Leaf's that we don't know."""
WORDS = [*(health.value for health in Health), UNTOLD_PAUSE, STRANGE]

# The first row that fits counts. Columns: stage, health, organizations; code, tone, whose turn it
# is, title.
TABLE = """
invited      | *                       | *             | invited                 | quiet   | grower | Connect John Deere
authorizing  | *                       | *             | authorizing             | act     | grower | Waiting for you at John Deere
handing_over | *                       | shared        | handing_over            | wait    | nobody | Connecting to Leaf
handing_over | *                       | partners only | wrong_account           | act     | grower | Is this the right John Deere account?
handing_over | *                       | *             | choose_organizations    | act     | grower | Choose what to share
at leaf      | UNAUTHENTICATED         | *             | reconnect               | act     | grower | Please connect again
at leaf      | *                       | partners only | wrong_account           | act     | grower | Is this the right John Deere account?
at leaf      | *                       | not shared    | choose_organizations    | act     | grower | Choose what to share
at leaf      | *                       | none          | choose_organizations    | act     | grower | Choose what to share
at leaf      | OK                      | shared        | connected               | ok      | nobody | Connected
at leaf      | short pause             | shared        | connected               | ok      | nobody | Connected
at leaf      | TEMPORARILY_UNAVAILABLE | shared        | temporarily_unavailable | wait    | nobody | A pause at John Deere
at leaf      | MISSING_PERMISSION      | shared        | missing_permission      | act     | grower | A permission is missing
at leaf      | UNKNOWN                 | shared        | checking                | wait    | nobody | Leaf is checking your connection
at leaf      | STRANGE                 | shared        | unknown_health          | wait    | staff  | We are looking into your connection
failed       | *                       | *             | failed                  | problem | staff  | Something went wrong on our side
disconnecting | *                      | *             | disconnecting           | wait    | nobody | Disconnecting
disconnected | *                       | *             | disconnected            | quiet   | nobody | Disconnected
"""  # noqa: E501

# Stage, cause; code, tone, whose turn. An organization is shared, and Leaf's word is OK.
CAUSES = """
handing_over | leaf_sign_in_refused | waiting_for_staff  | wait    | staff
handing_over | token_unreadable     | waiting_for_staff  | wait    | staff
handing_over | our_error            | waiting_for_staff  | wait    | staff
handing_over | check_refused        | waiting_for_staff  | wait    | staff
handing_over | delete_refused       | waiting_for_staff  | wait    | staff
handing_over | nothing_fetched      | waiting_for_staff  | wait    | staff
handing_over | *                    | handing_over       | wait    | nobody
at leaf      | credential_missing   | credential_missing | act     | grower
at leaf      | nothing_fetched      | nothing_fetched    | wait    | staff
at leaf      | *                    | connected          | ok      | nobody
failed       | no_refresh_token     | no_refresh_token   | problem | staff
failed       | *                    | failed             | problem | staff
"""
AT_LEAF = {Stage.CHOOSING_ORGANIZATIONS, Stage.CONNECTED}


def rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]


def expected(table: str, *keys: str) -> list[str]:
    """What the first row says that fits."""
    for row in rows(table):
        if all(cell in {"*", key} for cell, key in zip(row, keys, strict=False)):
            return row[len(keys) :]
    raise AssertionError(f"no row of the table is about {keys}")


def column(stage: Stage) -> str:
    """How the tables call a stage: at Leaf not the stage decides, but what is shared."""
    return "at leaf" if stage in AT_LEAF else stage.value


@dataclass(frozen=True)
class State:
    """One combination."""

    stage: Stage
    word: str
    organizations: Kind

    def case(self) -> Case:
        known = {UNTOLD_PAUSE: Health.TEMPORARILY_UNAVAILABLE, STRANGE: Health.UNKNOWN}
        health = known.get(self.word) or Health(self.word)
        made = Case(self.stage, health, organizations=self.organizations)
        if self.stage is Stage.INVITED:
            return replace(made, outcome="never")
        return replace(made, outcome="open") if self.stage is Stage.AUTHORIZING else made

    def told(self) -> Told:
        case = self.case()
        subject = case.connection()
        if self.word == UNTOLD_PAUSE:
            subject.trouble_told_from = NOW + timedelta(minutes=1)
        if self.word == STRANGE:
            subject.health_text = STRANGE
        return describe.connection(subject, latest=case.attempt(), moment=NOW)


STATES = [State(*one) for one in itertools.product(Stage, WORDS, get_args(Kind))]


@pytest.mark.parametrize(
    "state", STATES, ids=lambda state: f"{state.stage.value}-{state.word}-{state.organizations}"
)
def test_every_row_has_its_sentence_and_its_turn(state: State) -> None:
    told = state.told()

    row = expected(TABLE, column(state.stage), state.word, state.organizations)

    assert [told.code, told.tone, told.who, told.title] == row
    # Who has not begun reads the page that asks: what is shared, and what is not.
    assert told.sentences or told.code == "invited"
    if told.who == "grower":
        assert told.action is not None


@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize("stage", [Stage.HANDING_OVER, Stage.CONNECTED, Stage.FAILED])
def test_every_cause_has_its_sentence_and_its_turn(stage: Stage, cause: Cause) -> None:
    told = Case(stage, Health.OK, cause, organizations="shared").told()

    assert [told.code, told.tone, told.who] == expected(CAUSES, column(stage), cause.value)
    assert told.sentences


@pytest.mark.parametrize("service", Service)
def test_an_incident_is_said_above_every_row_that_does_not_say_it(service: Service) -> None:
    for state in STATES:
        subject, told = state.case().connection(), state.told()

        text = describe.incident_for_growers(subject, told, service=service)

        is_concerned = column(state.stage) in {"handing_over", "at leaf"}
        says_it = told.code == "temporarily_unavailable" and service is Service.JOHN_DEERE
        assert (text is not None) is (is_concerned and not says_it), state


def test_no_row_of_the_tables_is_about_nothing() -> None:
    used = {
        tuple(expected(TABLE, column(state.stage), state.word, state.organizations))
        for state in STATES
    }
    assert used == {tuple(row[3:]) for row in rows(TABLE)}
    stages = [Stage.HANDING_OVER, Stage.CONNECTED, Stage.FAILED]
    of_causes = {
        (column(stage), *expected(CAUSES, column(stage), cause.value))
        for stage, cause in itertools.product(stages, Cause)
    }
    assert of_causes == {(row[0], *row[2:]) for row in rows(CAUSES)}
