"""For load balancers: is the process there, and can it work?"""

from __future__ import annotations

import sqlalchemy as sa
from flask import Blueprint
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from onboarding.models import Partner
from onboarding.views.parts import installation

bp = Blueprint("health", __name__, url_prefix="/health")


@bp.get("/live")
def live() -> ResponseReturnValue:
    """200 as long as the process answers."""
    return {"live": True}


@bp.get("/ready")
def ready() -> ResponseReturnValue:
    """200 if the database answers and has its tables and the queue's, else 503."""
    parts = installation()
    try:
        with parts.database.reading() as session:
            session.execute(sa.select(Partner.id).limit(1))
        parts.queue.is_ready()
    except SQLAlchemyError:
        return {"ready": False}, 503
    return {"ready": True}
