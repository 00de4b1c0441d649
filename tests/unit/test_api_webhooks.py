"""How partners' programs say where they want to be told, and see what was sent."""

from __future__ import annotations

from datetime import timedelta

import jsonschema_rs
import pytest
import sqlalchemy as sa
from flask import Flask

from onboarding.clock import now
from onboarding.db import Database
from onboarding.models import Connection, WebhookDelivery, locked
from onboarding.states import Stage, WebhookEvent
from onboarding.views.api import PREFIX, deliveries
from onboarding.webhooks.answer import Answer
from tests.support.program import Program, wrong
from tests.unit import hooks

URL = "https://portal.example/hooks"


def answer_all(database: Database, status: int) -> None:
    """Let all that is due be tried, and answered so."""
    hooks.tried(database, Answer(now(), 9, status, "no"))


def test_an_endpoint_from_its_making_to_its_end(app: Flask, fresh_database: Database) -> None:
    program = Program(app, "prairie")
    made = program.call("POST", "/webhook-endpoints", {"url": URL})
    assert made.status_code == 201, made.text
    told = made.get_json()
    assert told["secret"].startswith("whsec_")
    assert told["events"] == [one.value for one in WebhookEvent]
    path = f"/webhook-endpoints/{told['id']}"
    without_secret = {name: value for name, value in told.items() if name != "secret"}
    assert program.call("GET", path).get_json() == without_secret
    assert program.call("GET", "/webhook-endpoints").get_json()["endpoints"] == [without_secret]

    only = {"events": ["connection.disconnected"]}
    assert program.call("PATCH", path, only).get_json()["events"] == only["events"]
    new = program.call("POST", path + "/rotate").get_json()
    assert new["secret"] not in {told["secret"], ""}
    assert new["old_secret_until"] > made.get_json()["created_at"]

    program.grower()
    with fresh_database.transaction() as session:
        connection = locked(session, session.scalars(sa.select(Connection.id)).one())
        connection.stage = Stage.DISCONNECTED
    answer_all(fresh_database, 500)
    (delivery,) = program.call("GET", path + "/deliveries").get_json()["deliveries"]
    assert (delivery["type"], delivery["state"]) == ("connection.disconnected", "waiting")
    assert delivery["last_try"]["status"] == 500
    full = program.call("GET", f"{path}/deliveries/{delivery['id']}").get_json()
    assert full["body"]["data"]["grower"] == "7"
    assert full["body"]["data"]["connection"] == delivery["connection"]
    assert [one["answer"] for one in full["all_tries"]] == ["no"]
    assert full["body"]["timestamp"] == delivery["created_at"]
    (stands,) = program.call("GET", "/connections").get_json()["connections"]
    assert full["body"]["data"]["status"]["since"] == stands["since"]
    assert program.call("GET", path).get_json()["state"] == "fails"

    assert program.call("POST", path + "/pause").get_json()["state"] == "paused"
    assert wrong(program.call("POST", path + "/test")) == "endpoint-not-ready"
    assert program.call("POST", path + "/resume").get_json()["state"] == "works"
    answer_all(fresh_database, 200)
    assert program.call("POST", path + "/test").status_code == 202
    answer_all(fresh_database, 200)
    page = program.call("GET", path + "/deliveries?limit=1").get_json()
    assert page["deliveries"][0]["type"] == "test"
    tests = program.call("GET", path + "/deliveries?type=test").get_json()["deliveries"]
    assert tests == page["deliveries"]
    sent = program.call("GET", f"{path}/deliveries/{tests[0]['id']}").get_json()["body"]
    described = program.client.get(f"{PREFIX}/openapi.json").get_json()
    schema = described["webhooks"]["test"]["post"]["requestBody"]["content"]["application/json"]
    jsonschema_rs.validate(schema["schema"] | {"components": described["components"]}, sent)
    rest = program.call("GET", f"{path}/deliveries?after={page['next']}").get_json()
    assert [one["state"] for one in rest["deliveries"]] == ["delivered"]

    again = program.call("POST", f"{path}/deliveries/{delivery['id']}/replay")
    assert (again.status_code, again.get_json()) == (202, {"deliveries": 1, "next": None})
    answer_all(fresh_database, 200)
    since = (now() - timedelta(hours=1)).isoformat()
    asked = {"since": since, "only_given_up": False}
    replay = path + "/replay"
    assert program.call("POST", replay, asked).get_json() == {"deliveries": 2, "next": None}
    none = {"deliveries": 0, "next": None}
    assert program.call("POST", replay, {"since": since}).get_json() == none

    assert program.call("DELETE", path).status_code == 204
    assert wrong(program.call("GET", path)) == "not-found"
    assert wrong(program.call("GET", path + "/deliveries")) == "not-found"
    with fresh_database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(WebhookDelivery)) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"url": "http://portal.example/"},
        {"url": "https://10.0.0.1/"},
        {"url": URL, "events": ["connection.sold"]},
        {"url": URL, "secret": "mine"},
        {},
    ],
)
def test_what_can_not_be_is_refused(app: Flask, body: dict[str, object]) -> None:
    answer = Program(app, "prairie").call("POST", "/webhook-endpoints", body)
    assert wrong(answer) == "invalid"
    assert answer.get_json()["errors"]


