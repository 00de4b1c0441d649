"""The API's own description: for programs (OpenAPI), and for people."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from flask import Flask, render_template
from flask.typing import ResponseReturnValue

from onboarding.partners import repeats
from onboarding.views.api import guide
from onboarding.views.api.parts import KEY_PROBLEMS, PROBLEM, PROBLEMS, bp, spec
from onboarding.views.api.writes import KEY, METHODS, REPLAYED
from onboarding.views.parts import installation

CONVERTER = re.compile(r"<(?:\w+:)?(\w+)>")
WRITES_ANSWER = (409, 413, 415)


@bp.get("/openapi.json")
def openapi() -> dict[str, Any]:
    """OpenAPI 3.1."""
    return document() | {"servers": [{"url": installation().settings.public_url}]}


@bp.get("/docs")
def docs() -> ResponseReturnValue:
    """The same, to be read."""
    told = document()
    return render_template("api/docs.html", groups=guide.groups(told), **told["info"])


@bp.get("/problems")
def problems() -> ResponseReturnValue:
    """What each `type` of a problem means."""
    usual = [(code, status, sentence) for status, (code, sentence) in PROBLEMS.items()]
    of_keys = [(code, *told) for code, told in KEY_PROBLEMS.items()]
    return render_template("api/problems.html", problems=[*usual, *of_keys])


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
            operation["operationId"] = names[method.upper(), address]
            operation["security"] = [{"key": []}]
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
    return made


def _names() -> dict[tuple[str, str], str]:
    """Of the views, by method and address: programs make names of their own of them."""
    return {
        (method, CONVERTER.sub(r"{\1}", rule.rule)): rule.endpoint.removeprefix(f"{bp.name}.")
        for rule in spec.app.url_map.iter_rules()
        for method in rule.methods or ()
    }


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
    for answer in responses.values():
        answer.setdefault("headers", {})[REPLAYED] = {
            "description": "`true`: the answer that this key was given before.",
            "schema": {"type": "string", "enum": ["true"]},
        }
