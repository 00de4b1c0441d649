"""A program of a partner's, which calls the API as theirs would."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from onboarding.partners import keys
from onboarding.staff import partners
from onboarding.states import ApiScope
from onboarding.views.api.parts import PREFIX


class Program:
    """A program of a partner's."""

    def __init__(self, app: Flask, slug: str, *scopes: ApiScope) -> None:
        self.client: FlaskClient = app.test_client()
        with app.extensions["onboarding"].database.transaction() as session:
            partner = partners.named(session, slug)
            made, self.key = keys.make(
                session, partner, name="a test", scopes=scopes or list(ApiScope)
            )
            self.prefix = made.prefix

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.key}"}
        return self.client.open(
            f"{PREFIX}{path}", method=method, json=body, headers=headers, **more
        )

    def grower(self, external_id: str = "7", **fields: Any) -> dict[str, Any]:
        answer = self.call("PUT", f"/growers/{external_id}", {"name": "Maple Farm", **fields})
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.get_json()
        return told


def wrong(answer: TestResponse) -> str:
    """The problem's code."""
    assert answer.content_type == "application/problem+json", answer.text
    told = answer.get_json()
    assert told["status"] == answer.status_code
    assert told["detail"]
    code: str = told["type"].partition("#")[2]
    return code
