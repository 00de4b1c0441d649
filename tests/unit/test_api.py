"""The partners' API: who may do what, what it answers, and that it says so truly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from flask import Flask
from werkzeug.test import TestResponse

from onboarding import create_app
from onboarding.clock import now
from onboarding.db import Database
from onboarding.models import ApiKey, Audit, Event, Grower, Link
from onboarding.states import ApiScope, WebhookEvent
from onboarding.views.api import messages, pages
from onboarding.views.api.documents import document
from onboarding.views.api.parts import PREFIX, SCOPE
from onboarding.views.limits import limiter
from tests.support.program import Program, wrong
from tests.support.queries import counted
from tests.support.stack import ROOT
from tests.unit.conftest import SettingsFor
from tests.unit.failures import ThreadedServer

BACK = "https://portal.example/back"


def test_grower_is_made_brought_up_to_date_and_listed_in_pages(app: Flask) -> None:
    program = Program(app, "prairie")
    first = program.grower(email="maple@farm.example", phone="+1 555 0100")
    assert (first["email"], first["phone"]) == ("maple@farm.example", "+1 555 0100")
    again = program.grower(name="Maple Farm LLC")
    assert (again["name"], again["email"]) == ("Maple Farm LLC", "maple@farm.example")
    without = program.grower(email=None)
    assert (without["email"], without["phone"]) == (None, "+1 555 0100"), "one of them is forgotten"
    assert program.grower(phone="")["phone"] is None
    assert again["connection"] == first["connection"]
    odd = "a/b+ü&?#"
    assert program.grower(quote(odd, safe=""))["external_id"] == odd
    assert program.call("GET", f"/growers/{quote(odd, safe='')}").get_json()["external_id"] == odd
    program.grower("8")

    page = program.call("GET", "/growers?limit=2").get_json()
    rest = program.call("GET", f"/growers?limit=2&after={page['next']}").get_json()
    by_one = program.call("GET", "/growers?limit=1").get_json()
    for _ in range(2):
        by_one = program.call("GET", f"/growers?limit=1&after={by_one['next']}").get_json()
    assert by_one["next"] is None, "marks stand in an address as they are"
    found = [one["external_id"] for one in page["growers"] + rest["growers"]]
    assert found == sorted(["7", "8", odd])
    assert rest["next"] is None


def test_links_and_tokens_lead_to_the_growers_page(app: Flask, fresh_database: Database) -> None:
    program = Program(app, "prairie")
    program.grower()
    made = program.call("POST", "/growers/7/links", {"days": 3, "return_url": BACK})
    assert made.status_code == 201
    link = made.get_json()
    path = link["url"].removeprefix("https://connect.example")
    assert program.client.get(path).status_code == 200
    for _ in range(2):
        assert program.call("DELETE", f"/links/{link['id']}").status_code == 204
    assert program.client.get(path).status_code == 410

    token = program.call("POST", "/growers/7/embed-tokens", {"return_url": BACK}).get_json()
    bearer = {"Authorization": f"Bearer {token['token']}"}
    state = program.client.get("/embed/prairie/state", headers=bearer)
    assert state.get_json()["comes_back"] is True
    assert token["url"] == f"https://connect.example/c/{token['token']}"
    assert program.call("DELETE", f"/links/{token['id']}").status_code == 204
    assert program.client.get("/embed/prairie/state", headers=bearer).status_code == 410
    elsewhere = {"return_url": "https://evil.example/back"}
    for what in ("links", "embed-tokens"):
        answer = program.call("POST", f"/growers/7/{what}", elsewhere)
        assert wrong(answer) == "invalid"
        assert "is not among those of prairie" in answer.text
    with fresh_database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Link)) == 2


def test_connections_are_told_as_everywhere_and_listed_by_status(app: Flask) -> None:
    program = Program(app, "prairie")
    references = [program.grower(str(number))["connection"] for number in range(5)]
    told = program.call("GET", f"/connections/{references[0].lower()}").get_json()
    assert told["status"]["code"] == "invited"
    assert told["status"]["who"] == "grower"
    assert told["health"] == "UNKNOWN"

    page = program.call("GET", "/connections?status=invited&limit=3").get_json()
    rest = program.call("GET", f"/connections?limit=3&after={page['next']}").get_json()
    listed = [one["reference"] for one in page["connections"] + rest["connections"]]
    assert sorted(listed) == sorted(references)
    nothing = program.call("GET", "/connections?health=OK").get_json()
    assert nothing == {"connections": [], "next": None}
    since = (now() + timedelta(hours=1)).isoformat()
    late = program.call("GET", "/connections", query_string={"changed_since": since})
    assert late.get_json()["connections"] == []
    bodies: tuple[dict[str, str] | None, ...] = (None, {})
    for body in bodies:
        checked = program.call("POST", f"/connections/{references[0]}/recheck", body)
        assert (checked.status_code, checked.data) == (202, b"")
        assert "Content-Type" not in checked.headers
    surplus = program.call("POST", f"/connections/{references[0]}/recheck", {"now": True})
    assert surplus.get_json()["errors"] == [{"field": "now", "reason": "There is no such field."}]
    with counted(app.extensions["onboarding"].database.engine) as sent:
        program.call("GET", "/connections?limit=5")
    assert len(sent) <= 3, sent


def addresses(app: Flask, values: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Every address that wants a key: its endpoint, method and path, with these for arguments."""
    for rule in app.url_map.iter_rules():
        if not rule.endpoint.startswith("api."):
            continue
        if getattr(app.view_functions[rule.endpoint], SCOPE, None) is None:
            assert rule.endpoint in {"api.openapi", "api.docs", "api.problems"}, rule.endpoint
            continue
        with app.test_request_context():
            named = {name: values[name] for name in rule.arguments}
            path = app.url_map.bind("x").build(rule.endpoint, named)
        (method,) = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        yield rule.endpoint, method, path.removeprefix(PREFIX)


