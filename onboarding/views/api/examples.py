"""Examples for the description, put together from one of each value: they tell of one grower."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onboarding.states import TEST_EVENT, WebhookEvent

JSON, FIRST_ERROR = "application/json", "400"
FIRST_WORD = re.compile(r"[A-Z][a-z]*")
MOMENT, HOUR_LATER = "2026-05-01T08:00:00Z", "2026-05-01T09:00:00Z"
DAY_LATER, LATER = "2026-05-02T08:00:00Z", "2026-05-15T08:00:00Z"
EXTERNAL_ID, REFERENCE = "4711", "K7M2Q9XR"
LINK = "5f0c7a52-8f1e-4f53-9c5b-0d6a3f1b7e21"
ENDPOINT = "c1d4b7a0-2f6d-4a6e-8a43-5b1f0e9d8c72"
PORTAL = "https://portal.example.com"
NEVER = None
"""What may be there, and is not when all is well."""


@dataclass(frozen=True)
class Told:
    """What is told of a connection, as `describe` has it."""

    code: str
    label: str
    sentence: str
    who: str = "nobody"


CONNECTED = Told(
    "connected",
    "Connected",
    "Connected. Your John Deere data can now flow to Demo Co-op through Leaf. The first data can "
    "take a few hours. You can close this page.",
)
TOLD = {
    WebhookEvent.LINK_OPENED: Told("invited", "Not started", "Connect John Deere.", "grower"),
    WebhookEvent.AUTHORIZED: Told(
        "handing_over",
        "Connecting",
        "Connecting to Leaf. Leaf is the service that brings your data to Demo Co-op. This takes a "
        "few seconds. The page updates by itself.",
    ),
    WebhookEvent.CONNECTED: CONNECTED,
    WebhookEvent.ORGANIZATIONS_CHANGED: CONNECTED,
    WebhookEvent.NEEDS_ACTION: Told(
        "reconnect",
        "Connect again",
        "Please connect again. John Deere no longer accepts the permission that you gave. It may "
        "have been withdrawn at John Deere, or have expired.",
        "grower",
    ),
    WebhookEvent.TEMPORARILY_UNAVAILABLE: Told(
        "temporarily_unavailable",
        "Pause at John Deere",
        "A pause at John Deere. John Deere’s service does not answer Leaf at the moment. You do "
        "not have to do anything: data comes once John Deere is back.",
    ),
    WebhookEvent.REPAIRED: CONNECTED,
    WebhookEvent.FAILED: Told(
        "failed",
        "We are on it",
        "Something went wrong on our side. Leaf, the service that brings your data to Demo Co-op, "
        "did not accept the connection. You did everything right. Our staff have to look at it. "
        "You need not do anything now. Connect again only if your contact asks you to.",
        "staff",
    ),
    WebhookEvent.DISCONNECTED: Told(
        "disconnected",
        "Disconnected",
        "Disconnected. No new data goes to Demo Co-op. Leaf no longer has your permission. John "
        "Deere may still list the connection. To remove it there, too, open your connections at "
        "John Deere and choose Manage, Access, Remove Connection for each organization.",
    ),
}
"""By the event that tells of it."""
DISCONNECTING = Told(
    "disconnecting",
    "Disconnecting",
    "Disconnecting. Leaf, the service that brings your data to Demo Co-op, is being told to stop. "
    "This usually takes a few seconds. The page updates by itself.",
)


def message(event: WebhookEvent) -> dict[str, Any]:
    """What endpoints are sent of it."""
    data = {
        "connection": REFERENCE,
        "grower": EXTERNAL_ID,
        "status": {**vars(TOLD[event]), "since": MOMENT},
    }
    if event is WebhookEvent.LINK_OPENED:
        data["link"] = LINK
    return {"type": event.value, "timestamp": MOMENT, "data": data}


VALUES: Mapping[str, Any] = {
    "answer": "ok",
    "at": MOMENT,
    "by": "grower",
    "checked_at": MOMENT,
    "chosen": "SELECTED",
    "code": CONNECTED.code,
    "connected": True,
    "connected_at": MOMENT,
    "connection": REFERENCE,
    "created_at": MOMENT,
    "endpoint": ENDPOINT,
    "email": "pat@maple-farm.example",
    "expires_at": LATER,
    "external_id": EXTERNAL_ID,
    "failing_since": NEVER,
    "failure": "",
    "health": "OK",
    "hint": "",
    "is_own": True,
    "is_owed": False,
    "label": CONNECTED.label,
    "leaf_user_id": "0b6f4c9e-7d1a-4a53-b0a9-2f6f3f1e8d11",
    "message_id": "msg_7b1f0c3a9d5e4f86a2c41e0d8b97f653",
    "milliseconds": 84,
    "name": "Maple Farm",
    "next": NEVER,
    "next_try_at": NEVER,
    "old_secret_until": NEVER,
    "only_given_up": True,
    "pause_reason": NEVER,
    "phone": "+1 555 0100",
    "reason": "Sold the farm",
    "reference": REFERENCE,
    "return_url": f"{PORTAL}/farms/4711",
    "secret": "whsec_…",
    "sentence": CONNECTED.sentence,
    "since": MOMENT,
    "sync": "SELECTED",
    "token": "…",
    "timestamp": MOMENT,
    "until": LATER,
    "url": f"{PORTAL}/hooks",
    "who": CONNECTED.who,
    "delivery.body": message(WebhookEvent.CONNECTED),
    "delivery.id": "1207",
    "delivery.state": "delivered",
    "delivery.tries": 1,
    "delivery.type": "connection.connected",
    "endpoint.events": ["connection.connected", "connection.needs_action"],
    "endpoint.id": ENDPOINT,
    "endpoint.state": "works",
    "event.health": NEVER,
    "event.id": "90311",
    "event.organizations": ["Maple Farm"],
    "event.sentence": "An organization is shared.",
    "event.type": "organization_shared",
    "link.days": 14,
    "link.id": LINK,
    "link.url": "https://connect.example.com/c/…",
    "move.state": "reconnect",
    "organization.id": "463153",
    "replay.after": NEVER,
    "replay.deliveries": 3,
    "shared.id": "463153",
    "test.type": TEST_EVENT,
    "token.expires_at": HOUR_LATER,
    "token.id": LINK,
    "token.url": "https://connect.example.com/c/…",
    "try.status": 204,
}
"""By name; before it the first word of the schema's, where one name has several meanings."""

