"""For partners' developers: a connection of the sandbox in any status. Elsewhere all is 404."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from flask import Response
from pydantic import BaseModel, Field

from onboarding.errors import UpstreamError
from onboarding.partners import moves, ways
from onboarding.states import ApiScope
from onboarding.views.api.connections import StatusOut, stands, visible
from onboarding.views.api.parts import (
    Model,
    answers,
    as_json,
    bp,
    checked,
    invalid,
    needs,
    problem,
    refusing,
    spec,
    writing,
)
from onboarding.views.parts import installation

View = TypeVar("View", bound=Callable[..., Any])
ONLY_THERE = "It is there with the sandbox only: John Deere and Leaf are real here."
UNKNOWN = "must be one of: " + ", ".join(ways.CODES)


class MoveIn(Model):
    """Where to bring it."""

    state: str = Field(
        max_length=64,
        description="Code of a status.",
        json_schema_extra={"enum": list(ways.CODES)},
    )


class MoveOut(BaseModel):
    """What was set going."""

    state: str = Field(description="Where it will be; our worker is often a second later.")
    status: StatusOut = Field(description="Where it is now.")
    hint: str = Field(description="What else is to know.")


def with_sandbox_only(view: View) -> View:
    """Let a view exist where John Deere and Leaf are simulated."""

    @wraps(view)
    def guarded(*more: Any, **given: Any) -> Any:
        if not installation().settings.is_sandbox:
            return problem(404, ONLY_THERE)
        return view(*more, **given)

    return cast(View, guarded)


@bp.post("/sandbox/connections/<reference>/state")
@needs(ApiScope.ACT)
@with_sandbox_only
@spec.validate(json=MoveIn, resp=answers(202, MoveOut, 404, 409, 503), tags=["sandbox"])
def move_connection(reference: str) -> Response:
    """Bring a connection to a status, by what really causes it. With the sandbox only."""
    given: MoveIn = checked().json
    parts = installation()
    with parts.database.reading() as session:
        connection_id = visible(session, reference).id
    if given.state not in ways.CODES:
        return invalid("state", UNKNOWN)
    try:
        with refusing(conflict="no-way-there"):
            hint = moves.Move(parts, connection_id, writing).to(given.state)
    except UpstreamError as err:
        return problem(503, str(err))
    with writing() as session:  # the one of the move, if it has not ended
        told = stands(session, visible(session, reference))
    return as_json(MoveOut(state=given.state, status=told, hint=hint), 202)
