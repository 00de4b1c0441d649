"""What partners' endpoints are sent, for the description: written in `connections.announcing`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from onboarding.states import TEST_EVENT, WebhookEvent
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
    WebhookEvent.REPAIRED: (
        "after `connection.needs_action` or `connection.temporarily_unavailable`, data can flow "
        "again"
    ),
    WebhookEvent.FAILED: ("the grower's attempt, or handing the permission to Leaf, has failed"),
    WebhookEvent.DISCONNECTED: "ended; they can connect again",
}
"""As docs/partners.md has it."""
TEST_WHEN = "somebody tries the endpoint"
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


class TriedEndpoint(BaseModel):
    """Which endpoint is tried."""

    endpoint: UUID = Field(description="Its id.")


class TestMessage(BaseModel):
    """What `…/test` sends: it tells of nothing."""

    type: Literal["test"]
    timestamp: datetime = Field(description="When it was asked for.")
    data: TriedEndpoint


def schemas() -> dict[str, Any]:
    """Of what is sent and what is in it, by name."""
    found: dict[str, Any] = {}
    for model in (Message, TestMessage):
        made = model.model_json_schema(ref_template=PLACE + "{model}", mode="serialization")
        found |= made.pop("$defs")
        found[model.__name__] = made
    return found


def webhooks() -> dict[str, Any]:
    """For `webhooks` of OpenAPI, by event."""
    sent = {event.value: _sent(event, when, Message) for event, when in WHEN.items()}
    sent[TEST_EVENT] = _sent(TEST_EVENT, TEST_WHEN, TestMessage)
    return {event: {"post": told} for event, told in sent.items()}


def _sent(event: str, when: str, model: type[BaseModel]) -> dict[str, Any]:
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
    body = {"application/json": {"schema": {"$ref": PLACE + model.__name__}}}
    return {
        "operationId": event.replace(".", "_"),
        "summary": when[0].upper() + when[1:],
        "tags": ["webhooks"],
        "parameters": headers,
        "requestBody": {"required": True, "content": body},
        "responses": {"2XX": {"description": "You have it. Everything else is tried again."}},
    }
