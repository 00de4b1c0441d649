"""What partners' endpoints are sent, for the description: written in `connections.announcing`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from onboarding.states import WebhookEvent
from onboarding.views.api.connections import StatusOut

WHEN = {
    WebhookEvent.LINK_OPENED: "a link was opened in a browser for the first time",
    WebhookEvent.AUTHORIZED: "the grower agreed at John Deere; we hold the permission",
    WebhookEvent.CONNECTED: "data can flow",
    WebhookEvent.ORGANIZATIONS_CHANGED: "what is shared, or what Leaf fetches of it, is another",
    WebhookEvent.NEEDS_ACTION: (
        "no data flows until the grower or our staff (`status.who`) do something"
    ),
    WebhookEvent.TEMPORARILY_UNAVAILABLE: ("John Deere or Leaf does not answer; passes by itself"),
    WebhookEvent.REPAIRED: "after one of the two above, data can flow again",
    WebhookEvent.FAILED: ("the grower's attempt, or handing the permission to Leaf, has failed"),
    WebhookEvent.DISCONNECTED: "ended; they can connect again",
}
"""As docs/partners.md has it."""
HEADERS = {
    "webhook-id": "The same whenever the message comes again.",
    "webhook-timestamp": "When it was sent, in seconds.",
    "webhook-signature": "`v1,` and the signature; while a secret is rotated, two of them.",
}
PLACE = "#/components/schemas/"


class MessageData(BaseModel):
    """Which connection, and where it stood at that moment."""

    connection: str = Field(description="Its reference code.")
    grower: str = Field(description="Your own id of the grower.")
    status: StatusOut
    link: str | None = Field(default=None, description="With `link.opened`: `id` of the link.")


class Message(BaseModel):
    """What is sent, in the form of Standard Webhooks."""

    type: WebhookEvent
    timestamp: datetime = Field(description="When it happened.")
    data: MessageData


def schemas() -> dict[str, Any]:
    """Of a message and what is in it, by name."""
    made = Message.model_json_schema(ref_template=PLACE + "{model}", mode="serialization")
    inner: dict[str, Any] = made.pop("$defs")
    return inner | {"Message": made}


def webhooks() -> dict[str, Any]:
    """For `webhooks` of OpenAPI, by event."""
    return {event.value: {"post": _sent(event, when)} for event, when in WHEN.items()}


def _sent(event: WebhookEvent, when: str) -> dict[str, Any]:
    headers = [
        {
            "name": name,
            "in": "header",
            "required": True,
            "description": text,
            "schema": {"type": "string"},
        }
        for name, text in HEADERS.items()
    ]
    body = {"application/json": {"schema": {"$ref": f"{PLACE}Message"}}}
    return {
        "operationId": event.value.replace(".", "_"),
        "summary": when[0].upper() + when[1:],
        "tags": ["webhooks"],
        "parameters": headers,
        "requestBody": {"required": True, "content": body},
        "responses": {"2XX": {"description": "You have it. Everything else is tried again."}},
    }
