"""Pages for what went wrong. They run no query and call nobody."""

from __future__ import annotations

from flask import Flask, render_template
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
    page = render_template("errors/error.html", status=status, told=describe.problem(str(status)))
    return page, status, error.get_headers()[1:] if status == 405 else []
