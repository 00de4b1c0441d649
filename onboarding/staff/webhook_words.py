"""What staff read of webhooks: events, what became of a message, how an endpoint stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from onboarding.i18n import gettext as _
from onboarding.i18n import mark
from onboarding.models import WebhookEndpoint
from onboarding.states import (
    TEST_EVENT,
    DeliveryState,
    EndpointState,
    PauseReason,
    WebhookEvent,
)

EVENTS = {
    WebhookEvent.AUTHORIZED: mark("Agreed at John Deere"),
    WebhookEvent.CONNECTED: mark("Connected"),
    WebhookEvent.NEEDS_ACTION: mark("Somebody must act"),
    WebhookEvent.TEMPORARILY_UNAVAILABLE: mark("Paused, goes on by itself"),
    WebhookEvent.REPAIRED: mark("Works again"),
    WebhookEvent.ORGANIZATIONS_CHANGED: mark("Organizations changed"),
    WebhookEvent.DISCONNECTED: mark("Disconnected"),
    WebhookEvent.FAILED: mark("Did not connect"),
    WebhookEvent.LINK_OPENED: mark("Link opened"),
}
STATES = {
    DeliveryState.DELIVERED: ("ok", mark("Delivered")),
    DeliveryState.WAITING: ("wait", mark("Waits")),
    DeliveryState.GIVEN_UP: ("problem", mark("Given up")),
}
PAUSED = {
    PauseReason.BY_HAND: ("quiet", mark("Paused"), mark("By hand")),
    PauseReason.FAILURES: ("problem", mark("Paused"), mark("It had failed for three days")),
    PauseReason.GONE: ("problem", mark("Paused"), mark("It answered that it wants nothing more")),
}


@dataclass(frozen=True)
class Standing:
    """How an endpoint is."""

    tone: str
    label: str
    since: datetime | None = None
    why: str = ""


def standing(endpoint: WebhookEndpoint) -> Standing:
    """In words: paused, failing, or at work."""
    if endpoint.paused_at is not None and endpoint.pause_reason is not None:
        tone, label, why = PAUSED[endpoint.pause_reason]
        said = ": ".join(filter(None, (_(why), endpoint.failure)))
        return Standing(tone, _(label), endpoint.paused_at, said)
    if endpoint.state is EndpointState.FAILS:
        return Standing("problem", _("Fails"), endpoint.failing_since, endpoint.failure)
    return Standing("ok", _("Works"))


def event(name: str) -> str:
    """An event in words; what has none is named by its code."""
    if name == TEST_EVENT:
        return _("Test")
    return _(EVENTS[WebhookEvent(name)]) if name in set(WebhookEvent) else name
