"""What the staff of the demo world have done with many connections at once."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from onboarding.local.world.life import Life
from onboarding.local.world.making import World
from onboarding.models import BulkJob, BulkRow, Staff
from onboarding.states import BulkKind, BulkRowState, BulkState, LeftOut, Role, StoppedFor

EACH_TAKES = timedelta(milliseconds=40)


@dataclass(frozen=True)
class Job:
    """One of them: what, when, about whom, and whether somebody stopped it half-way."""

    kind: BulkKind
    days_ago: float
    code: str
    is_stopped: bool = False


JOBS = (
    Job(BulkKind.RECHECK, 33.2, "connected", is_stopped=True),
    Job(BulkKind.MAIL, 9.1, "no_organization_chosen"),
    Job(BulkKind.RECHECK, 2.3, "reconnect"),
)


def jobs(world: World, people: list[Staff]) -> list[tuple[BulkJob, list[BulkRow]]]:
    """Each with its rows."""
    operator = next(one for one in people if one.role is Role.ADMINISTRATOR)
    return [_made(world, operator, job) for job in JOBS]


def _made(world: World, by: Staff, wanted: Job) -> tuple[BulkJob, list[BulkRow]]:
    began = world.moment - timedelta(days=wanted.days_ago)
    found = _meant(world, wanted)
    lives = sorted(found, key=lambda life: str(life.connection.id))
    key = uuid.uuid5(uuid.NAMESPACE_URL, f"bulk/{wanted.kind}/{wanted.code}")
    number = len(lives) // 3 if wanted.is_stopped else len(lives)
    rows = [_row(key, life, place, number, wanted.kind) for place, life in enumerate(lives)]
    for place, row in enumerate(rows[:number]):
        row.at = began + EACH_TAKES * place
    states = Counter(row.state for row in rows)
    reasons = Counter(row.reason.value for row in rows if row.reason)
    job = BulkJob(
        id=key,
        staff_id=by.id,
        kind=wanted.kind,
        state=BulkState.STOPPED if wanted.is_stopped else BulkState.DONE,
        view=f"code={wanted.code}",
        created_at=began,
        worked_to=rows[number - 1].connection_id,
        collected_to=rows[-1].connection_id,
        total=len(rows),
        done=states[BulkRowState.DONE],
        left_out=states[BulkRowState.LEFT_OUT],
        failed=0,
        reasons=dict(reasons),
        partners=sorted({str(life.grower.partner_id) for life in lives}),
        stopped_for=StoppedFor.PERSON if wanted.is_stopped else None,
        stopped_by=by.email if wanted.is_stopped else "",
        ended_at=began + EACH_TAKES * number,
    )
    return job, rows


def _meant(world: World, wanted: Job) -> Iterator[Life]:
    for life, code in zip(world.lives, world.codes, strict=True):
        if code == wanted.code and life.born < world.moment - timedelta(days=wanted.days_ago):
            yield life


def _row(job_id: uuid.UUID, life: Life, place: int, number: int, kind: BulkKind) -> BulkRow:
    row = BulkRow(job_id=job_id, connection_id=life.connection.id, state=BulkRowState.WAITING)
    if place < number:
        is_left_out = kind is not BulkKind.RECHECK and not life.grower.email
        row.state = BulkRowState.LEFT_OUT if is_left_out else BulkRowState.DONE
        row.reason = LeftOut.NO_ADDRESS if is_left_out else None
    return row
