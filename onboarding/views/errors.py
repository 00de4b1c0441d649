"""Pages for what went wrong. They run no query and call nobody."""

from __future__ import annotations

from flask import Flask, g, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, InternalServerError

from onboarding import describe


def init_app(app: Flask) -> None:
    """Answer every HTTP error, and every crash, with a page in our words."""
    app.register_error_handler(HTTPException, _show)


def _show(error: HTTPException) -> ResponseReturnValue:
    if error.response is not None:
        return error.response
    status = error.code or InternalServerError.code
    token = (request.view_args or {}).get("token")
    told = describe.problem(
        str(status),
        back=url_for("connect.show", token=token) if token else None,
        reference=g.get("crash_reference"),
    )
    page = render_template("errors/error.html", status=status, told=told)
    return page, status, error.get_headers()[1:] if status == 405 else []
