"""How much may be asked with a key: counted in its row, for all processes together.

A window begins with the first request after the last one ended. Only requests that are let in are
written down, so that a flood of others is no more than reads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from onboarding import clock
from onboarding.db import Database
from onboarding.models import ApiKey

REQUESTS = 600
WINDOW = timedelta(minutes=1)


@dataclass(frozen=True)
class Spent:
    """What is left after a request.

    :ivar remaining: so many more are let in, in this window
    :ivar resets_in: seconds until the next window may begin
    :ivar is_too_much: whether this request is not let in
    """

    remaining: int
    resets_in: int
    is_too_much: bool


def spend(database: Database, key: ApiKey) -> Spent:
    """Count a request, and note that its key is in use.

    :param key: as it was read a moment ago
    """
    moment = clock.real()
    if key.window_count >= REQUESTS and _is_running(key.window_began_at, moment):
        return _spent(key.window_began_at, key.window_count + 1, moment)
    edge, future = moment - WINDOW, moment + WINDOW
    began = ApiKey.window_began_at
    is_over = sa.or_(began.is_(None), began <= edge, began > future)
    with database.counting() as session:
        row = session.execute(
            sa.update(ApiKey)
            .where(ApiKey.id == key.id)
            .values(
                window_began_at=sa.case((is_over, sa.literal(moment, began.type)), else_=began),
                window_count=sa.case((is_over, 1), else_=ApiKey.window_count + 1),
                used_at=clock.now(),
            )
            .returning(ApiKey.window_began_at, ApiKey.window_count)
            .execution_options(synchronize_session=False)
        ).one()
    return _spent(row.window_began_at, row.window_count, moment)


def _is_running(began: datetime | None, moment: datetime) -> bool:
    """Also not, if the machine's time was put back."""
    return began is not None and moment - WINDOW < began <= moment + WINDOW


def _spent(began: datetime | None, count: int, moment: datetime) -> Spent:
    ends = (began or moment) + WINDOW
    resets_in = max(1, math.ceil((ends - moment).total_seconds()))
    return Spent(max(0, REQUESTS - count), resets_in, count > REQUESTS)
