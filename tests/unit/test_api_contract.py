"""The API keeps what its description promises, whatever is sent: made up by schemathesis."""

from __future__ import annotations

from typing import Any, TypeAlias

import hypothesis
import pytest
import schemathesis
from flask import Flask
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from onboarding.partners import quota
from onboarding.states import ApiScope
from onboarding.views.api.parts import PREFIX
from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.serving import running

Operation: TypeAlias = APIOperation[Any, Any, Any, Any]
EXAMPLES = 12
"""Of each address, for each key."""
CHECKED = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


# Of the two databases the one that takes less.
@pytest.mark.parametrize("fresh_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("scopes", [tuple(ApiScope), (ApiScope.READ,)], ids=["all", "few"])
def test_answers_are_as_described(
    app: Flask, scopes: tuple[ApiScope, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quota, "REQUESTS", 10**6)
    key, known = Program(app, "prairie", *scopes).key, known_ids(Program(app, "prairie"))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    seen: dict[str, set[int]] = {}
    with running(app, port):
        described = schemathesis.openapi.from_url(f"{url}{PREFIX}/openapi.json")
        for found in described.get_all_operations():
            assert isinstance(found, Ok), found
            operation = found.ok()
            statuses = seen.setdefault(operation.label, set())
            for case in made_up(operation, known):
                answer = case.call(base_url=url, headers={"Authorization": f"Bearer {key}"})
                case.validate_response(answer, checks=CHECKED)
                statuses.add(answer.status_code)
    failed = {label for label, statuses in seen.items() if max(statuses) >= 500}
    assert not {label for label in failed if "/sandbox/" not in label}, "no sandbox answers here"
    done = {label for label, statuses in seen.items() if min(statuses) < 300}
    writes_done = {label for label in done if not label.startswith("GET ")}
    assert f"GET {PREFIX}/connections/{{reference}}" in done
    assert bool(writes_done) is (ApiScope.WRITE in scopes), writes_done


def made_up(operation: Operation, known: dict[str, str]) -> list[Case[Operation]]:
    """Requests as the description allows them, and others; of what there is, and of nothing."""
    names = {one.name for one in operation.path_parameters}
    ids = {name: known[name] for name in names & set(known)}
    found: list[Case[Operation]] = []

    @hypothesis.settings(max_examples=EXAMPLES, phases=[hypothesis.Phase.generate])
    @hypothesis.given(data=st.data())
    def make(data: st.DataObject) -> None:
        mode = data.draw(st.sampled_from(list(GenerationMode)))
        there = data.draw(st.sampled_from([{}, {"path_parameters": ids}]))
        found.append(data.draw(operation.as_strategy(mode, **there)))

    make()
    return found


def known_ids(program: Program) -> dict[str, Any]:
    """What stands in addresses, of things that there are."""
    reference = program.grower()["connection"]
    link = program.call("POST", "/growers/7/links", {}).get_json()["id"]
    return {"external_id": "7", "reference": reference, "link_id": link}