HOOKS = {"url": "https://portal.example/hooks"}
BODIES = {
    "api.choose_organization": {"sync": "PREVIEW"},
    "api.move_connection": {"state": "denied"},
    "api.replay_deliveries": {"since": "2026-05-01T08:00:00Z"},
}
"""Where an empty one is refused before anything is looked for."""


def test_objects_of_others_do_not_exist(app: Flask) -> None:
    ours, theirs = Program(app, "prairie"), Program(app, "acme")
    values = {
        "reference": theirs.grower()["connection"],
        "external_id": "7",
        "organization_id": "1",
        "link_id": theirs.call("POST", "/growers/7/links", {}).get_json()["id"],
        "endpoint_id": theirs.call("POST", "/webhook-endpoints", HOOKS).get_json()["id"],
        "number": "1",
    }
    for endpoint, method, path in addresses(app, values):
        if path.count("/") > 1 and endpoint != "api.put_grower":
            body = None if method == "GET" else BODIES.get(endpoint, {})
            assert wrong(ours.call(method, path, body)) == "not-found", path
    assert ours.call("GET", "/growers").get_json()["growers"] == []
    assert ours.call("GET", "/connections").get_json()["connections"] == []


def test_every_address_wants_a_key_with_the_scope(app: Flask) -> None:
    programs = {scope: Program(app, "prairie", scope) for scope in ApiScope}
    values = {
        "external_id": "none",
        "organization_id": "none",
        "reference": "NONE",
        "link_id": "00000000-0000-0000-0000-000000000007",
        "endpoint_id": "00000000-0000-0000-0000-000000000007",
        "number": "1",
    }
    seen = list(addresses(app, values))
    for endpoint, method, path in seen:
        for nobody in ("", "cjd_00000000_wrong"):
            headers = {"Authorization": f"Bearer {nobody}"} if nobody else {}
            answer = app.test_client().open(f"{PREFIX}{path}", method=method, headers=headers)
            assert wrong(answer) == ("key-unknown" if nobody else "key-missing")
            told = 'Bearer error="invalid_token"' if nobody else "Bearer"
            assert answer.headers["WWW-Authenticate"] == told
            assert "Set-Cookie" not in answer.headers
        scope = getattr(app.view_functions[endpoint], SCOPE)
        for has, program in programs.items():
            answer = program.call(method, path, {} if method != "GET" else None)
            assert (answer.status_code == 403) is (has is not scope), (path, has)
    assert len(seen) == 27