IN_ADDRESSES = {
    "endpoint_id": ENDPOINT,
    "external_id": EXTERNAL_ID,
    "link_id": LINK,
    "number": VALUES["delivery.id"],
    "organization_id": VALUES["organization.id"],
    "reference": REFERENCE,
}
"""By name of what stands in an address."""


OF_ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "disconnect_connection": vars(DISCONNECTING),
    "pause_endpoint": {"state": "paused", "pause_reason": "by_hand"},
    "rotate_secret": {"old_secret_until": DAY_LATER},
    "send_test": {
        "type": "test",
        "connection": None,
        "state": "waiting",
        "next_try_at": MOMENT,
        "tries": 0,
        "last_try": None,
    },
}
"""Where an operation answers something else, by its id."""


def add(document: dict[str, Any]) -> None:
    """Give each body of a description one, and each thing that stands in an address."""
    schemas = document["components"]["schemas"]
    for path in document["paths"].values():
        for operation in path.values():
            _add(operation.get("requestBody", {}), schemas)
            for status, answer in operation["responses"].items():
                if status < FIRST_ERROR:
                    _add(answer, schemas, OF_ANSWERS.get(operation["operationId"], {}))
            for one in operation.get("parameters", ()):
                if one["in"] == "path":
                    one["example"] = IN_ADDRESSES[one["name"]]
    for event in TOLD:
        sent = document["webhooks"][event.value]["post"]["requestBody"]
        sent["content"][JSON]["example"] = message(event)
    _add(document["webhooks"][TEST_EVENT]["post"]["requestBody"], schemas)


def request(method: str, path: str, body: Any) -> str:
    """How it is asked for in a terminal, with the key and our address in variables.

    :param path: with the names of what stands in it, in braces
    :param body: None: there is none
    """
    how = "" if method == "GET" else f"-X {method} "
    lines = [
        f'curl {how}"$URL{path.format_map(IN_ADDRESSES)}"',
        '-H "Authorization: Bearer $KEY"',
    ]
    if body is not None:
        lines += [f'-H "Content-Type: {JSON}"', f"-d '{json.dumps(body)}'"]
    return " \\\n     ".join(lines)


def written(example: Any) -> str:
    """An answer as people read it."""
    return json.dumps(example, indent=2, ensure_ascii=False)


def _add(
    given: dict[str, Any], schemas: Mapping[str, Any], otherwise: Mapping[str, Any] | None = None
) -> None:
    """
    :param given: a body that is taken, or an answer
    :param otherwise: values that are others than usual
    """
    content = given.get("content", {}).get(JSON)
    if content is not None:
        content["example"] = _of(content["schema"], schemas) | dict(otherwise or {})


def _of(
    schema: Mapping[str, Any], schemas: Mapping[str, Any], word: str = "", name: str = ""
) -> Any:
    """One of a schema.

    :param word: the first of the name of the schema in which it stands, in small letters
    :param name: there
    """
    for key in (f"{word}.{name}", name):
        if key in VALUES:
            return VALUES[key]
    for one in schema.get("anyOf", ()):
        if one.get("type") != "null":
            return _of(one, schemas, word, name)
    if "$ref" in schema:
        called = schema["$ref"].rpartition("/")[2]
        first = FIRST_WORD.match(called)
        return _of(schemas[called], schemas, first[0].lower() if first else "")
    if "items" in schema:
        return [_of(schema["items"], schemas)]
    return {inner: _of(one, schemas, word, inner) for inner, one in schema["properties"].items()}
