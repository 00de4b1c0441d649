"""Growers of a partner, their links, and tokens for frames."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from flask import Response, abort, make_response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session, joinedload

from onboarding.connections import accepted, embedding, growers, history, invitations
from onboarding.models import Connection, Grower, Link, Partner
from onboarding.states import ApiScope
from onboarding.views.api import pages
from onboarding.views.api.pages import Page
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
from onboarding.views.api.values import Email, Name, Phone
from onboarding.views.parts import installation

GROWER = "growers/<path:external_id>"
RETURN_URL = "Where the grower comes back to: one of the addresses listed for you."
AS_WRITTEN = {"merge_slashes": False}
"""An id with two slashes is another than with one."""


def _has_no_default(schema: dict[str, Any]) -> None:
    """To leave a value out is not to say null, which programs would fill in otherwise."""
    del schema["default"]


class GrowerIn(Model):
    """A grower as the partner knows them."""

    name: Name = Field(
        min_length=1, max_length=accepted.NAME_MAX, description="Of the farm, or the person."
    )
    email: Email = Field(
        default=None,
        max_length=accepted.EMAIL_MAX,
        description="Where we write to them.",
        json_schema_extra=_has_no_default,
    )
    phone: Phone = Field(
        default=None,
        max_length=accepted.PHONE_MAX,
        description="For staff, who may call.",
        json_schema_extra=_has_no_default,
    )


class GrowerOut(BaseModel):
    """A grower, and the code of their connection."""

    external_id: str = Field(description="Your own id of the grower.")
    name: str
    email: str | None
    phone: str | None
    leaf_user_id: str | None = Field(description="At Leaf; null until the grower has agreed.")
    created_at: datetime
    connection: str = Field(description="Reference code of the connection.")


class Growers(BaseModel):
    """A page of growers, by external id."""

    growers: list[GrowerOut]
    next: str | None = Field(description="For `after`, if there are more.")


class LinkIn(Model):
    """A link to be made."""

    days: int = Field(default=14, ge=1, le=365, description="After which it ends.")
    return_url: str | None = Field(
        default=None, max_length=accepted.URL_MAX, description=RETURN_URL
    )


class LinkOut(BaseModel):
    """A new link. Its address is told this once."""

    id: UUID = Field(description="With which it can be revoked.")
    url: str = Field(description="For this grower alone. Whoever has it can do what they can.")
    expires_at: datetime


class TokenIn(Model):
    """A token for a frame to be made."""

    return_url: str | None = Field(
        default=None, max_length=accepted.URL_MAX, description=RETURN_URL
    )


class TokenOut(BaseModel):
    """A token for one frame."""

    id: UUID = Field(description="With which it can be revoked, as a link can.")
    token: str = Field(description="For the element, in the page of this grower alone.")
    url: str = Field(description="The same without a frame, for where there is no script.")
    expires_at: datetime


@bp.put(f"/{GROWER}", **AS_WRITTEN)
@needs(ApiScope.WRITE)
@spec.validate(json=GrowerIn, resp=answers(200, GrowerOut), tags=["growers"])
def put_grower(external_id: str) -> Response:
    """Create a grower, or bring one up to date. What is left out stays; null forgets it."""
    given: GrowerIn = checked().json
    told = {field: getattr(given, field) or "" for field in given.model_fields_set}
    with refusing("external_id"), writing() as session:
        grower, _is_new = growers.register(
            session,
            session.get_one(Partner, partner().id),
            external_id=external_id,
            who=history.PARTNER,
            **told,
        )
        session.flush()
        return as_json(_told(session, grower))


@bp.get(f"/{GROWER}", **AS_WRITTEN)
@needs(ApiScope.READ)
@spec.validate(resp=answers(200, GrowerOut, 404), tags=["growers"])
def get_grower(external_id: str) -> Response:
    """One grower."""
    with installation().database.reading() as session:
        return as_json(_told(session, _grower(session, external_id)))


@bp.get("/growers")
@needs(ApiScope.READ)
@spec.validate(query=Page, resp=answers(200, Growers), tags=["growers"])
def list_growers() -> Response:
    """All growers, by external id."""
    asked: Page = checked().query
    query = (
        sa.select(Grower, Connection.reference)
        .join(Connection, Connection.grower_id == Grower.id)
        .where(Grower.partner_id == partner().id)
        .order_by(Grower.external_id)
        .limit(asked.limit + 1)
    )
    if asked.after is not None:
        query = query.where(Grower.external_id > pages.place(asked.after))
    with installation().database.reading() as session:
        rows = session.execute(query).all()
    shown = [_out(grower, reference) for grower, reference in rows[: asked.limit]]
    more = pages.mark(shown[-1].external_id) if len(rows) > asked.limit else None
    return as_json(Growers(growers=shown, next=more))


@bp.post(f"/{GROWER}/links", **AS_WRITTEN)
@needs(ApiScope.WRITE)
@spec.validate(json=LinkIn, resp=answers(201, LinkOut, 404), tags=["links"])
def make_link(external_id: str) -> Response:
    """Make a link, to connect or to connect again. Earlier ones go on working."""
    given: LinkIn = checked().json
    parts = installation()
    with refusing("return_url"), writing() as session:
        grower = _grower(session, external_id)
        url = given.return_url
        made = invitations.new_link(
            session,
            growers.connection_of(session, grower.id),
            lifetime=timedelta(days=given.days),
            return_url=embedding.check_return_url(grower.partner, url) if url else None,
            who=history.PARTNER,
        )
        session.flush()
        address = parts.links.url(parts.settings.public_url, made.id)
        return as_json(LinkOut(id=made.id, url=address, expires_at=made.expires_at), 201)


@bp.delete("/links/<uuid:link_id>")
@needs(ApiScope.WRITE)
@spec.validate(resp=answers(204, None, 404), tags=["links"])
def revoke_link(link_id: UUID) -> Response:
    """Revoke a link, or the token of a frame. Again is the same as once."""
    with writing() as session:
        found = session.get(Link, link_id)
        if found is None or found.grower.partner_id != partner().id:
            abort(problem(404))
        invitations.revoke(session, found, who=history.PARTNER)
    return make_response("", 204)


@bp.post(f"/{GROWER}/embed-tokens", **AS_WRITTEN)
@needs(ApiScope.WRITE)
@spec.validate(json=TokenIn, resp=answers(201, TokenOut, 404), tags=["frames"])
def make_embed_token(external_id: str) -> Response:
    """Make a token for one frame of one grower. It lasts an hour."""
    given: TokenIn = checked().json
    parts = installation()
    with refusing("return_url"), writing() as session:
        grower = _grower(session, external_id)
        connection = growers.connection_of(session, grower.id)
        made = embedding.new_link(session, connection, return_url=given.return_url)
        session.flush()
        told = TokenOut(
            id=made.id,
            token=parts.links.token(made.id),
            url=parts.links.url(parts.settings.public_url, made.id),
            expires_at=made.expires_at,
        )
        return as_json(told, 201)


def _grower(session: Session, external_id: str) -> Grower:
    """A grower of the partner's, or an answer that there is none."""
    query = sa.select(Grower).where(
        Grower.partner_id == partner().id, Grower.external_id == external_id.strip()
    )
    found = None if "\0" in external_id else session.scalar(query.options(joinedload("*")))
    return found or abort(problem(404))


def _told(session: Session, grower: Grower) -> GrowerOut:
    return _out(grower, growers.connection_of(session, grower.id).reference)


def _out(grower: Grower, reference: str) -> GrowerOut:
    return GrowerOut(
        external_id=grower.external_id,
        name=grower.name,
        email=grower.email,
        phone=grower.phone,
        leaf_user_id=grower.leaf_user_id,
        created_at=grower.created_at,
        connection=reference,
    )