def test_what_can_not_be_used_is_named_and_nothing_happens(app: Flask) -> None:
    program = Program(app, "prairie")
    answer = program.call("PUT", "/growers/7", {"nome": "Maple", "email": "x" * 999})
    assert wrong(answer) == "invalid"
    fields = {one["field"] for one in answer.get_json()["errors"]}
    assert fields == {"nome", "name", "email"}
    named = {
        "email": {"name": "M", "email": "no"},
        "phone": {"name": "M", "phone": "call me"},
        "name": {"name": "M\nX-Injected: 1"},
    }
    for field, body in named.items():
        (one,) = program.call("PUT", "/growers/7", body).get_json()["errors"]
        assert one["field"] == field
    for name in ("a\u202eb", "a\x1b[31m"):
        assert wrong(program.call("PUT", "/growers/7", {"name": name})) == "invalid"
    (one,) = program.call("PUT", f"/growers/{'a' * 201}", {"name": "M"}).get_json()["errors"]
    assert one["field"] == "external_id"
    assert "errors" not in program.call("GET", "/growers/none").get_json(), "only where there are"
    taken = program.call("PUT", "/growers/7", {"name": "M", "leaf_user_id": "somebody-elses"})
    assert wrong(taken) == "invalid"
    assert wrong(program.call("PUT", "/growers/a%07b", {"name": "M"})) == "invalid"
    headers = {"Authorization": f"Bearer {program.key}"}
    text = program.client.put(f"{PREFIX}/growers/7", data="name=M", headers=headers)
    assert wrong(text) == "not-json"
    broken = program.client.put(
        f"{PREFIX}/growers/7", data="{", headers=headers, content_type="application/json"
    )
    assert wrong(broken) == "bad-request"
    assert wrong(program.call("PUT", "/growers/7", [1])) == "bad-request"
    large = program.call("PUT", "/growers/7", {"name": "M" * 70_000})
    assert wrong(large) == "too-large"
    assert wrong(program.call("GET", "/growers?limit=0")) == "invalid"
    assert wrong(program.call("GET", "/connections?after=x")) == "invalid"
    assert wrong(program.call("GET", "/nothing-here")) == "not-found"
    missing = program.call("PATCH", "/growers")
    assert wrong(missing) == "method-not-allowed"
    assert "GET" in missing.headers["Allow"]
    assert wrong(program.call("GET", "/growers/%00")) == "not-found"
    for odd in ("\xff", "\xed\xa0\x80"):
        # As servers hand it on; the test's client would repair it.
        sent = {"PATH_INFO": f"{PREFIX}/growers/{odd}"}
        answer = program.call("PUT", "/growers/7", {"name": "M"}, environ_overrides=sent)
        assert wrong(answer) == "bad-request"
    assert wrong(program.call("GET", "/growers?after=%FF")) == "bad-request"
    assert wrong(program.call("GET", "/connections?changed_since=5")) == "invalid"
    assert program.call("GET", "/growers").get_json()["growers"] == []


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/connections", {"changed_since": "0001-01-01T00:00:00+14:00"}),
        ("/connections", {"changed_since": "9999-12-31T23:59:59-14:00"}),
        ("/connections", {"changed_since": "2026-01-01T00:00:00"}),
        ("/connections", {"changed_since": "5"}),
        ("/connections", {"changed_since": "2026-01-01T00:00:00 01:00"}),
        ("/connections", {"after": pages.mark("1~0001-01-01T00:00:00+14:00")}),
        ("/connections", {"after": pages.mark("x")}),
        ("/connections", {"after": "1~2026-01-01T00:00:00+00:00"}),
        ("/connections", {"status": "\0"}),
        ("/growers", {"after": "\0"}),
        ("/growers", {"after": pages.mark("\0")}),
        ("/growers", {"after": pages.mark("7") + "="}),
        ("/growers", {"after": "a"}),
        ("/growers", {"after": "_w"}),
    ],
)
def test_what_no_database_takes_is_named(app: Flask, path: str, query: dict[str, str]) -> None:
    assert wrong(Program(app, "prairie").call("GET", path, query_string=query)) == "invalid"


