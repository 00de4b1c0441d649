"""Control of the simulated Leaf: what it says of its credentials, loses, and sends."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request

from onboarding.errors import InputInvalid
from onboarding.sandbox import gate
from onboarding.sandbox.leaf import choices, credentials, upstream
from onboarding.sandbox.leaf.access import invalidate_tokens
from onboarding.sandbox.runtime import as_json, json_object, sandbox

bp = Blueprint("leaf", __name__, url_prefix="/leaf")

LONGEST_STATUS = 100


@bp.get("/credentials")
def list_credentials() -> Response:
    """Every stored credential, doubled ones too; `?leafUserId=` and `?externalId=` filter."""
    return as_json(shown(request.args.get("leafUserId"), request.args.get("externalId")))


@bp.delete("/credentials")
def lose_credentials() -> Response:
    """Let Leaf lose those that GET would show, with their events: `{"lost": 1}`."""
    found = shown(request.args.get("leafUserId"), request.args.get("externalId"))
    return as_json({"lost": sum(map(credentials.lose, {one["leafUserId"] for one in found}))})


@bp.post("/status")
def status() -> Response:
    """Make Leaf say a status: `{"leafUserId": …, "status": "ANYTHING" or null}`.

    Empty: none yet, as long as it has not looked.
    """
    body = json_object()
    changed = credentials.say(_text(body, "leafUserId"), _status(body.get("status")))
    return as_json({"credentials": changed})


@bp.post("/choices")
def choose() -> Response:
    """Choose at Leaf by hand what it fetches of all that is shared: `{"leafUserId": …, "status":
    "SELECTED" or "PREVIEW"}` → `{"changed": 1}`."""
    body = json_object()
    status = str(body.get("status"))
    if status not in {choices.SELECTED, choices.PREVIEW}:
        raise InputInvalid("status is SELECTED or PREVIEW.")
    return as_json({"changed": choices.set_all(_text(body, "leafUserId"), status)})


@bp.get("/alerts")
def alerts() -> Response:
    """Every delivery, newest first: `[{"kind", "body", "attempts", "status", "waits", …}]`."""
    return as_json(sandbox().alerts.shown())


@bp.post("/alerts")
def send_alert() -> Response:
    """Make Leaf send an alert, true or not: `{"leafUserId": …, "type": …}` → `{"sent": 1}`."""
    body = json_object()
    return as_json({"sent": _send(_text(body, "leafUserId"), str(body.get("type")))})


@bp.post("/tokens/expire")
def expire_tokens() -> Response:
    """Make every bearer token of Leaf worthless."""
    invalidate_tokens()
    return Response(status=204)


def shown(leaf_user_id: str | None = None, external_id: str | None = None) -> list[dict[str, Any]]:
    """The credentials that Leaf holds, of one Leaf user or external id or of all."""
    rows = sandbox().store.all(
        "SELECT leaf_credentials.*, external_id FROM leaf_credentials"
        " JOIN leaf_users ON leaf_users.id = leaf_user_id"
        " WHERE (?1 IS NULL OR leaf_user_id = ?1) AND (?2 IS NULL OR external_id = ?2)"
        " ORDER BY leaf_credentials.number",
        leaf_user_id,
        external_id,
    )
    return [_credential(row) for row in rows]


def newest(number: int) -> list[dict[str, Any]]:
    """The last credentials that Leaf was given, the newest last."""
    rows = sandbox().store.all(
        "SELECT leaf_credentials.*, external_id FROM leaf_credentials"
        " JOIN leaf_users ON leaf_users.id = leaf_user_id"
        " ORDER BY leaf_credentials.number DESC LIMIT ?",
        number,
    )
    return [_credential(row) for row in reversed(rows)]


def count() -> int:
    """How many credentials Leaf holds."""
    row = sandbox().store.one("SELECT count(*) AS number FROM leaf_credentials")
    return int(row["number"]) if row else 0


def _credential(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "leafUserId": row["leaf_user_id"],
        "externalId": row["external_id"],
        "account": row["account"],
        "clientKey": row["client_key"],
        "clientEnvironment": row["environment"],
        "refreshToken": row["refresh_token"],
        "givenRefreshToken": row["given_token"],
        "refreshTokenSha256": gate.token_hash(row["given_token"]),
        "live": not row["fails"] and upstream.accepts(row["refresh_token"]),
        "status": row["status"] if row["forced"] is None else row["forced"],
        "forced": row["forced"] is not None,
        "createdTime": row["created"],
    }


def _say() -> None:
    credentials.say(_user_of_form(), _status(request.form.get("status") or None))


def _lose() -> None:
    credentials.lose(_user_of_form())


def _lose_all() -> None:
    credentials.lose()


def _alert() -> None:
    if not _send(_user_of_form(), request.form.get("kind", "")):
        raise InputInvalid(
            "Nothing was sent: no webhook is registered for this alert, or leaf alerts is never."
        )


ACTIONS: dict[str, Callable[[], None]] = {
    "say": _say,
    "lose": _lose,
    "lose-all": _lose_all,
    "alert": _alert,
}
"""What the buttons of the control page do."""


def _send(leaf_user_id: str, kind: str) -> int:
    rows = credentials.of_user(leaf_user_id)
    with sandbox().store.write() as connection:
        return sum(sandbox().alerts.announce(connection, row, kind) for row in rows)


def _user_of_form() -> str:
    return _text(request.form.to_dict(), "leaf_user_id")


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise InputInvalid(f"{name} is the id of a Leaf user.")
    return value


def _status(value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and len(value) <= LONGEST_STATUS):
        raise InputInvalid(
            "status is a word, empty for none yet, or null for what Leaf finds out itself."
        )
    return value
