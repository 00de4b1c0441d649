"""The examples of the API's description: what they show could have been asked and answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from jsonschema_rs import Draft202012Validator

from onboarding.states import Health, Stage, WebhookEvent
from onboarding.views.api import PREFIX, examples
from tests.unit.cases import Case

AT_LEAF = Case(Stage.CONNECTED, Health.OK, organizations="shared")
CASES = {
    WebhookEvent.LINK_OPENED: Case(Stage.INVITED, outcome="never"),
    WebhookEvent.AUTHORIZED: replace(AT_LEAF, stage=Stage.HANDING_OVER),
    WebhookEvent.CONNECTED: AT_LEAF,
    WebhookEvent.ORGANIZATIONS_CHANGED: AT_LEAF,
    WebhookEvent.NEEDS_ACTION: replace(AT_LEAF, health=Health.UNAUTHENTICATED),
    WebhookEvent.TEMPORARILY_UNAVAILABLE: replace(AT_LEAF, health=Health.TEMPORARILY_UNAVAILABLE),
    WebhookEvent.REPAIRED: AT_LEAF,
    WebhookEvent.FAILED: replace(AT_LEAF, stage=Stage.FAILED),
    WebhookEvent.DISCONNECTED: replace(AT_LEAF, stage=Stage.DISCONNECTED),
}


@pytest.fixture
def document(app: Flask) -> dict[str, Any]:
    told: dict[str, Any] = app.test_client().get(f"{PREFIX}/openapi.json").get_json()
    return told


def bodies(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is taken and what is answered when all is well, by where it stands."""
    paths = [*document["paths"].items(), *document["webhooks"].items()]
    for path, method, operation in (
        (path, method, operation) for path, found in paths for method, operation in found.items()
    ):
        well = [one for status, one in operation["responses"].items() if status < "4"]
        for place in (operation.get("requestBody", {}), *well):
            for content in place.get("content", {}).values():
                yield f"{method} {path}", content


def test_every_body_has_an_example_that_is_as_described(document: dict[str, Any]) -> None:
    found = list(bodies(document))
    assert len(found) == 43
    for where, content in found:
        schema = content["schema"] | {"components": document["components"]}
        errors = Draft202012Validator(schema, validate_formats=True).iter_errors(content["example"])
        assert [one.message for one in errors] == [], where


def test_examples_show_all_values_also_those_that_may_be_left_out(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for where, content in bodies(document):
        if "$ref" in content["schema"]:
            described = schemas[content["schema"]["$ref"].rpartition("/")[2]]["properties"]
            assert content["example"].keys() == described.keys(), where


@pytest.mark.parametrize("event", WebhookEvent)
def test_examples_say_of_a_connection_what_every_page_says(event: WebhookEvent) -> None:
    told, shown = CASES[event].told(), examples.TOLD[event]
    assert vars(shown) == {
        "code": told.code,
        "label": told.label,
        "sentence": told.in_full,
        "who": told.who,
    }


def test_what_is_ended_is_said_to_be_ending() -> None:
    told = replace(AT_LEAF, stage=Stage.DISCONNECTING).told()
    assert (examples.DISCONNECTING.code, examples.DISCONNECTING.sentence) == (
        told.code,
        told.in_full,
    )


def test_people_read_how_to_ask_and_what_comes_back(app: Flask, document: dict[str, Any]) -> None:
    page = app.test_client().get(f"{PREFIX}/docs").text
    assert "URL=https://connect.example KEY=cjd_" in page
    assert (
        "curl -X PUT &#34;$URL/api/v1/growers/4711&#34; \\\n"
        "     -H &#34;Authorization: Bearer $KEY&#34; \\\n"
        "     -H &#34;Content-Type: application/json&#34; \\\n"
        "     -d &#39;{&#34;name&#34;: &#34;Maple Farm&#34;" in page
    )
    assert page.count("curl ") == sum(map(len, document["paths"].values()))
    assert "curl &#34;$URL/api/v1/connections/K7M2Q9XR&#34;" in page
    assert page.count("whsec_…") == 2, "an endpoint's secret, when it is made and rotated"