def test_ids_with_slashes_and_spaces_are_those_of_one_grower(app: Flask) -> None:
    program = Program(app, "prairie")
    for id_ in ("b", "a/b", "a%2F%2Fb", "b%2F"):
        program.grower(id_, name=id_)
    for first in ("%2Fb", "/b", "%2F%2Fb"):
        answer = program.call("PUT", f"/growers/{first}", {"name": "another"})
        assert wrong(answer) == "not-found"
    known = program.call("GET", "/growers").get_json()["growers"]
    assert {one["external_id"]: one["name"] for one in known} == {
        "b": "b",
        "a/b": "a/b",
        "a//b": "a%2F%2Fb",
        "b/": "b%2F",
    }
    assert program.grower("%20x%20")["external_id"] == "x"
    assert program.call("GET", "/growers/%20x%20").get_json()["external_id"] == "x"
    assert program.call("POST", "/growers/%20x%20/links", {}).status_code == 201


def test_program_that_fills_in_what_is_left_out_forgets_nothing(app: Flask) -> None:
    told = app.test_client().get(f"{PREFIX}/openapi.json").get_json()
    described = told["components"]["schemas"]["GrowerIn"]
    assert [one for one in described["properties"].values() if "default" in one] == []
    assert described["required"] == ["name"]


def test_address_that_was_refused_is_another_only_if_it_is(
    app: Flask, fresh_database: Database
) -> None:
    program = Program(app, "prairie")

    def refused_at_first(**fields: Any) -> tuple[bool, list[str]]:
        """Whether it still is after that, and what the history says."""
        program.grower(email="old@farm.example")
        with fresh_database.transaction() as session:
            session.scalars(sa.select(Grower)).one().address_refused_at = now()
            session.execute(sa.delete(Event))
        program.grower(**fields)
        with fresh_database.reading() as session:
            grower = session.scalars(sa.select(Grower)).one()
            return grower.address_refused_at is not None, [*session.scalars(sa.select(Event.kind))]

    assert refused_at_first(email="old@farm.example") == (True, [])
    assert refused_at_first(email="new@farm.example") == (False, ["address_in_use_again"])
    assert refused_at_first(email=None) == (False, [])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"name": ' + "[" * 5_000 + "]" * 5_000 + "}", "bad-request"),
        ('{"name": "M", "\\ud800": 1}', "invalid"),
        ('{"name": "\\ud800"}', "invalid"),
    ],
)
def test_json_that_nothing_can_hold_is_refused(app: Flask, body: str, code: str) -> None:
    program = Program(app, "prairie")
    program.grower()
    for method, path in (("PUT", "/growers/7"), ("POST", "/growers/7/links")):
        answer = program.client.open(
            PREFIX + path,
            method=method,
            data=body,
            headers={"Authorization": f"Bearer {program.key}"},
            content_type="application/json",
        )
        assert wrong(answer) == code


def test_field_that_no_answer_can_hold_is_named_where_nothing_is_taken(app: Flask) -> None:
    program = Program(app, "prairie")
    path = f"{PREFIX}/connections/{program.grower()['connection']}/recheck"
    headers = {"Authorization": f"Bearer {program.key}"}
    answer = program.client.post(
        path, data='{"\\ud800": 1}', headers=headers, content_type="application/json"
    )
    assert wrong(answer) == "invalid"
    assert answer.get_json()["errors"][0]["field"] == "\\ud800"


