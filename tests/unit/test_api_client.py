"""What a partner's developer reads is enough: programs made of the documentation alone."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from flask import Flask

from onboarding import create_app
from onboarding.connections import partnership
from onboarding.db import Database
from onboarding.views.api.parts import PREFIX
from tests.support.ports import free_port
from tests.support.serving import running
from tests.support.stack import ROOT
from tests.unit.conftest import SettingsFor
from tests.unit.failures import ThreadedServer

GUIDE = (ROOT / "docs/partners.md").read_text()
TEN_MINUTES = "".join(GUIDE.partition("## Ten minutes")[2].partition("\n## ")[0].split("```")[1::2])
"""The blocks of its first part."""
COMMAND = re.compile(r"\.venv/bin/python -m onboarding\.local ([^)\n]+)")
CURL = re.compile(r"curl (?:.*\\\n)*.*")
TIMEOUT_SECONDS = 20.0
# The guide's world has it.
PARTNER = "heartland"


class Client:
    """Knows the address of the description, and a key."""

    def __init__(self, origin: str, key: str) -> None:
        self.origin = origin
        self.session = requests.Session()
        self.document = self.session.get(
            f"{origin}{PREFIX}/openapi.json", timeout=TIMEOUT_SECONDS
        ).json()
        scheme = self.document["components"]["securitySchemes"]["key"]
        assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
        self.session.headers["Authorization"] = f"Bearer {key}"
        self.operations = {
            operation["operationId"]: (method, path, operation)
            for path, methods in self.document["paths"].items()
            for method, operation in methods.items()
        }

    def ask(self, name: str, body: Any = None, **values: Any) -> Any:
        """Do what an operation's description says, and hold its answer to it."""
        method, path, operation = self.operations[name]
        places = {one["name"]: one["in"] for one in operation.get("parameters", [])}
        assert set(values) <= set(places), name
        assert (body is None) is ("requestBody" not in operation), name
        answer = self.session.request(
            method,
            self.origin + path.format(**values),
            params={key: value for key, value in values.items() if places[key] == "query"},
            headers={key: str(uuid.uuid4()) for key in places if key == "Idempotency-Key"},
            json=body,
            timeout=TIMEOUT_SECONDS,
        )
        described = operation["responses"][str(answer.status_code)]
        assert answer.ok, answer.text
        assert set(described["headers"]) - {"Idempotency-Replayed"} <= set(answer.headers)
        content = described.get("content")
        if content is None:
            assert not answer.content
            return None
        told = answer.json()
        schema = self.resolved(content[answer.headers["Content-Type"]]["schema"])
        assert set(schema["required"]) <= set(told) <= set(schema["properties"])
        return told

    def all(self, name: str, field: str, **values: Any) -> list[Any]:
        """All pages of a list, as the guide says: `next` handed back as `after`."""
        page = self.ask(name, **values)
        rows: list[Any] = page[field]
        while page["next"] is not None:
            page = self.ask(name, **values, after=page["next"])
            rows += page[field]
        return rows

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        name = schema["$ref"].removeprefix("#/components/schemas/")
        found: dict[str, Any] = self.document["components"]["schemas"][name]
        return found


@pytest.fixture
def app(
    settings_for: SettingsFor, httpserver: ThreadedServer, fresh_database: Database, fresh_url: str
) -> Iterator[Flask]:
    made = create_app(settings_for(httpserver, database_url=fresh_url))
    with fresh_database.transaction() as session:
        partnership.add_partner(session, slug=PARTNER, name="Heartland")
    yield made
    made.extensions["onboarding"].database.engine.dispose()


@pytest.fixture
def origin(app: Flask) -> Iterator[str]:
    port = free_port()
    with running(app, port):
        yield f"http://127.0.0.1:{port}"


def output(app: Flask, *command: str) -> str:
    done = app.test_cli_runner().invoke(args=command)
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


@pytest.mark.parametrize("fresh_url", ["sqlite"], indirect=True)
def test_description_is_enough_for_a_client(app: Flask, origin: str) -> None:
    key = output(
        app,
        "key",
        "add",
        PARTNER,
        "--name",
        "x",
        *shlex.split("--scope read --scope write --scope act"),
    )
    client = Client(origin, key)
    growers = [
        client.ask("put_grower", {"name": f"Farm {number}"}, external_id=f"farm-{number}")
        for number in range(3)
    ]
    link = client.ask("make_link", {"days": 7}, external_id="farm-1")
    assert "/c/" in link["url"]
    token = client.ask("make_embed_token", {}, external_id="farm-1")
    assert token["url"].endswith(token["token"])
    assert client.all("list_growers", "growers", limit=2) == growers
    references = {
        one["reference"] for one in client.all("list_connections", "connections", limit=2)
    }
    assert references == {one["connection"] for one in growers}
    reference = growers[1]["connection"]
    assert client.ask("get_connection", reference=reference)["status"]["who"] == "grower"
    assert client.all("list_history", "events", reference=reference)[0]["by"] == "partner"
    assert client.ask("recheck", reference=reference) is None
    assert client.ask("revoke_link", link_id=link["id"]) is None


@pytest.mark.parametrize("fresh_url", ["sqlite"], indirect=True)
def test_commands_of_the_guide_do_what_they_say(app: Flask, origin: str) -> None:
    make_key, list_origin = COMMAND.findall(TEN_MINUTES)
    assert f"KEY=$(.venv/bin/python -m onboarding.local {make_key})" in TEN_MINUTES, "for curl"
    key = output(app, *shlex.split(make_key))
    output(app, *shlex.split(list_origin))
    curls = CURL.findall(TEN_MINUTES)
    assert len(curls) >= 2
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    answers = []
    for command in curls:
        line = command.replace("http://localhost:8000", origin)
        done = subprocess.run(
            ["bash", "-c", f"{line} --fail-with-body --silent"],
            env={"PATH": os.environ["PATH"], "KEY": key},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        answers.append(done.stdout)
    assert '"token":"' in answers[1]
