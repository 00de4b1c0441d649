"""Leaf's two lists of John Deere organizations, the choice between them, and the summary."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, Response, request

from onboarding import clock
from onboarding.sandbox.connections import Seen
from onboarding.sandbox.leaf import choices, credentials
from onboarding.sandbox.leaf.access import (
    USER_MANAGEMENT,
    bad_request,
    not_found,
    now,
    paged,
    signed_in,
    text,
)
from onboarding.sandbox.runtime import as_json, at, sandbox

bp = Blueprint("organizations", __name__)

USER = f"{USER_MANAGEMENT}/users/<leaf_user_id>"


@bp.get(f"{USER}/organizations/JohnDeere")
@at("leaf.organizations")
@signed_in
def list_connected(leaf_user_id: str) -> Response:
    """What John Deere says now: connected and not connected organizations."""
    with sandbox().store.read() as connection:
        found = choices.visible(_account(connection, leaf_user_id))
    return as_json(
        {
            "connectedOrganizations": [_shape(one) for one in found if one.connected],
            "notConnectedOrganizations": [_shape(one) for one in found if not one.connected],
        }
    )


@bp.get(f"{USER}/JohnDeere/organizations")
@at("leaf.choices.list")
@signed_in
def list_choices(leaf_user_id: str) -> Response:
    """A page of the organizations as of the last sync, with the choice for each."""
    return paged(_choices(leaf_user_id), lambda choice: choice)


@bp.get(f"{USER}/JohnDeere/organizations/<organization>")
@at("leaf.choices.get")
@signed_in
def get_choice(leaf_user_id: str, organization: str) -> Response:
    """One of them."""
    return as_json(_choice(leaf_user_id, organization))


@bp.patch(f"{USER}/JohnDeere/organizations/<organization>/<status>")
@at("leaf.choices.set")
@signed_in
def set_choice(leaf_user_id: str, organization: str, status: str) -> Response:
    """Choose SELECTED or PREVIEW; what is blocked can't be chosen."""
    if status not in {choices.SELECTED, choices.PREVIEW}:
        raise bad_request("The status must be SELECTED or PREVIEW.", key="validation")
    if _choice(leaf_user_id, organization)["status"] == choices.BLOCKED:
        raise bad_request("The organization is blocked.", key="organizationBlocked")
    choices.set_choice(leaf_user_id, organization, status)
    return as_json(_choice(leaf_user_id, organization))


@bp.post(f"{USER}/JohnDeere/organizations/sync")
@at("leaf.sync")
@signed_in
def sync(leaf_user_id: str) -> Response:
    """Look at John Deere again. Leaf does not show an answer; here it has no body."""
    with sandbox().store.write() as connection:
        _account(connection, leaf_user_id)
        choices.sync(connection, leaf_user_id)
    return Response(status=200)


@bp.get("/services/integrations/api/resources")
@at("leaf.resources")
@signed_in
def resources() -> Response:
    """How much came through so far.

    Of each organization that is fetched, `leaf_data_seconds` after the credential came.
    """
    leaf_user_id = text(request.args.to_dict(), "leafUserId")
    row = credentials.current(leaf_user_id)
    if row is None:
        return as_json({"message": "SUCCESS", "summaries": []})
    fetched = [one for one in _choices(leaf_user_id) if one["status"] == choices.SELECTED]
    age = clock.now() - datetime.fromisoformat(row["created"])
    if age < timedelta(seconds=int(sandbox().policies["leaf_data_seconds"])):
        fetched = []
    fields = {one.farm.id: one.farm.fields for one in choices.visible(row["account"])}
    summary: dict[str, Any] = {"provider": "JohnDeere", "leafUserId": leaf_user_id}
    summary |= {"growers": len(fetched), "farms": len(fetched)}
    summary["fields"] = sum(fields[one["providerOrgId"]] for one in fetched)
    return as_json({"message": "SUCCESS", "summaries": [summary | {"syncReferenceTime": now()}]})


def _account(connection: sqlite3.Connection, leaf_user_id: str) -> str | None:
    if credentials.current(leaf_user_id) is None:
        raise not_found("The credential")
    return choices.account_of(connection, leaf_user_id)


def _shape(one: Seen) -> dict[str, str]:
    return {"id": one.farm.id, "name": one.farm.name, "managementUri": one.uri}


def _choices(leaf_user_id: str) -> list[dict[str, str]]:
    row = credentials.current(leaf_user_id)
    if row is None:
        raise not_found("The credential")
    seen = {one.farm.id: one for one in choices.visible(row["account"])}
    rows = sandbox().store.all(
        "SELECT * FROM leaf_choices WHERE leaf_user_id = ? ORDER BY organization", leaf_user_id
    )
    return [
        {
            "providerOrgId": choice["organization"],
            "providerOrgName": seen[choice["organization"]].farm.name,
            "status": choice["status"],
            "managementUri": seen[choice["organization"]].uri,
        }
        for choice in rows
        if choice["organization"] in seen
    ]


def _choice(leaf_user_id: str, organization: str) -> dict[str, str]:
    for choice in _choices(leaf_user_id):
        if choice["providerOrgId"] == organization:
            return choice
    raise not_found("The organization")
