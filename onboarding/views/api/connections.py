"""Connections of a partner's growers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import sqlalchemy as sa
from flask import Response, abort, make_response
from pydantic import AfterValidator, BaseModel, Field
from sqlalchemy.orm import Session, joinedload, selectinload

from onboarding.connections import owed
from onboarding.models import Connection, Grower, Listing
from onboarding.partners import deeds, status
from onboarding.states import ApiScope, Health, Turn
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
from onboarding.views.api.values import Line, Moment, in_our_time, row_number
from onboarding.views.parts import installation


def _is_known(code: str | None) -> str | None:
    if code is not None and code not in status.CODES:
        raise ValueError(f"must be one of: {', '.join(status.CODES)}")
    return code


Code = Annotated[str, Field(json_schema_extra={"enum": [*status.CODES]})]


class StatusOut(BaseModel):
    """The same as on every page."""

    code: Code = Field(description="Stable, for machines.")
    label: str = Field(description="Two or three words.")
    sentence: str = Field(description="What a person would read.")
    who: Turn = Field(description="Whose turn it is.")
    since: datetime = Field(description="When it came to that code.")


class OrganizationOut(BaseModel):
    """An organization at John Deere, as the grower's account sees it."""

    id: str = Field(description="John Deere's.")
    name: str
    connected: bool = Field(description="Whether the grower shares it at John Deere.")


class ConnectionOut(BaseModel):
    """A connection, and where it stands."""

    reference: str = Field(description="Reference code, for people as well.")
    external_id: str = Field(description="Your own id of its grower.")
    status: StatusOut
    health: Health = Field(description="Leaf's word on the permission.")
    leaf_user_id: str | None = Field(description="Of the grower, at Leaf.")
    connected_at: datetime | None = Field(description="When data could flow for the first time.")
    checked_at: datetime | None = Field(description="When Leaf was asked last.")
    organizations: list[OrganizationOut]


class ConnectionRow(BaseModel):
    """A connection in a list."""

    reference: str = Field(description="Reference code.")
    external_id: str = Field(description="Your own id of its grower.")
    code: Code = Field(description="Of its status.")
    since: datetime = Field(description="When it came to that code.")
    who: Turn = Field(description="Whose turn it is.")
    health: Health = Field(description="Leaf's word on the permission.")


class Connections(BaseModel):
    """A page of connections, what changed last first."""

    connections: list[ConnectionRow]
    next: str | None = Field(description="For `after`, if there are more.")


class EndIn(Model):
    """Why it is ended."""

    reason: Line = Field(
        default="", max_length=deeds.REASON_MAX, description="For our staff, in one line."
    )


class ListQuery(Page):
    """Which of them, and which page."""

    status: Annotated[Code | None, AfterValidator(_is_known)] = Field(
        default=None, description="Code of the status."
    )
    health: Health | None = Field(default=None, description="Leaf's word.")
    changed_since: Moment | None = Field(
        default=None,
        description="Those that have come to their status since then. Ask with some minutes of "
        "overlap: what changes because time passes is noted a little later than it becomes true.",
    )


@bp.get("/connections/<reference>")
@needs(ApiScope.READ)
@spec.validate(resp=answers(200, ConnectionOut, 404), tags=["connections"])
def get_connection(reference: str) -> Response:
    """One connection."""
    with installation().database.reading() as session:
        found = visible(session, reference)
        out = ConnectionOut(
            reference=found.reference,
            external_id=found.grower.external_id,
            status=stands(session, found),
            health=found.health,
            leaf_user_id=found.grower.leaf_user_id,
            connected_at=found.connected_at,
            checked_at=found.checked_at,
            organizations=[
                OrganizationOut(id=one.deere_id, name=one.name, connected=one.connected)
                for one in found.organizations
            ],
        )
    return as_json(out)


@bp.get("/connections")
@needs(ApiScope.READ)
@spec.validate(query=ListQuery, resp=answers(200, Connections), tags=["connections"])
def list_connections() -> Response:
    """All connections, those whose status changed last first."""
    asked: ListQuery = checked().query
    query = (
        sa.select(Listing, Connection.reference, Grower.external_id)
        .join(Connection, Connection.id == Listing.connection_id)
        .join(Grower, Grower.id == Connection.grower_id)
        .where(Listing.partner_id == partner().id)
        .order_by(Listing.since.desc(), Listing.number.desc())
        .limit(asked.limit + 1)
    )
    if asked.status is not None:
        query = query.where(Listing.code == asked.status)
    if asked.health is not None:
        query = query.where(Listing.health == asked.health)
    if asked.changed_since is not None:
        query = query.where(Listing.since >= asked.changed_since)
    if asked.after is not None:
        query = query.where(sa.tuple_(Listing.since, Listing.number) < _place(asked.after))
    with installation().database.reading() as session:
        rows = session.execute(query).all()
    shown = [
        ConnectionRow(
            reference=reference,
            external_id=external_id,
            code=row.code,
            since=row.since,
            who=row.turn,
            health=row.health,
        )
        for row, reference, external_id in rows[: asked.limit]
    ]
    last = rows[asked.limit - 1][0] if len(rows) > asked.limit else None
    return as_json(Connections(connections=shown, next=None if last is None else _after(last)))


@bp.post("/connections/<reference>/recheck")
@needs(ApiScope.ACT)
@spec.validate(resp=answers(202, None, 404), tags=["connections"])
def recheck(reference: str) -> Response:
    """Have Leaf asked at once, if the last answer is older than a minute."""
    with writing() as session:
        owed.look(session, visible(session, reference))
    return make_response("", 202)


@bp.post("/connections/<reference>/disconnect")
@needs(ApiScope.ACT)
@spec.validate(json=EndIn, resp=answers(202, StatusOut, 404, 409), tags=["connections"])
def disconnect_connection(reference: str) -> Response:
    """End a connection. Leaf deletes the permission soon; until then it is `disconnecting`."""
    given: EndIn = checked().json
    with refusing(conflict="nothing-to-end"), writing() as session:
        found = visible(session, reference)
        deeds.end(session, installation().queue, found, reason=given.reason)
        session.flush()
        return as_json(stands(session, found), 202)


def stands(session: Session, found: Connection) -> StatusOut:
    """Where a connection stands at this moment."""
    return StatusOut.model_validate(vars(status.status_of(session, found)))


def visible(session: Session, reference: str) -> Connection:
    """A connection of a grower of the partner's, or an answer that there is none."""
    query = (
        sa.select(Connection)
        .join(Grower, Grower.id == Connection.grower_id)
        .where(Connection.reference == reference.upper(), Grower.partner_id == partner().id)
        .options(selectinload(Connection.organizations), joinedload(Connection.grower))
    )
    found = None if "\0" in reference else session.scalar(query)
    return found or abort(problem(404))


def _after(row: Listing) -> str:
    return pages.mark(f"{row.number}~{row.since.isoformat()}")


def _place(after: str) -> sa.Tuple:
    before, _tilde, moment = pages.place(after).partition("~")
    number = row_number(before)
    try:
        since = in_our_time(datetime.fromisoformat(moment))
    except ValueError:
        pages.unusable()
    if number is None or since.tzinfo is None:
        pages.unusable()
    return sa.tuple_(sa.literal(since, Listing.since.type), sa.literal(number))
