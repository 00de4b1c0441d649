"""What is shared at John Deere, and what Leaf fetches of it."""

from __future__ import annotations

from typing import Literal

from flask import Response
from pydantic import BaseModel, Field

from onboarding.models import Organization
from onboarding.partners import deeds
from onboarding.states import ApiScope, SyncChoice
from onboarding.views.api.connections import visible
from onboarding.views.api.parts import (
    Model,
    answers,
    as_json,
    bp,
    checked,
    needs,
    problem,
    refusing,
    spec,
    writing,
)
from onboarding.views.parts import installation


class SharedOut(BaseModel):
    """An organization, and what Leaf fetches of it."""

    id: str = Field(description="John Deere's.")
    name: str
    connected: bool = Field(description="Whether the grower shares it at John Deere.")
    is_own: bool = Field(description="False: another farm's, seen through a partnership.")
    sync: SyncChoice | None = Field(
        description="What Leaf fetches, as it last said: SELECTED all, PREVIEW nothing, BLOCKED "
        "nothing since it is not shared. Null: Leaf has not said yet."
    )
    chosen: SyncChoice | None = Field(
        description="What was chosen here, by you or by staff. Null: nothing was."
    )
    is_owed: bool = Field(description="Whether Leaf has yet to be told, or to confirm it.")


class SharedList(BaseModel):
    """All that the grower's account sees, by name."""

    organizations: list[SharedOut]


class ChoiceIn(Model):
    """What Leaf is to fetch."""

    sync: Literal["SELECTED", "PREVIEW"] = Field(description="SELECTED: all. PREVIEW: nothing.")


@bp.get("/connections/<reference>/organizations")
@needs(ApiScope.READ)
@spec.validate(resp=answers(200, SharedList, 404), tags=["organizations"])
def list_organizations(reference: str) -> Response:
    """What the grower shares, and what Leaf fetches of it."""
    with installation().database.reading() as session:
        rows = visible(session, reference).organizations
        return as_json(SharedList(organizations=[_out(row) for row in rows]))


@bp.patch("/connections/<reference>/organizations/<organization_id>")
@needs(ApiScope.ACT)
@spec.validate(json=ChoiceIn, resp=answers(202, SharedOut, 404, 409), tags=["organizations"])
def choose_organization(reference: str, organization_id: str) -> Response:
    """Let Leaf fetch an organization, or not. It is told soon; `is_owed` says until when."""
    given: ChoiceIn = checked().json
    with refusing(conflict="not-to-be-chosen"), writing() as session:
        found = visible(session, reference)
        row = deeds.choose(session, found, organization_id, SyncChoice(given.sync))
        return as_json(_out(row), 202) if row is not None else problem(404)


def _out(row: Organization) -> SharedOut:
    return SharedOut(
        id=row.deere_id,
        name=row.name,
        connected=row.connected,
        is_own=row.member,
        sync=row.sync_choice,
        chosen=row.sync_chosen,
        is_owed=row.is_choice_owed,
    )
