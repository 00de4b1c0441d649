"""John Deere credentials at Leaf: get, create, delete, status, events."""

from __future__ import annotations

import json
import secrets
import sqlite3
import uuid
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response

from onboarding import clock
from onboarding.sandbox import alerts
from onboarding.sandbox.grants import Issued
from onboarding.sandbox.leaf import choices, upstream
from onboarding.sandbox.leaf.access import (
    USER_MANAGEMENT,
    Problem,
    bad_request,
    json_body,
    not_found,
    now,
    paged,
    signed_in,
    text,
)
from onboarding.sandbox.runtime import as_json, at, sandbox
from onboarding.states import Environment, Health

bp = Blueprint(
    "credentials",
    __name__,
    url_prefix=f"{USER_MANAGEMENT}/users/<leaf_user_id>/john-deere-credentials",
)

EVENTS_KEPT = timedelta(days=30)
SILENT_READS = 2
"""How many reads show no status under the policy `leaf_initial_status: absent`."""


@bp.get("")
@at("leaf.credentials.get")
@signed_in
def get(leaf_user_id: str) -> Response:
    """The credential, with client secret and tokens in clear, as Leaf answers."""
    return as_json(shape(_examined(leaf_user_id)))


@bp.post("")
@at("leaf.credentials.create")
@signed_in
def create(leaf_user_id: str) -> Response:
    """Take a refresh token over."""
    body = json_body()
    if sandbox().store.one("SELECT 1 FROM leaf_users WHERE id = ?", leaf_user_id) is None:
        raise _unknown_user()
    given = {name: text(body, name) for name in ("clientKey", "clientSecret", "refreshToken")}
    given["clientEnvironment"] = text(body, "clientEnvironment")
    if given["clientEnvironment"] not in set(Environment):
        raise bad_request("clientEnvironment must be STAGE or PRODUCTION.", key="validation")
    second = sandbox().policies["leaf_second_post"]
    issued = _validated(given)
    with sandbox().store.write() as connection:
        # Asked inside the transaction: of two POSTs at once, one is refused.
        if second == "refused" and current(leaf_user_id) is not None:
            raise Problem(409, "Conflict", "A credential exists already.", key="credentialExists")
        if second == "replaced":
            remove(connection, leaf_user_id)
        id = _insert(connection, leaf_user_id, given, issued)
        choices.sync(connection, leaf_user_id, first=True)
    row = sandbox().store.one("SELECT * FROM leaf_credentials WHERE id = ?", id)
    assert row is not None  # noqa: S101 - inserted above
    return as_json(shape(row, created=True), 201)


@bp.delete("")
@at("leaf.credentials.delete")
@signed_in
def delete(leaf_user_id: str) -> Response:
    """Delete the credential and its events; all of them, if there are two."""
    with sandbox().store.write() as connection:
        if not remove(connection, leaf_user_id):
            raise not_found("The credential")
    return Response(status=204)


@bp.get("/status")
@at("leaf.status")
@signed_in
def status(leaf_user_id: str) -> Response:
    """The withdrawn status call; 404 under the policy `leaf_status_endpoint: gone`."""
    if sandbox().policies["leaf_status_endpoint"] == "gone":
        raise Problem(404, "Not Found", "No static resource.")
    return as_json(_status(_examined(leaf_user_id)))


@bp.get("/events")
@at("leaf.events")
@signed_in
def events(leaf_user_id: str) -> Response:
    """Leaf's calls to John Deere for this credential, newest first."""
    rows = sandbox().store.all(
        "SELECT leaf_events.* FROM leaf_events"
        " JOIN leaf_credentials ON leaf_credentials.id = credential_id"
        " WHERE leaf_user_id = ? AND leaf_events.created > ? ORDER BY leaf_events.number DESC",
        leaf_user_id,
        now(minus=EVENTS_KEPT),
    )
    return paged(rows, _event_shape)


def current(leaf_user_id: str) -> sqlite3.Row | None:
    """The newest credential of a user, or None."""
    return sandbox().store.one(
        "SELECT * FROM leaf_credentials WHERE leaf_user_id = ? ORDER BY number DESC", leaf_user_id
    )


def of_user(leaf_user_id: str) -> list[sqlite3.Row]:
    """Every credential of a user; more than one if there are doubled ones."""
    return sandbox().store.all(
        "SELECT * FROM leaf_credentials WHERE leaf_user_id = ?", leaf_user_id
    )


def remove(connection: sqlite3.Connection, leaf_user_id: str) -> bool:
    """Delete every credential of a user with its events; False if there was none."""
    connection.execute(
        "DELETE FROM leaf_events WHERE credential_id IN"
        " (SELECT id FROM leaf_credentials WHERE leaf_user_id = ?)",
        (leaf_user_id,),
    )
    connection.execute(
        "DELETE FROM leaf_doubts WHERE credential_id IN"
        " (SELECT id FROM leaf_credentials WHERE leaf_user_id = ?)",
        (leaf_user_id,),
    )
    deleted = connection.execute(
        "DELETE FROM leaf_credentials WHERE leaf_user_id = ?", (leaf_user_id,)
    )
    connection.execute("DELETE FROM leaf_choices WHERE leaf_user_id = ?", (leaf_user_id,))
    return deleted.rowcount > 0