def test_text_with_nul_is_refused(app: Flask) -> None:
    assert wrong(Program(app, "prairie").call("PUT", "/growers/%00", {"name": "a"})) == "invalid"
    for body in ({"name": "a\0b"}, {"name": "a", "email": "\0@farm.example"}):
        assert wrong(Program(app, "prairie").call("PUT", "/growers/8", body)) == "invalid"


def test_every_answer_tells_what_is_left_of_a_key_in_all_processes(
    app: Flask,
    settings_for: SettingsFor,
    httpserver: ThreadedServer,
    fresh_database: Database,
    fresh_url: str,
) -> None:
    program, other = Program(app, "prairie"), Program(app, "prairie")
    second = create_app(settings_for(httpserver, database_url=fresh_url))
    answers = [program.call("GET", path) for path in ("/growers", "/growers?limit=0", "/growers/8")]
    assert [one.status_code for one in answers] == [200, 422, 404]
    assert [left(one, "r") for one in answers] == [599, 598, 597]
    assert answers[0].headers["RateLimit-Policy"] == '"default";q=600;w=60'
    program.client = second.test_client()
    assert left(program.call("GET", "/growers"), "r") == 596, "another process"

    with fresh_database.transaction() as session:
        row = session.scalars(sa.select(ApiKey).where(ApiKey.prefix == program.prefix)).one()
        assert row.used_at is not None
        row.window_count = 599
    assert left(program.call("GET", "/growers"), "r") == 0
    refused = program.call("GET", "/growers")
    assert wrong(refused) == "too-many-requests"
    assert left(refused, "r") == 0
    assert 0 < int(refused.headers["Retry-After"]) == left(refused, "t") <= 60
    assert left(other.call("GET", "/growers"), "r") == 599, "another key has its own"
    with fresh_database.transaction() as session:
        row = session.scalars(sa.select(ApiKey).where(ApiKey.prefix == program.prefix)).one()
        assert row.window_began_at is not None
        row.window_began_at -= timedelta(minutes=1)
    assert left(program.call("GET", "/growers"), "r") == 599, "the next minute"
    second.extensions["onboarding"].database.engine.dispose()


def left(answer: TestResponse, name: str) -> int:
    found = re.fullmatch(r'"[a-z-]+";r=(?P<r>\d+);t=(?P<t>\d+)', answer.headers["RateLimit"])
    assert found is not None
    return int(found[name])


def test_who_has_no_key_or_tries_keys_is_told_for_how_long_to_wait(app: Flask) -> None:
    limiter.reset()
    client = app.test_client()
    for path in ("openapi.json", "growers"):
        told = client.get(f"{PREFIX}/{path}")
        assert told.headers["RateLimit-Policy"] == '"address";q=600;w=60'
        assert left(told, "t") in range(1, 61), "within the window"

    def tries(number: int) -> TestResponse:
        key = f"Bearer cjd_{number}"
        return client.get(f"{PREFIX}/growers", headers={"Authorization": key})

    made_up = {"Authorization": "Bearer x"}
    told = client.get(f"{PREFIX}/openapi.json", headers=made_up)
    assert told.headers["RateLimit-Policy"] == '"address";q=600;w=60', "counted all the same"

    guesses = [tries(number) for number in range(61)]
    assert wrong(guesses[-2]) == "key-unknown"
    assert guesses[0].headers["RateLimit"].startswith('"wrong-keys";r=59;')
    assert wrong(guesses[-1]) == "too-many-requests"
    assert 0 < int(guesses[-1].headers["Retry-After"]) <= 60
    assert Program(app, "acme").call("GET", "/growers").status_code == 200, "a good key goes on"
    limiter.reset()


def test_a_household_has_one_number_of_wrong_keys_however_many_addresses(app: Flask) -> None:
    limiter.reset()
    client = app.test_client()
    for host, remaining in (("2001:db8::1", 59), ("2001:db8::2", 58), ("2001:db8:0:1::1", 59)):
        told = client.get(
            f"{PREFIX}/growers",
            headers={"Authorization": "Bearer cjd_x"},
            environ_base={"REMOTE_ADDR": host},
        )
        assert left(told, "r") == remaining, host
    limiter.reset()


