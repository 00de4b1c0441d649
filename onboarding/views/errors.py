"""Pages for what went wrong. They run no query and call nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask, current_app, g, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, HTTPException, InternalServerError, MethodNotAllowed

from onboarding import describe
from onboarding.views import api
from onboarding.views.staff.parts import page_before


def init_app(app: Flask) -> None:
    """Answer every HTTP error, and every crash, with a page in our words."""
    app.register_error_handler(HTTPException, _show)


def _show(error: HTTPException) -> ResponseReturnValue:
    if error.response is not None:
        return error.response
    status = error.code or InternalServerError.code
    if request.path.startswith(f"{api.PREFIX}/"):
        return api.answer_error(error, reference=g.get("crash_reference"))
    if request.path.startswith("/staff/"):
        return _show_staff(status), status
    token = _token(error)
    told = describe.problem(
        str(status),
        back=url_for("connect.show", token=token) if token else None,
        reference=g.get("crash_reference"),
    )
    page = render_template("errors/error.html", status=status, told=told)
    return page, status, error.get_headers()[1:] if status == 405 else []


def _show_staff(status: int | None) -> str:
    """In the dashboard's own frame; with the menu, where it is known who is signed in."""
    told = describe.problem(
        f"staff_{status}",
        back=page_before() if status == BadRequest.code else None,
        reference=g.get("crash_reference"),
    )
    return render_template("staff/problem.html", status=status, told=told)


def _token(error: HTTPException) -> str | None:
    """The link in the request's path, whatever is below it."""
    path: Mapping[str, Any] = request.view_args or {}
    # A button's address, opened by itself: of what may not be done Flask keeps no path.
    adapter = current_app.create_url_adapter(request)
    if isinstance(error, MethodNotAllowed) and error.valid_methods and adapter:
        _, path = adapter.match(method=next(iter(error.valid_methods)))
    return path.get("token")
