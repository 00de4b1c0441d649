"""Where Leaf's alerts arrive."""

from __future__ import annotations

import logging

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import RequestEntityTooLarge

from onboarding.connections import alerts
from onboarding.views.parts import installation

SIGNATURE = "X-Leaf-Signature"

bp = Blueprint("alerts", __name__)
log = logging.getLogger(__name__)


@bp.post("/leaf/alerts")
def receive() -> ResponseReturnValue:
    """204 for what Leaf has signed, whatever it says, and for its ping; else a refusal.

    Nothing is read of a body before its signature is right, and nothing is written for one that
    is not: a flood costs no more than the bytes.
    """
    parts = installation()
    try:
        body = request.get_data(cache=False)
        if request.content_length is None:
            request.stream.read(1)  # raises as well: of a longer body the rest was left out
    except RequestEntityTooLarge:
        return {"error": "An alert is shorter."}, 413
    if alerts.is_ping(body):
        return "", 204
    if not parts.settings.leaf_alert_secret:
        log.error("An alert of Leaf's was refused: LEAF_ALERT_SECRET is not set")
        return {"error": "Alerts are not set up here."}, 503
    if not alerts.is_signed(
        body, request.headers.get(SIGNATURE, ""), parts.settings.leaf_alert_secret
    ):
        return {"error": f"{SIGNATURE} does not fit the body."}, 401
    alerts.receive(parts.database, body)
    return "", 204
