"""What happens around every request: journal, faults, headers."""

from __future__ import annotations

import hashlib
import ipaddress
import time
from typing import Any

from flask import Flask, Response, abort, current_app, g, request
from werkzeug.exceptions import HTTPException

from onboarding.sandbox.runtime import POINT, as_json, sandbox

PAGES = frozenset({"company.authorize", "deere.authorize", "deere.connections"})
"""Points that a browser visits; they can fail, but the journal holds API requests only."""

APIS = ("/api/", "/control/", "/platform", "/services/")
HASH_PREFIX_CHARS = 12


def init_app(app: Flask) -> None:
    """Put the gate around an app."""
    app.before_request(_arrive)
    app.after_request(_leave)
    app.after_request(_headers)
    app.register_error_handler(HTTPException, _error)


def points(app: Flask) -> frozenset[str]:
    """Every point of the app's views."""
    found = (getattr(view, POINT, None) for view in app.view_functions.values())
    return frozenset(point for point in found if point)


def token_hash(refresh_token: str) -> str:
    """A name for a refresh token that does not give it away."""
    return hashlib.sha256(refresh_token.encode()).hexdigest()[:HASH_PREFIX_CHARS]


def _arrive() -> Response | None:
    if request.path.startswith("/control"):
        _only_this_machine()
    view = current_app.view_functions.get(request.endpoint or "")
    g.point = getattr(view, POINT, None)
    if g.point is None:
        return None
    g.who = _who()
    g.entry = None if g.point in PAGES else sandbox().journal.open(**_described())
    g.reached = True
    answer = _strike("before") or _too_many()
    g.reached = answer is None
    return answer


def _leave(response: Response) -> Response:
    if g.get("point") is None:
        return response
    if g.reached:
        _note(stored=True)
        response = _strike("after") or response
    _note(status=response.status_code, answered=True)
    return response


def _too_many() -> Response | None:
    """Leaf's limit, in the words of its documentation's draft; no `Retry-After`."""
    allowed = int(sandbox().policies["leaf_requests_per_minute"])
    if not g.point.startswith("leaf.") or sandbox().pace.admits(allowed):
        return None
    message = (
        f"You have exceeded the maximum allowed requests of {allowed} per minute. "
        "Please reduce your request rate and try again after a short delay."
    )
    return as_json({"error": "Request limit exceeded", "message": message, "status_code": 429}, 429)


def _strike(when: str) -> Response | None:
    fault = sandbox().faults.next(g.point, when, g.who)
    if fault is None:
        return None
    if g.entry is not None:
        sandbox().journal.update(g.entry, fault=fault.kind)
    return sandbox().faults.strike(fault)


def _note(*, status: int | None = None, stored: bool = False, answered: bool = False) -> None:
    if g.entry is None:
        return
    fields: dict[str, Any] = {}
    if stored:
        fields["stored"] = time.time()
    if answered:
        fields |= {"answered": time.time(), "status": status}
    sandbox().journal.update(g.entry, **fields)


def _headers(response: Response) -> Response:
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    if response.mimetype == "text/html":
        # form-action names the app too: Chromium applies it to the redirect after "Allow".
        response.headers.setdefault(
            "Content-Security-Policy",
            "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none';"
            f" frame-ancestors 'none'; form-action 'self' {sandbox().config.public_url}",
        )
    return response


def _error(error: HTTPException) -> Response:
    """Paths and methods that don't exist: JSON for programs, a page for people."""
    if not request.path.startswith(APIS):
        return Response(error.get_body(), error.code, content_type="text/html;charset=UTF-8")
    return as_json({"title": error.name, "status": error.code}, error.code or 500)


def _only_this_machine() -> None:
    if not ipaddress.ip_address(request.remote_addr or "0.0.0.0").is_loopback:  # noqa: S104
        abort(403)


def _described() -> dict[str, Any]:
    body = request.get_json(silent=True) if request.is_json else None
    fields = sorted(body) if isinstance(body, dict) else sorted(request.form)
    token = body.get("refreshToken") if isinstance(body, dict) else None
    return {
        "point": g.point,
        "method": request.method,
        "path": request.path,
        "fields": fields,
        "refresh_token_sha256": token_hash(token) if isinstance(token, str) else None,
        **g.who,
    }


def _who() -> dict[str, str | None]:
    """Whom a request is about, as far as can be told before it is handled."""
    body = request.get_json(silent=True) if request.is_json else None
    body = body if isinstance(body, dict) else {}
    leaf_user_id = (request.view_args or {}).get("leaf_user_id")
    external_id = body.get("externalId") or request.args.get("externalId")
    if leaf_user_id is not None:
        row = sandbox().store.one("SELECT external_id FROM leaf_users WHERE id = ?", leaf_user_id)
        external_id = row["external_id"] if row else None
    return {
        "account": _account(leaf_user_id, body.get("refreshToken")),
        "external_id": external_id if isinstance(external_id, str) else None,
        "leaf_user_id": leaf_user_id,
    }


def _account(leaf_user_id: str | None, refresh_token: Any) -> str | None:
    store = sandbox().store
    token = refresh_token or request.form.get("refresh_token")
    if isinstance(token, str):
        described = sandbox().grants.described(token)
        return described["account"] if described else None
    if code := request.form.get("code"):
        row = store.one("SELECT account FROM codes WHERE code = ?", code)
        return row["account"] if row else None
    if leaf_user_id is not None:
        row = store.one(
            "SELECT account FROM leaf_credentials WHERE leaf_user_id = ? ORDER BY number DESC",
            leaf_user_id,
        )
        return row["account"] if row else None
    if g.point == "deere.organizations" and request.authorization is not None:
        owner = sandbox().grants.owner(request.authorization.token or "")
        return owner.name if owner else None
    return None
