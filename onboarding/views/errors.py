"""Pages for what went wrong. They run no query and call nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask, current_app, g, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, InternalServerError, MethodNotAllowed

from onboarding import describe


def init_app(app: Flask) -> None:
    """Answer every HTTP error, and every crash, with a page in our words."""
    app.register_error_handler(HTTPException, _show)


def _show(error: HTTPException) -> ResponseReturnValue:
    if error.response is not None:
        return error.response
    status = error.code or InternalServerError.code
    token = _token(error)
    is_for_staff = request.path.startswith("/staff/")
    told = describe.problem(
        f"staff_{status}" if is_for_staff else str(status),
        back=url_for("connect.show", token=token) if token else None,
        reference=g.get("crash_reference"),
    )
    page = render_template("errors/error.html", status=status, told=told)
    return page, status, error.get_headers()[1:] if status == 405 else []


def _token(error: HTTPException) -> str | None:
    """The link in the request's path, whatever is below it."""
    path: Mapping[str, Any] = request.view_args or {}
    # A button's address, opened by itself: of what may not be done Flask keeps no path.
    adapter = current_app.create_url_adapter(request)
    if isinstance(error, MethodNotAllowed) and error.valid_methods and adapter:
        _, path = adapter.match(method=next(iter(error.valid_methods)))
    return path.get("token")
