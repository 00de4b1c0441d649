"""Leaf's alerts API: which webhooks are registered, and which deliveries failed.

Pages: docs.withleaf.io, api-reference/alerts and alerts/events.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from onboarding import http
from onboarding.errors import EventRegisteredTwice, InputInvalid, SignInRefused, UpstreamRejected
from onboarding.leaf.api import SERVICE, Api
from onboarding.leaf.shapes import read_date
from onboarding.redaction import identifier, one_line

WEBHOOKS = "/services/alerts/api/alerts/webhooks"
REGISTERED_TWICE = "eventregisteredtwice"
NOT_FOUND = 404


@dataclass(frozen=True)
class Webhook:
    """Where Leaf sends some kinds of alerts. Its secret stays in this module."""

    id: str
    name: str
    url: str
    """May hold a secret of somebody else's."""
    events: frozenset[str]
    holds_secret: bool | None
    """Whether Leaf signs with the secret that was asked about. None: Leaf does not show it."""


@dataclass(frozen=True)
class FailedCall:
    """An alert that Leaf could not deliver."""

    created: datetime | None
    body: str
    """What was to be delivered."""


class Webhooks:
    """The webhooks of one API owner; errors as those of `Leaf`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def all(self, *, secret: str) -> tuple[Webhook, ...]:
        """`GET /webhooks`: every one, also those of other applications.

        :param secret: to learn which of them are signed with it
        """
        items = self._api.pages(WEBHOOKS, action="list the webhooks")
        return tuple(filter(None, (_read(item, secret) for item in items)))

    def create(self, *, name: str, url: str, secret: str, events: Collection[str]) -> None:
        """`POST /webhooks`. Leaf then sends a ping to the URL.

        :raise EventRegisteredTwice: another webhook has one of the events already
        """
        body = {"name": name, "url": url, "secret": secret, "events": sorted(events)}
        try:
            self._api.call(
                "POST", WEBHOOKS, action="register the webhook", json=body, secrets=(secret,)
            )
        except SignInRefused:
            raise
        except UpstreamRejected as err:
            if REGISTERED_TWICE not in err.reason.lower():
                raise
            raise EventRegisteredTwice(
                err.service, err.action, status=err.status, reason=err.reason
            ) from err

    def delete(self, webhook_id: str) -> bool:
        """`DELETE /webhooks/{id}`; False if there was none."""
        if webhook_id in {"", ".", ".."}:
            raise InputInvalid(f"{webhook_id!r} is not an id")
        answer = self._api.call(
            "DELETE",
            f"{WEBHOOKS}/{quote(webhook_id, safe='')}",
            action="remove the webhook",
            accept=(NOT_FOUND,),
        )
        return answer.status != NOT_FOUND

    def failed_calls(self) -> tuple[FailedCall, ...]:
        """`GET /webhooks/failed-calls`, of every webhook, in Leaf's order.

        For how long Leaf lists them is not documented, nor are pages.
        """
        action = "read the failed calls"
        answer = self._api.call("GET", f"{WEBHOOKS}/failed-calls", action=action)
        body = answer.body.get("items") if isinstance(answer.body, dict) else answer.body
        if not isinstance(body, list):
            raise http.malformed(answer, service=SERVICE, action=action, missing="items")
        return tuple(filter(None, map(_read_failed, body)))


def _read(body: Any, secret: str) -> Webhook | None:
    webhook = body if isinstance(body, dict) else {}
    if not (webhook_id := identifier(webhook.get("id"))):
        return None
    events = webhook.get("events")
    return Webhook(
        id=webhook_id,
        name=one_line(_text(webhook.get("name"))),
        url=one_line(_text(webhook.get("url"))),
        events=frozenset(map(_text, events)) if isinstance(events, list) else frozenset(),
        holds_secret=_holds(_text(webhook.get("secret")), secret),
    )


def _read_failed(body: Any) -> FailedCall | None:
    call = body if isinstance(body, dict) else {}
    said = _text(call.get("requestBody"))
    return FailedCall(read_date(call.get("createdAt")), said) if said else None


def _holds(shown: str, secret: str) -> bool | None:
    if not shown.strip("*•…"):
        return None
    return hmac.compare_digest(shown.encode(errors="surrogatepass"), secret.encode())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
