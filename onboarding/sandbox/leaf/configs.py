"""Leaf's configuration of one user: stored overrides only."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from flask import Blueprint, Response

from onboarding.sandbox.leaf.access import bad_request, json_body, not_found, signed_in
from onboarding.sandbox.runtime import as_json, at, sandbox

bp = Blueprint("configs", __name__, url_prefix="/services/config/api/configs")

KINDS: dict[str, type | tuple[str, ...]] = {
    "organizationDataSync": ("ALL", "SELECTED_ONLY"),
    "customDataSync": bool,
    "fieldsAutoSync": bool,
    "operationsAutoSync": bool,
    "syncPartnerData": bool,
    "operationsImageCreation": bool,
    "fieldsAutoMerge": bool,
    "fieldsMergeIntersection": float,
    "fieldsAttachIntersection": float,
    "operationsProcessingRange": int,
}
"""Keys that are known. Another one is refused: a misspelled key must not pass as done."""


@bp.get("/<leaf_user_id>")
@at("leaf.config")
@signed_in
def get(leaf_user_id: str) -> Response:
    """What is stored for the user; 404 if nothing is."""
    stored = _stored(leaf_user_id)
    if stored is None:
        raise not_found("The configuration")
    return as_json(_shape(leaf_user_id, stored))


@bp.post("/<leaf_user_id>")
@at("leaf.config")
@signed_in
def create(leaf_user_id: str) -> Response:
    """Store the first overrides."""
    values = _checked(json_body())
    _require_user(leaf_user_id)
    if _stored(leaf_user_id) is not None:
        raise bad_request("The configuration exists already.", key="configExists")
    return as_json(_shape(leaf_user_id, _store(leaf_user_id, values)), 201)


@bp.patch("/<leaf_user_id>")
@at("leaf.config")
@signed_in
def update(leaf_user_id: str) -> Response:
    """Change what is stored."""
    values = _checked(json_body())
    stored = _stored(leaf_user_id)
    if stored is None:
        raise not_found("The configuration")
    return as_json(_shape(leaf_user_id, _store(leaf_user_id, stored | values)))


@bp.delete("/<leaf_user_id>")
@at("leaf.config")
@signed_in
def delete(leaf_user_id: str) -> Response:
    """Back to what the API owner has set."""
    if _stored(leaf_user_id) is None:
        raise not_found("The configuration")
    with sandbox().store.write() as connection:
        connection.execute("DELETE FROM leaf_configs WHERE leaf_user_id = ?", (leaf_user_id,))
    return Response(status=204)


def _stored(leaf_user_id: str) -> dict[str, Any] | None:
    row: sqlite3.Row | None = sandbox().store.one(
        "SELECT data FROM leaf_configs WHERE leaf_user_id = ?", leaf_user_id
    )
    stored: dict[str, Any] | None = None if row is None else json.loads(row["data"])
    return stored


def _store(leaf_user_id: str, values: dict[str, Any]) -> dict[str, Any]:
    with sandbox().store.write() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO leaf_configs VALUES (?, ?)", (leaf_user_id, json.dumps(values))
        )
    return values


def _require_user(leaf_user_id: str) -> None:
    if sandbox().store.one("SELECT 1 FROM leaf_users WHERE id = ?", leaf_user_id) is None:
        raise not_found("The user")


def _shape(leaf_user_id: str, stored: dict[str, Any]) -> dict[str, Any]:
    owner = sandbox().config.leaf_username
    return {"apiOwnerUsername": owner, "leafUserId": leaf_user_id, **stored}


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    for name, value in body.items():
        kind = KINDS.get(name)
        if kind is None:
            raise bad_request(f"There is no configuration {name}.", key="validation")
        if isinstance(kind, tuple):
            fits = value in kind
        else:
            fits = type(value) is kind or (kind is float and type(value) is int)
        if not fits:
            raise bad_request(f"The value of {name} is not valid.", key="validation")
    return body
