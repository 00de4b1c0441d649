"""Where the mails that the simulated mail server took are listed and shown."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, make_response, render_template, request, url_for

from onboarding.sandbox.runtime import as_json, sandbox

bp = Blueprint("mailbox", __name__)

SHOWN = 100
FRAME_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'self'; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)
"""A mail's own HTML, as mail programs treat it: no script, nothing from elsewhere."""


@bp.get("/control/mails")
def mails() -> Response:
    """The newest mails, oldest of them first; `?to=` filters.

    `[{"id", "received", "sender", "recipient", "subject", "headers", "text", "html"}]`, with
    `headers` as a list of names and values.
    """
    found = sandbox().mailbox.newest(SHOWN, to=request.args.get("to"))
    return as_json(found[::-1])


@bp.get("/mail")
def listed() -> Response:
    """All mails."""
    html = render_template(
        "sandbox/mails.html", account=None, mails=sandbox().mailbox.newest(SHOWN)
    )
    return make_response(html)


@bp.get("/mail/<int:id>")
def show(id: int) -> Response:
    """A mail: its headers, its HTML in a frame, its text."""
    frame = url_for("mailbox.frame", id=id)
    response = make_response(
        render_template("sandbox/mail.html", account=None, mail=_known(id), frame=frame)
    )
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'self'; frame-src 'self'; base-uri 'none'; "
        "frame-ancestors 'none'; form-action 'none'"
    )
    return response


@bp.get("/mail/<int:id>/html")
def frame(id: int) -> Response:
    """The HTML of a mail alone."""
    # Its links open in a new window: the app's pages refuse to stand in a frame.
    html = _known(id)["html"].replace("<head>", '<head><base target="_blank">', 1)
    response = make_response(html)
    response.headers["Content-Security-Policy"] = FRAME_POLICY
    return response


def _known(id: int) -> dict[str, Any]:
    return sandbox().mailbox.get(id) or abort(404)
