"""The API's own description: for programs (OpenAPI), and for people."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from flask import Flask, render_template
from flask.typing import ResponseReturnValue

from onboarding.partners import repeats
from onboarding.states import TEST_EVENT, WebhookEvent
from onboarding.views.api import examples, guide, messages
from onboarding.views.api.parts import MORE_PROBLEMS, PROBLEM, PROBLEMS, SCOPE, bp, spec
from onboarding.views.api.writes import KEY, METHODS, REPLAYED
from onboarding.views.parts import installation

CONVERTER = re.compile(r"<(?:\w+:)?(\w+)>")
WRITES_ANSWER = (409, 413, 415)
IN_ADDRESSES = {
    "external_id": "Your own id of the grower, percent-encoded, slashes as well; none is first.",
    "reference": "Reference code of the connection: `connection` of its grower.",
    "organization_id": "`id` of the organization, which is John Deere's.",
    "link_id": "`id` of the link or token.",
    "endpoint_id": "`id` of the endpoint.",
    "number": "`id` of the delivery.",
}
"""What stands in addresses, by name."""


@bp.get("/openapi.json")
def openapi() -> dict[str, Any]:
    """OpenAPI 3.1."""
    return document() | {"servers": [{"url": installation().settings.public_url}]}


@bp.get("/docs")
def docs() -> ResponseReturnValue:
    """The same, to be read."""
    told = document()
    return render_template(
        "api/docs.html",
        groups=guide.groups(told),
        message=guide.message(told),
        events={**messages.WHEN, TEST_EVENT: messages.TEST_WHEN},
        sent=examples.written(examples.message(WebhookEvent.CONNECTED)),
        url=installation().settings.public_url,
        **told["info"],
    )


@bp.get("/problems")
def problems() -> ResponseReturnValue:
    """What each `type` of a problem means."""
    usual = [(code, status, sentence) for status, (code, sentence) in PROBLEMS.items()]
    more = [(code, *told) for code, told in MORE_PROBLEMS.items()]
    told = sorted([*usual, *more], key=lambda one: one[1])
    return render_template("api/problems.html", problems=told, title=document()["info"]["title"])


def init_app(app: Flask) -> None:
    """Let the description know the app's addresses."""
    spec.app = app


@cache
def document() -> dict[str, Any]:
    """Made from the views; problems have a type of their own, operations the views' names."""
    made: dict[str, Any] = spec.spec
    names = _names()
    for address, path in made["paths"].items():
        for method, operation in path.items():
            name = operation["operationId"] = names[method.upper(), address]
            _describe(operation, getattr(spec.app.view_functions[f"{bp.name}.{name}"], SCOPE))
            if method.upper() in METHODS:
                _describe_write(operation)
            for status, answer in operation["responses"].items():
                content = answer.get("content", {})
                if status >= "400" and "application/json" in content:
                    content[PROBLEM] = content.pop("application/json")
                answer.setdefault("headers", {}).update(_limits(status))
    made.setdefault("components", {})["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "A key of yours: cjd_…"}
    }
    made["components"]["schemas"] |= messages.schemas()
    made["webhooks"] = messages.webhooks()
    examples.add(made)
    return made


def _names() -> dict[tuple[str, str], str]:
    """Of the views, by method and address: programs make names of their own of them."""
    return {
        (method, CONVERTER.sub(r"{\1}", rule.rule)): rule.endpoint.removeprefix(f"{bp.name}.")
        for rule in spec.app.url_map.iter_rules()
        for method in rule.methods or ()
    }


def _describe(operation: dict[str, Any], scope: str) -> None:
    """What the views' signatures and first lines say, so that it can be read."""
    operation["security"] = [{"key": [scope]}]
    first, _, more = operation["summary"].partition(". ")
    operation["summary"] = first.removesuffix(".")
    needed = f"Needs a key with the scope `{scope}`."
    operation["description"] = f"{more} {needed}".strip()
    for one in operation.get("parameters", ()):
        if one["in"] == "path":
            one["description"] = IN_ADDRESSES[one["name"]]
            if one["schema"].get("format") == "path":
                del one["schema"]["format"]
    body = operation.get("requestBody")
    if body is not None:
        (content,) = body["content"].values()
        schema = spec.spec["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        body["required"] = bool(schema.get("required"))


def _limits(status: str) -> dict[str, Any]:
    """The headers that say how much may still be asked."""
    told = {
        "RateLimit-Policy": "How much may be asked: `q` requests in `w` seconds.",
        "RateLimit": "What is left of it: `r` requests, for `t` seconds.",
    }
    if status == "429":
        told["Retry-After"] = "After so many seconds the next request is let in."
    return {
        name: {"description": text, "schema": {"type": "string"}} for name, text in told.items()
    }


def _describe_write(operation: dict[str, Any]) -> None:
    """What all writes take and answer, besides what is theirs."""
    operation.setdefault("parameters", []).append(
        {
            "name": KEY,
            "in": "header",
            "required": False,
            "description": (
                "Chosen by you, another one for each write. The same write with the same key is "
                "done once: for 24 hours you get the first answer again."
            ),
            "schema": {"type": "string", "minLength": 1, "maxLength": repeats.KEY_MAX},
        }
    )
    responses = operation["responses"]
    for status in WRITES_ANSWER:
        sentence = PROBLEMS[status][1]
        responses.setdefault(str(status), responses["422"] | {"description": sentence})
    responses["409"]["headers"] = {
        "Retry-After": {
            "description": "With `request-running`: after so many seconds.",
            "schema": {"type": "string"},
        }
    }
    for answer in responses.values():
        answer.setdefault("headers", {})[REPLAYED] = {
            "description": "`true`: the answer that this key was given before.",
            "schema": {"type": "string", "enum": ["true"]},
        }
