"""Leaf's alerts: which webhooks are registered, and which deliveries failed."""

from __future__ import annotations

import json
import uuid
from typing import Any

from flask import Blueprint, Response

from onboarding.sandbox.leaf.access import bad_request, json_body, not_found, signed_in, text
from onboarding.sandbox.runtime import as_json, at, sandbox

bp = Blueprint("alerts", __name__, url_prefix="/services/alerts/api/alerts/webhooks")


@bp.get("")
@at("leaf.webhooks.list")
@signed_in
def list_webhooks() -> Response:
    """All of them, with their secrets, as Leaf answers."""
    return as_json(sandbox().alerts.webhooks())


@bp.post("")
@at("leaf.webhooks.create")
@signed_in
def create() -> Response:
    """Register one, and ping it. An event can be registered once per API owner."""
    body = json_body()
    webhook: dict[str, Any] = {name: text(body, name) for name in ("name", "url", "secret")}
    events = body.get("events")
    if not isinstance(events, list) or not events or not all(isinstance(e, str) for e in events):
        raise bad_request("events is required.", key="validation")
    held = {event for webhook in sandbox().alerts.webhooks() for event in webhook["events"]}
    if taken := held & set(events):
        raise bad_request(
            f"Registered already: {', '.join(sorted(taken))}", key="eventRegisteredTwice"
        )
    webhook = {"id": str(uuid.uuid4()), **webhook, "events": events}
    with sandbox().store.write() as connection:
        connection.execute(
            "INSERT INTO leaf_webhooks VALUES (?, ?)", (webhook["id"], json.dumps(webhook))
        )
        sandbox().alerts.ping(connection, webhook)
    response = as_json(webhook, 201)
    response.headers["Location"] = webhook["id"]
    return response


@bp.get("/failed-calls")
@at("leaf.webhooks.failed")
@signed_in
def failed_calls() -> Response:
    """Deliveries that were given up."""
    return as_json({"items": sandbox().alerts.failed()})


@bp.get("/<id>")
@at("leaf.webhooks.get")
@signed_in
def get(id: str) -> Response:
    """One of them."""
    for webhook in sandbox().alerts.webhooks():
        if webhook["id"] == id:
            return as_json(webhook)
    raise not_found("The webhook")


@bp.delete("/<id>")
@at("leaf.webhooks.delete")
@signed_in
def delete(id: str) -> Response:
    """Delete one."""
    with sandbox().store.write() as connection:
        deleted = connection.execute("DELETE FROM leaf_webhooks WHERE id = ?", (id,))
    if not deleted.rowcount:
        raise not_found("The webhook")
    return Response(status=204)
