"""What happened to a connection."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from flask import Response
from pydantic import BaseModel, Field

from onboarding.partners import happened
from onboarding.states import ApiScope
from onboarding.views.api import pages
from onboarding.views.api.connections import visible
from onboarding.views.api.pages import Page
from onboarding.views.api.parts import answers, as_json, bp, checked, needs, spec
from onboarding.views.parts import installation

TYPES = tuple(sorted(happened.WORDS))


class EventOut(BaseModel):
    """One thing that happened."""

    id: str = Field(description="Later ones are larger numbers.")
    type: str = Field(description="Stable, for machines.", json_schema_extra={"enum": [*TYPES]})
    at: datetime
    by: Literal["grower", "staff", "partner", "system"] = Field(description="Who did it.")
    sentence: str = Field(description="What a person would read.")
    organizations: list[str] = Field(description="Those that it is about, by name.")
    health: str | None = Field(description="Leaf's word, where it is about that.")


class History(BaseModel):
    """A page of what happened, newest first."""

    events: list[EventOut]
    next: str | None = Field(description="For `after`, if there is more.")


@bp.get("/connections/<reference>/history")
@needs(ApiScope.READ)
@spec.validate(query=Page, resp=answers(200, History, 404), tags=["connections"])
def list_history(reference: str) -> Response:
    """What happened to a connection, newest first."""
    asked: Page = checked().query
    before = pages.number(asked.after)
    with installation().database.reading() as session:
        connection_id = visible(session, reference).id
        found = happened.newest(session, connection_id, limit=asked.limit + 1, before=before)
    shown = found[: asked.limit]
    told = [
        EventOut.model_validate(
            {
                "id": str(one.number),
                "type": one.type,
                "at": one.at,
                "by": one.who,
                "sentence": one.sentence,
                "organizations": one.organizations,
                "health": one.health,
            }
        )
        for one in shown
    ]
    return as_json(History(events=told, next=told[-1].id if len(found) > asked.limit else None))
