"""The API's own description: for programs (OpenAPI), and for people."""

from __future__ import annotations

from functools import cache
from typing import Any

from flask import Flask, render_template
from flask.typing import ResponseReturnValue

from onboarding.views.api.parts import PREFIX, PROBLEM, PROBLEMS, bp, spec
from onboarding.views.parts import installation


@bp.get("/openapi.json")
def openapi() -> dict[str, Any]:
    """OpenAPI 3.1."""
    return document() | {"servers": [{"url": installation().settings.public_url}]}


@bp.get("/docs")
def docs() -> ResponseReturnValue:
    """The same, to be read."""
    return render_template("api/docs.html", document=document(), prefix=PREFIX)


@bp.get("/problems")
def problems() -> ResponseReturnValue:
    """What each `type` of a problem means."""
    return render_template("api/problems.html", problems=PROBLEMS)


def init_app(app: Flask) -> None:
    """Let the description know the app's addresses."""
    spec.app = app


@cache
def document() -> dict[str, Any]:
    """Made from the views; problems have a type of their own."""
    made: dict[str, Any] = spec.spec
    for path in made["paths"].values():
        for operation in path.values():
            operation["security"] = [{"key": []}]
            for status, answer in operation["responses"].items():
                content = answer.get("content", {})
                if status >= "400" and "application/json" in content:
                    content[PROBLEM] = content.pop("application/json")
    made.setdefault("components", {})["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "A key of yours: cjd_…"}
    }
    return made