def shape(row: sqlite3.Row, *, created: bool = False) -> dict[str, Any]:
    """The resource as the current page of Leaf's documentation shows it, or as the older one.

    :param created: for the answer to POST, which had no scopes in the older shape
    """
    secret = {
        "clientKey": row["client_key"],
        "clientSecret": row["client_secret"],
        "accessToken": row["access_token"],
        "refreshToken": row["refresh_token"],
        "clientEnvironment": row["environment"],
    }
    scopes = row["scope"].split()
    if sandbox().policies["leaf_answers"] == "older":
        older = secret | _status(row) | {"tokenId": "", "tokenSecretKey": ""}
        return older if created else older | {"scopes": scopes}
    known = {"id": row["id"], "createdTime": row["created"], "tokenMetadata": {"scopes": scopes}}
    return known | _status(row) | secret


def look() -> None:
    """Look at every credential unasked, if somebody wants to hear of it or Leaf takes its time."""
    if not sandbox().policies["leaf_finds_out_after_seconds"] and not sandbox().alerts.webhooks():
        return
    # What it was made to say it believes; it looks for itself again after that.
    for row in sandbox().store.all("SELECT * FROM leaf_credentials WHERE forced IS NULL"):
        if (found := _found_status(row)) != row["status"]:
            with sandbox().store.write() as connection:
                _change_status(connection, row, found)


def say(leaf_user_id: str, status: str | None) -> int:
    """Let Leaf say a status of a user's credentials, and send the alert that follows from it.

    :param status: None: what it finds out itself; empty: none yet
    :return: how many credentials that were
    """
    rows = of_user(leaf_user_id)
    with sandbox().store.write() as connection:
        for row in rows:
            connection.execute(
                "UPDATE leaf_credentials SET forced = ? WHERE id = ?", (status, row["id"])
            )
            if status is not None and status != _status(row).get("status"):
                announce(connection, row, status)
    return len(rows)


def lose(leaf_user_id: str | None = None) -> int:
    """Let Leaf lose the credentials of a user, or all; how many. Nobody is told."""
    rows = sandbox().store.all(
        "SELECT leaf_user_id FROM leaf_credentials WHERE ?1 IS NULL OR leaf_user_id = ?1",
        leaf_user_id,
    )
    with sandbox().store.write() as connection:
        for row in rows:
            remove(connection, row["leaf_user_id"])
    return len(rows)


def announce(connection: sqlite3.Connection, row: sqlite3.Row, status: str) -> None:
    """Send the alert that follows from a status, if there is one."""
    if status in alerts.KINDS:
        sandbox().alerts.announce(connection, row, alerts.KINDS[Health(status)])


def _examined(leaf_user_id: str) -> sqlite3.Row:
    """The credential after Leaf's "background processing" looked at it once more."""
    row = current(leaf_user_id)
    if row is None:
        raise not_found("The credential")
    if row["forced"] is not None:
        return row
    found = _found_status(row)
    if found == row["status"] and not row["silent_reads"]:
        return row
    with sandbox().store.write() as connection:
        connection.execute(
            "UPDATE leaf_credentials SET silent_reads = max(0, silent_reads - 1) WHERE id = ?",
            (row["id"],),
        )
        _change_status(connection, row, found)
    return row if row["silent_reads"] else (current(leaf_user_id) or row)


def _change_status(connection: sqlite3.Connection, row: sqlite3.Row, found: str) -> None:
    changed = connection.execute(
        "UPDATE leaf_credentials SET status = ? WHERE id = ? AND status != ?",
        (found, row["id"], found),
    )
    if changed.rowcount:  # and nobody was faster
        connection.execute("DELETE FROM leaf_doubts WHERE credential_id = ?", (row["id"],))
        _log(connection, row["id"], *_answer_behind(row, found))
        announce(connection, row, found)


def _answer_behind(row: sqlite3.Row, found: str) -> tuple[int, dict[str, Any]]:
    """What John Deere answered, so that Leaf found a status: the events hold it."""
    match found:
        case Health.UNAUTHENTICATED:
            return 400, {"error": "invalid_grant"}
        case Health.MISSING_PERMISSION:
            return 403, {"errors": [{"message": "Access Denied"}]}
        case Health.TEMPORARILY_UNAVAILABLE:
            return 503, {"errors": [{"message": "Service Unavailable"}]}
        case _:
            return 200, {"access_token": row["access_token"], "scope": row["scope"]}