def test_key_is_shown_once_works_until_it_is_rotated_for_a_day_and_revoked(
    app: Flask, fresh_database: Database
) -> None:
    run = app.test_cli_runner().invoke
    made = run(args=["key", "add", "prairie", "--name", "portal"])
    assert made.exit_code == 0, made.output
    old = made.stdout.strip()
    program = Program(app, "prairie")
    program.key = old
    assert program.call("GET", "/growers").status_code == 200
    prefix = "_".join(old.split("_")[:2])
    new = run(args=["key", "rotate", prefix]).stdout.strip()
    for key in (old, new):
        program.key = key
        assert program.call("GET", "/growers").status_code == 200
    with fresh_database.transaction() as session:
        stored = session.scalars(sa.select(ApiKey).where(ApiKey.prefix == prefix)).one()
        assert old.encode() not in stored.digest
        stored.expires_at = now()
    program.key = old
    assert wrong(program.call("GET", "/growers")) == "key-unknown"
    run(args=["key", "revoke", "_".join(new.split("_")[:2])])
    program.key = new
    assert wrong(program.call("GET", "/growers")) == "key-unknown"
    listed = run(args=["key", "list", "prairie"]).stdout
    assert "revoked" in listed
    assert new not in listed
    with fresh_database.reading() as session:
        lines = session.scalars(sa.select(Audit)).all()
    assert {line.action for line in lines} >= {"key.add", "key.rotate", "key.revoke"}
    assert not any(secret in str(line.data) for line in lines for secret in (old, new))


def test_description_names_every_address_and_can_be_read(app: Flask) -> None:
    client = app.test_client()
    told = client.get(f"{PREFIX}/openapi.json").get_json()
    assert told["openapi"].startswith("3.1")
    described = {
        (path, method.upper()) for path, methods in told["paths"].items() for method in methods
    }
    assert len(described) == 27
    for operation in (one for methods in document()["paths"].values() for one in methods.values()):
        assert "application/problem+json" in operation["responses"]["401"]["content"]
        assert operation["summary"]
        (needed,) = operation["security"][0]["key"]
        assert f"the scope `{needed}`" in operation["description"]
        assert all(one["description"] for one in operation.get("parameters", ()))
        assert "Retry-After" in operation["responses"]["429"]["headers"]
    growers = told["paths"][f"{PREFIX}/growers/{{external_id}}"]
    links = told["paths"][f"{PREFIX}/growers/{{external_id}}/links"]
    assert growers["put"]["requestBody"]["required"] is True
    assert links["post"]["requestBody"]["required"] is False, "it may be left out"
    assert Program(app, "prairie").call("POST", "/growers/7/links").status_code == 404
    page = client.get(f"{PREFIX}/docs")
    assert page.status_code == 200
    for shown in (
        "Create a grower, or bring one up to date",
        "What is left out stays; null forgets it",
        "<code>organizations[].is_owed</code>",  # what is answered, with what is within
        "temporarily_unavailable, unconfirmed",  # what it may be
        "it is <code>disconnecting</code>",
        "Needs a key with the scope <code>act</code>",
    ):
        assert shown in page.text, shown
    anchors = {
        f'href="#{one["operationId"]}"' for ones in told["paths"].values() for one in ones.values()
    }
    assert [one for one in anchors if one not in page.text] == []
    places = [
        page.text.index(f'href="#{one}"') for one in ("put_grower", "get_connection", "events")
    ]
    assert places == sorted(places)
    assert told["webhooks"].keys() == {*WebhookEvent, "test"}
    guide = (ROOT / "docs/partners.md").read_text().replace("**", "")
    for event, when in messages.WHEN.items():
        assert f"| `{event.value}` | {when} |" in guide
    problems = client.get(f"{PREFIX}/problems").text
    assert 'id="key-missing"' in problems
    assert "<code>errors</code> says which" in problems
    assert f'href="{PREFIX}/docs"' in problems
