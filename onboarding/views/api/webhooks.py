"""Where a partner's program wants to be told."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Response, abort, make_response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from onboarding.models import Partner, WebhookEndpoint
from onboarding.states import ApiScope, EndpointState, PauseReason, WebhookEvent
from onboarding.views.api.parts import (
    Model,
    answers,
    as_json,
    bp,
    checked,
    needs,
    partner,
    problem,
    refusing,
    spec,
    writing,
)
from onboarding.views.parts import installation
from onboarding.webhooks import endpoints

URL = "https://…, which the public Internet can reach."
EVENTS = "Of which it is told. An empty list: of all that there are today."
ENDPOINT = "webhook-endpoints/<uuid:endpoint_id>"


class EndpointIn(Model):
    """An endpoint to be made."""

    url: str = Field(max_length=endpoints.URL_MAX, description=URL)
    events: list[WebhookEvent] = Field(default=[], description=EVENTS)


class EndpointChange(Model):
    """What is to be another; what is left out or null stays as it is."""

    url: str | None = Field(default=None, max_length=endpoints.URL_MAX, description=URL)
    events: list[WebhookEvent] | None = Field(default=None, description=EVENTS)


class EndpointOut(BaseModel):
    """An endpoint, and how it goes."""

    id: UUID
    url: str
    events: list[WebhookEvent]
    created_at: datetime
    state: EndpointState
    failing_since: datetime | None = Field(description="Null: what was sent last was taken.")
    failure: str = Field(description="What went wrong the last time; empty: nothing.")
    pause_reason: PauseReason | None = Field(description="Null: it is not paused.")
    old_secret_until: datetime | None = Field(
        description="Until then messages are signed with the secret before, too."
    )


class EndpointWithSecret(EndpointOut):
    """An endpoint, and its secret, which is told this once."""

    secret: str = Field(description="For verifying what comes.")


class Endpoints(BaseModel):
    """All of them: a few."""

    endpoints: list[EndpointOut]


@bp.get("/webhook-endpoints")
@needs(ApiScope.WEBHOOKS)
@spec.validate(resp=answers(200, Endpoints), tags=["webhooks"])
def list_endpoints() -> Response:
    """Your endpoints."""
    with installation().database.reading() as session:
        found = endpoints.of(session, partner())
    return as_json(Endpoints(endpoints=[EndpointOut(**_told(one)) for one in found]))


@bp.post("/webhook-endpoints")
@needs(ApiScope.WEBHOOKS)
@spec.validate(json=EndpointIn, resp=answers(201, EndpointWithSecret, 409), tags=["webhooks"])
def make_endpoint() -> Response:
    """Have events sent to a URL. The answer holds the secret, which is told this once."""
    given: EndpointIn = checked().json
    parts = installation()
    with refusing("url", conflict="too-many-endpoints"), writing() as session:
        made, secret = endpoints.add(
            session,
            parts.vault,
            parts.settings,
            session.get_one(Partner, partner().id),
            url=given.url,
            events=given.events,
        )
        return as_json(EndpointWithSecret(**_told(made), secret=secret), 201)


@bp.get(f"/{ENDPOINT}")
@needs(ApiScope.WEBHOOKS)
@spec.validate(resp=answers(200, EndpointOut, 404), tags=["webhooks"])
def get_endpoint(endpoint_id: UUID) -> Response:
    """One endpoint."""
    with installation().database.reading() as session:
        return as_json(EndpointOut(**_told(shown(session, endpoint_id))))


@bp.patch(f"/{ENDPOINT}")
@needs(ApiScope.WEBHOOKS)
@spec.validate(json=EndpointChange, resp=answers(200, EndpointOut, 404), tags=["webhooks"])
def change_endpoint(endpoint_id: UUID) -> Response:
    """Another URL, or other events. What waits goes to the new URL."""
    given: EndpointChange = checked().json
    with refusing("url"), writing() as session:
        found = locked(session, endpoint_id)
        endpoints.change(
            session, installation().settings, found, url=given.url, events=given.events
        )
        return as_json(EndpointOut(**_told(found)))


@bp.delete(f"/{ENDPOINT}")
@needs(ApiScope.WEBHOOKS)
@spec.validate(resp=answers(204, None, 404), tags=["webhooks"])
def remove_endpoint(endpoint_id: UUID) -> Response:
    """Send nothing there any more. What waits is not sent."""
    with writing() as session:
        endpoints.remove(installation().vault, locked(session, endpoint_id))
    return make_response("", 204)


@bp.post(f"/{ENDPOINT}/rotate")
@needs(ApiScope.WEBHOOKS)
@spec.validate(resp=answers(200, EndpointWithSecret, 404), tags=["webhooks"])
def rotate_secret(endpoint_id: UUID) -> Response:
    """A new secret, told this once. For a day messages are signed with both."""
    with writing() as session:
        found = locked(session, endpoint_id)
        secret = endpoints.rotate(installation().vault, found)
        return as_json(EndpointWithSecret(**_told(found), secret=secret))


@bp.post(f"/{ENDPOINT}/pause")
@needs(ApiScope.WEBHOOKS)
@spec.validate(resp=answers(200, EndpointOut, 404), tags=["webhooks"])
def pause_endpoint(endpoint_id: UUID) -> Response:
    """Send nothing until it is resumed; what happens meanwhile waits, for 30 days."""
    with writing() as session:
        found = locked(session, endpoint_id)
        endpoints.pause(found)
        return as_json(EndpointOut(**_told(found)))


@bp.post(f"/{ENDPOINT}/resume")
@needs(ApiScope.WEBHOOKS)
@spec.validate(resp=answers(200, EndpointOut, 404), tags=["webhooks"])
def resume_endpoint(endpoint_id: UUID) -> Response:
    """Send again, first of all what has waited."""
    with writing() as session:
        found = locked(session, endpoint_id)
        endpoints.resume(session, found)
        return as_json(EndpointOut(**_told(found)))


def shown(session: Session, endpoint_id: UUID) -> WebhookEndpoint:
    """An endpoint of the partner's, or an answer that there is none."""
    return endpoints.shown(session, endpoint_id, partner=partner()) or abort(problem(404))


def locked(session: Session, endpoint_id: UUID) -> WebhookEndpoint:
    """The same, to be changed."""
    return endpoints.locked(session, endpoint_id, partner=partner()) or abort(problem(404))


def _told(one: WebhookEndpoint) -> dict[str, Any]:
    return {
        "id": one.id,
        "url": one.url,
        "events": one.events,
        "created_at": one.created_at,
        "state": one.state,
        "failing_since": one.failing_since,
        "failure": one.failure,
        "pause_reason": one.pause_reason,
        "old_secret_until": one.old_secret_until,
    }