def _found_status(row: sqlite3.Row) -> str:
    """What Leaf knows by now."""
    status = _true_status(row)
    if status != Health.UNAUTHENTICATED:
        upstream.note_use(row["refresh_token"])
    if status == row["status"]:
        _forget_doubt(row["id"])
        return status
    return status if _has_found_out(row["id"]) else str(row["status"])


def _forget_doubt(credential_id: str) -> None:
    """All is as Leaf knew it before it found out otherwise: what comes next is new to it."""
    if sandbox().store.one("SELECT 1 FROM leaf_doubts WHERE credential_id = ?", credential_id):
        with sandbox().store.write() as connection:
            connection.execute("DELETE FROM leaf_doubts WHERE credential_id = ?", (credential_id,))


def _has_found_out(credential_id: str) -> bool:
    after = int(sandbox().policies["leaf_finds_out_after_seconds"])
    if not after:
        return True
    with sandbox().store.write() as connection:
        connection.execute(
            "INSERT OR IGNORE INTO leaf_doubts VALUES (?, ?)", (credential_id, clock.seconds())
        )
    row = sandbox().store.one("SELECT * FROM leaf_doubts WHERE credential_id = ?", credential_id)
    return row is not None and row["since"] + after <= clock.seconds()


def _true_status(row: sqlite3.Row) -> str:
    if row["fails"] or not upstream.accepts(row["refresh_token"]):
        return Health.UNAUTHENTICATED
    return upstream.health_of(sandbox().residents.known(row["account"]))


def _status(row: sqlite3.Row) -> dict[str, str]:
    if row["forced"] is not None:
        return {"status": row["forced"]} if row["forced"] else {}
    return {} if row["silent_reads"] else {"status": row["status"]}


def _unknown_user() -> Problem:
    if sandbox().policies["leaf_unknown_user"] == "bad_request":
        return bad_request("The user was not found.", key="userNotFound")
    return not_found("The user")


def _validated(given: dict[str, str]) -> Issued | None:
    """Try the token at John Deere, as Leaf does.

    :return: what John Deere gave, or None if something is wrong that is to be found out later
    """
    config, policies = sandbox().config, sandbox().policies
    application = config.registered(given["clientKey"])
    known = application is not None and application.client_secret == given["clientSecret"]
    if application is None or not known or policies["deere_client"] == "refused":
        if policies["leaf_wrong_client"] == "found_later":
            return None
        raise bad_request("John Deere refused the client: invalid_client", key="invalidClient")
    if given["clientEnvironment"] != application.environment:
        if policies["leaf_wrong_environment"] == "found_later":
            return None
        raise bad_request(
            "clientEnvironment does not match the environment of the application.",
            key="wrongEnvironment",
        )
    issued = sandbox().grants.refresh(given["refreshToken"], client_id=given["clientKey"])
    if issued is None and policies["leaf_bad_token"] == "refused":  # noqa: S105
        raise bad_request("The refresh token is not valid: invalid_grant", key="invalidToken")
    return issued


def _insert(
    connection: sqlite3.Connection, leaf_user_id: str, given: dict[str, str], issued: Issued | None
) -> str:
    id = str(uuid.uuid4())
    values = {
        "id": id,
        "leaf_user_id": leaf_user_id,
        "client_key": given["clientKey"],
        "client_secret": given["clientSecret"],
        "environment": given["clientEnvironment"],
        "refresh_token": (issued and issued.refresh_token) or given["refreshToken"],
        "given_token": given["refreshToken"],
        "access_token": issued.access_token if issued else secrets.token_urlsafe(32),
        "account": issued.account.name if issued else None,
        "scope": issued.scope if issued else "",
        "created": now(),
        "status": upstream.health_of(issued.account) if issued else Health.OK,
        "silent_reads": 0 if sandbox().policies["leaf_initial_status"] == "OK" else SILENT_READS,
        "fails": issued is None,
    }
    columns, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
    connection.execute(
        f"INSERT INTO leaf_credentials (number, {columns})"  # noqa: S608 - own columns
        f" SELECT coalesce(max(number), 0) + 1, {marks} FROM leaf_credentials",
        values,
    )
    if issued:
        _log(connection, id, 200, issued.answer())
    return id


def _log(
    connection: sqlite3.Connection, credential_id: str, status_code: int, body: dict[str, Any]
) -> None:
    """Note one call of Leaf to John Deere; the real ones may hold tokens, so these do."""
    headers = json.dumps({"Content-Type": ["application/json"]})
    connection.execute(
        "INSERT INTO leaf_events (id, credential_id, created, status_code, headers, body)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (str(uuid.uuid4()), credential_id, now(), status_code, headers, json.dumps(body)),
    )


def _event_shape(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "statusCode": row["status_code"],
        "createdDate": row["created"],
        "headers": row["headers"],
        "body": row["body"],
    }
