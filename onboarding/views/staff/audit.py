"""Who did what when."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, timedelta
from urllib.parse import urlencode

from flask import Response, render_template, request, url_for
from flask.typing import ResponseReturnValue

from onboarding.clock import now
from onboarding.models import Partner
from onboarding.staff import audit as writing
from onboarding.staff import trail
from onboarding.staff.scope import visible_partners
from onboarding.staff.trail import Filter
from onboarding.states import Role
from onboarding.views.parts import installation
from onboarding.views.staff.parts import bp, member, staff_only

ASKED = ("who", "action", "partner", "reference", "first", "last")
LATEST = date.max - timedelta(days=1)


@bp.get("/audit")
@staff_only(Role.VIEWER)
def audit() -> ResponseReturnValue:
    """The lines that the address asks for, the last first."""
    given = {name: request.args.get(name, "").strip() for name in ASKED}
    before = request.args.get("before", type=int)
    if before is not None and not 0 < before < 1 << 63:
        before = None
    with installation().database.reading() as session:
        partners = visible_partners(session, member())
        found, has_more = trail.page(session, member(), _asked(partners), before=before)
    kept = {name: value for name, value in given.items() if value}
    return render_template(
        "staff/audit.html",
        lines=found,
        given=given,
        is_narrowed=bool(kept),
        partners=partners,
        actions=sorted(trail.WORDS, key=trail.label),
        label=trail.label,
        sees_all=member().partners is None,
        newest=_here(kept) if before else None,
        older=_here(kept | {"before": str(found[-1].id)}) if has_more else None,
        file=f"{url_for('staff.audit_csv')}?{urlencode(kept)}",
    )


@bp.get("/audit.csv")
@staff_only(Role.VIEWER)
def audit_csv() -> ResponseReturnValue:
    """All lines that the address asks for, as a file."""
    database = installation().database
    with database.transaction() as session:
        asked = _asked(visible_partners(session, member()))
        writing.record(session, member(), "audit.export")
    name = f"audit-{now():%Y-%m-%d-%H%M}.csv"
    return Response(
        trail.export(database, member(), asked),
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _asked(partners: Sequence[Partner]) -> Filter:
    """What the address asks for; a date that is none is left out, as browsers send none."""
    slug = request.args.get("partner", "")
    return Filter(
        who=request.args.get("who", "").replace("\0", "").strip(),
        action=request.args.get("action", "").replace("\0", "").strip(),
        partner=next((one.id for one in partners if one.slug == slug), None),
        reference=re.sub(r"[^A-Za-z0-9]", "", request.args.get("reference", "")).upper(),
        first=_day("first"),
        last=_day("last"),
    )


def _day(name: str) -> date | None:
    with suppress(ValueError):
        return min(date.fromisoformat(request.args.get(name, "").strip()), LATEST)
    return None


def _here(asked: dict[str, str]) -> str:
    return f"{request.path}?{urlencode(asked)}"