def test_a_url_is_there_once_and_there_are_ten_at_most(app: Flask) -> None:
    program = Program(app, "prairie")
    for number in range(10):
        made = program.call("POST", "/webhook-endpoints", {"url": f"{URL}/{number}"})
        assert made.status_code == 201
        twice = program.call("POST", "/webhook-endpoints", {"url": f"{URL}/{number}"})
        # That there are ten is no fault of a value.
        assert wrong(twice) == ("invalid" if number < 9 else "too-many-endpoints")
    assert "remove one first" in twice.get_json()["detail"]
    first, second = program.call("GET", "/webhook-endpoints").get_json()["endpoints"][:2]
    path = f"/webhook-endpoints/{first['id']}"
    assert wrong(program.call("PATCH", path, {"url": second["url"]})) == "invalid"
    assert program.call("PATCH", path, {"url": first["url"]}).status_code == 200


def test_a_test_is_sent_once_until_it_has_been_tried(app: Flask, fresh_database: Database) -> None:
    program = Program(app, "prairie")
    made = program.call("POST", "/webhook-endpoints", {"url": URL}).get_json()
    path = f"/webhook-endpoints/{made['id']}"
    assert program.call("POST", path + "/test").status_code == 202
    refused = program.call("POST", path + "/test")
    assert wrong(refused) == "endpoint-not-ready"
    assert "not ended" in refused.get_json()["detail"]
    answer_all(fresh_database, 500)
    assert program.call("POST", path + "/test").status_code == 202
    found = program.call("GET", path + "/deliveries").get_json()["deliveries"]
    assert [one["state"] for one in found] == ["waiting", "given_up"]


def test_a_range_is_sent_again_in_parts(
    app: Flask, fresh_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "REPLAYED_AT_ONCE", 2)
    program = Program(app, "prairie")
    made = program.call("POST", "/webhook-endpoints", {"url": URL}).get_json()
    path = f"/webhook-endpoints/{made['id']}"
    for _ in range(3):
        program.call("POST", path + "/test")
        answer_all(fresh_database, 200)
    asked = {"since": (now() - timedelta(hours=1)).isoformat(), "only_given_up": False}
    first = program.call("POST", path + "/replay", asked).get_json()
    waiting = program.call("GET", path + "/deliveries?state=waiting").get_json()["deliveries"]
    assert first == {"deliveries": 2, "next": waiting[0]["id"]}
    answer_all(fresh_database, 200)
    rest = program.call("POST", path + "/replay", asked | {"after": first["next"]}).get_json()
    assert rest == {"deliveries": 1, "next": None}
    odd = program.call("POST", path + "/replay", asked | {"after": "odd"})
    assert wrong(odd) == "invalid"
