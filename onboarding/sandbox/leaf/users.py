"""Leaf users: one grower each."""

from __future__ import annotations

import sqlite3
import uuid
from typing import Any

from flask import Blueprint, Response, request

from onboarding.sandbox.leaf import credentials
from onboarding.sandbox.leaf.access import (
    USER_MANAGEMENT,
    bad_request,
    json_body,
    not_found,
    optional_text,
    paged,
    signed_in,
    text,
)
from onboarding.sandbox.runtime import as_json, at, sandbox

bp = Blueprint("users", __name__, url_prefix=f"{USER_MANAGEMENT}/users")

COLUMNS = {
    "name": "name",
    "email": "email",
    "phone": "phone",
    "address": "address",
    "externalId": "external_id",
}
FILTERS = ("email", "name", "externalId")
OTHER_PROVIDERS = (
    "trimbleCredentials",
    "cnhiCredentials",
    "ravenCredentials",
    "climateFieldViewCredentials",
    "staraCredentials",
    "agLeaderCredentials",
    "ravenSlingshotCredentials",
)


@bp.get("")
@at("leaf.users.list")
@signed_in
def list_users() -> Response:
    """A page of the users. A filter finds what *contains* its text: the strictest reading.

    That of `externalId` finds what is equal under the policy `leaf_external_id_filter: exact`.
    """
    given = {name: request.args[name] for name in FILTERS if name in request.args}
    where = " AND ".join(map(_condition, given)) or "1"
    rows = sandbox().store.all(
        f"SELECT * FROM leaf_users WHERE {where} ORDER BY number",  # noqa: S608 - own columns
        *given.values(),
    )
    return paged(rows, _shape)


@bp.post("")
@at("leaf.users.create")
@signed_in
def create() -> Response:
    """Make a user. Nothing is unique but the id: Leaf states no such rule."""
    body = json_body()
    if body.get("id") is not None:
        raise bad_request("A new user cannot already have an ID.", key="idexists")
    text(body, "name")
    values = _checked(body)
    id = str(uuid.uuid4())
    with sandbox().store.write() as connection:
        connection.execute(
            "INSERT INTO leaf_users (id, number, name, email, phone, address, external_id)"
            " SELECT ?, coalesce(max(number), 0) + 1, ?, ?, ?, ?, ? FROM leaf_users",
            (id, *(values.get(column) for column in COLUMNS.values())),
        )
    response = as_json(_shape(_load(id)), 201)
    response.headers["Location"] = f"/api/users/{id}"
    return response


@bp.get("/<leaf_user_id>")
@at("leaf.users.get")
@signed_in
def get(leaf_user_id: str) -> Response:
    """One user, with the credentials embedded, secrets and all."""
    return as_json(_shape(_load(leaf_user_id)))


@bp.patch("/<leaf_user_id>")
@at("leaf.users.update")
@signed_in
def update(leaf_user_id: str) -> Response:
    """Change some fields."""
    _load(leaf_user_id)
    values = _checked(json_body())
    with sandbox().store.write() as connection:
        for column, value in values.items():
            connection.execute(
                f"UPDATE leaf_users SET {column} = ? WHERE id = ?",  # noqa: S608 - own columns
                (value, leaf_user_id),
            )
    return as_json(_shape(_load(leaf_user_id)))


@bp.delete("/<leaf_user_id>")
@at("leaf.users.delete")
@signed_in
def delete(leaf_user_id: str) -> Response:
    """Delete a user with its credentials."""
    _load(leaf_user_id)
    with sandbox().store.write() as connection:
        credentials.remove(connection, leaf_user_id)
        connection.execute("DELETE FROM leaf_users WHERE id = ?", (leaf_user_id,))
        connection.execute("DELETE FROM leaf_configs WHERE leaf_user_id = ?", (leaf_user_id,))
        connection.execute("DELETE FROM leaf_choices WHERE leaf_user_id = ?", (leaf_user_id,))
    return Response(status=204)


def _condition(name: str) -> str:
    if name == "externalId" and sandbox().policies["leaf_external_id_filter"] == "exact":
        return f"{COLUMNS[name]} = ?"
    return f"instr(lower({COLUMNS[name]}), lower(?)) > 0"


def _load(id: str) -> sqlite3.Row:
    row = sandbox().store.one("SELECT * FROM leaf_users WHERE id = ?", id)
    if row is None:
        raise not_found("The user")
    return row


def _checked(body: dict[str, Any]) -> dict[str, str | None]:
    return {column: optional_text(body, name) for name, column in COLUMNS.items() if name in body}


def _shape(row: sqlite3.Row) -> dict[str, Any]:
    found = credentials.current(row["id"])
    shown = {name: row[column] for name, column in COLUMNS.items()}
    held = {"johnDeereCredentials": {} if found is None else credentials.shape(found)}
    return {"id": row["id"], **shown, **held, **{name: {} for name in OTHER_PROVIDERS}}
