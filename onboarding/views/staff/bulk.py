"""Work on many connections at once: asked for, watched, stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID, uuid4

from flask import Response, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session
from wtforms import SelectField
from wtforms.validators import InputRequired

from onboarding.errors import InputInvalid
from onboarding.forms import Form
from onboarding.i18n import gettext as _
from onboarding.i18n import mark, ngettext
from onboarding.models import BulkJob
from onboarding.staff import audit, csv
from onboarding.staff.bulk import jobs
from onboarding.staff.bulk.choice import PICKED_AT_MOST, Choice, outlook
from onboarding.states import (
    BulkKind,
    BulkRowState,
    BulkState,
    LeftOut,
    Role,
    StoppedFor,
)
from onboarding.views.parts import installation
from onboarding.views.staff.forms import Button, only_by_button
from onboarding.views.staff.parts import bp, member, page_before, staff_only

NAMES = {
    BulkKind.RECHECK: mark("Recheck"),
    BulkKind.NEW_LINK: mark("New links"),
    BulkKind.MAIL: mark("Invitations by mail"),
}
EXPLAINED = {
    BulkKind.RECHECK: mark(
        "Leaf is asked how each connection is, as fast as it allows. What people wait for comes "
        "first."
    ),
    BulkKind.NEW_LINK: mark(
        "Each grower gets one more link. The links they have go on working. Nothing is mailed: you "
        "download the links when they are made."
    ),
    BulkKind.MAIL: mark(
        "Each grower is mailed a new link. Who has connected is told how the connection is; all "
        "others are invited to connect."
    ),
}
BEGIN = {
    BulkKind.RECHECK: mark("Recheck %(number)s"),
    BulkKind.NEW_LINK: mark("Make links for %(number)s"),
    BulkKind.MAIL: mark("Send to %(number)s"),
}
STATES = {
    BulkState.COLLECTING: ("wait", mark("Collecting")),
    BulkState.RUNNING: ("wait", mark("Under way")),
    BulkState.DONE: ("ok", mark("Done")),
    BulkState.STOPPED: ("problem", mark("Stopped")),
}
ROW_STATES = {
    BulkRowState.WAITING: ("wait", mark("Not yet")),
    BulkRowState.DONE: ("ok", mark("Done")),
    BulkRowState.LEFT_OUT: ("quiet", mark("Left out")),
    BulkRowState.FAILED: ("problem", mark("Failed")),
}
REASONS = {
    LeftOut.NOT_AT_LEAF: mark("Leaf holds no access of the grower, so there is nothing to check."),
    LeftOut.NO_ADDRESS: mark("There is no e-mail address. Import one, or give it with a new link."),
    LeftOut.ADDRESS_UNFIT: mark("Mail servers do not take the address. Correct it."),
    LeftOut.ADDRESS_REFUSED: mark("The mail server has refused the address. Correct it."),
    LeftOut.MAIL_STOPPED: mark("The grower wants no mails that are sent to many."),
    LeftOut.MAIL_WAITS: mark("An invitation waits to be sent already."),
    LeftOut.NOT_SEEN: mark("It belongs to a partner that is not shown to you any more."),
    LeftOut.OUR_ERROR: mark("Our work broke off. The worker’s log says why."),
}
STOPPED = {
    StoppedFor.PERSON: mark("%(who)s stopped it."),
    StoppedFor.NOT_ALLOWED: mark("%(began)s, who began it, may not do this any more."),
    StoppedFor.VIEW_GONE: mark("What the table was asked for is not there any more."),
    StoppedFor.MAIL_OFF: mark("Mail is off: MAIL_URL is not set."),
}


class BulkForm(Form):
    """What to do. With which connections is read from the request: they are many."""

    kind = SelectField(
        choices=[kind.value for kind in BulkKind], validators=[InputRequired()], coerce=str
    )


@bp.get("/bulk")
@staff_only(Role.VIEWER)
def bulk_jobs() -> ResponseReturnValue:
    """What has been asked for, the last first."""
    with installation().database.reading() as session:
        found = jobs.newest(session, member())
    return render_template("staff/bulk_jobs.html", jobs=found, names=NAMES, states=STATES)


@bp.post("/bulk")
@staff_only(Role.OPERATOR)
def bulk() -> ResponseReturnValue:
    """Ask whether to begin, and begin once that is confirmed."""
    form = BulkForm()
    if not form.validate_on_submit():
        abort(400)
    kind = BulkKind(form.kind.data)
    choice = _choice()
    parts = installation()
    if choice is None or _is_mail_off(kind):
        return redirect(page_before(), 303)
    try:
        if (job_id := _confirmed()) is not None:
            with parts.database.transaction() as session:
                jobs.begin(session, member(), job_id, kind, choice)
            return redirect(url_for("staff.bulk_job", job_id=job_id), 303)
        with parts.database.reading() as session:
            found = outlook(session, member(), kind, choice)
    except InputInvalid as err:
        flash(str(err), "error")
        return redirect(page_before(), 303)
    return render_template(
        "staff/bulk_confirm.html",
        form=form,
        kind=kind,
        name=NAMES[kind],
        explained=EXPLAINED[kind],
        begin=BEGIN[kind],
        choice=choice,
        job_id=uuid4(),
        number=found.pop("", 0),
        left_out=[(LeftOut(why), count) for why, count in sorted(found.items())],
        reasons=REASONS,
        days=parts.settings.link_lifetime_days,
        back=page_before(),
    )


@bp.get("/bulk/<uuid:job_id>")
@staff_only(Role.VIEWER)
def bulk_job(job_id: UUID) -> ResponseReturnValue:
    """How far it is, and what became of each."""
    asked, after = _asked()
    with installation().database.reading() as session:
        job = _load(session, job_id)
        found, has_more = jobs.rows(session, job, state=asked, after=after)
        answered = jobs.count_answered(session, job)
    return render_template(
        "staff/bulk_job.html",
        form=Button(),
        job=job,
        name=NAMES[job.kind],
        state=STATES[job.state],
        stopped=STOPPED.get(job.stopped_for) if job.stopped_for else None,
        answered=answered,
        ends=jobs.ends(job),
        rows=found,
        row_states=ROW_STATES,
        asked=asked,
        reasons=REASONS,
        why=[(LeftOut(why), number) for why, number in sorted(job.reasons.items())],
        first=_page(job_id, asked) if after else None,
        older=_page(job_id, asked, found[-1].connection_id) if has_more else None,
        only=lambda state: _page(job_id, state),
        may_act=member().may(Role.OPERATOR),
        is_mine=job.staff_id == member().id,
    )


@bp.post("/bulk/<uuid:job_id>/stop")
@staff_only(Role.OPERATOR)
def bulk_stop(job_id: UUID) -> ResponseReturnValue:
    """Do nothing more of it."""
    only_by_button()
    with installation().database.transaction() as session:
        job = _load(session, job_id, lock=True)
        was_open = job.due_at is not None
        jobs.stop(session, member(), job)
    if was_open:
        text = ngettext(
            "Stopped. %(num)d was worked on before; it stays as it is.",
            "Stopped. %(num)d were worked on before; they stay as they are.",
            job.worked,
        )
        flash(text % {"num": job.worked}, "message")
    else:
        flash(_("It had ended already."), "message")
    return redirect(url_for("staff.bulk_job", job_id=job_id), 303)


@bp.post("/bulk/<uuid:job_id>/links.csv")
@staff_only(Role.OPERATOR)
def bulk_links(job_id: UUID) -> ResponseReturnValue:
    """The links that were made, for who had them made. A POST, since the audit notes it."""
    only_by_button()
    with installation().database.transaction() as session:
        job = _load(session, job_id)
        if job.staff_id != member().id:
            abort(404)
        audit.record(session, member(), "bulk.links", bulk=str(job_id))
    return links_file(_links(job_id), f"links-{job.created_at:%Y-%m-%d}.csv")


def links_file(rows: Iterator[tuple[str, ...]], name: str) -> Response:
    """Links as a file, sent while it is read."""
    heading = ["external id", "name", "e-mail", "link", "works until (UTC)"]
    return Response(
        csv.lines(heading, rows),
        mimetype="text/csv",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )


def _links(job_id: UUID) -> Iterator[tuple[str, ...]]:
    parts = installation()  # while there is still a request
    found = jobs.links(parts.database, job_id)
    return (
        (
            external_id,
            name,
            email,
            parts.links.url(parts.settings.public_url, link_id),
            f"{until:%Y-%m-%d %H:%M}",
        )
        for external_id, name, email, link_id, until in found
    )


def _choice() -> Choice | None:
    """Which connections are meant; None, and a message, if none or too many."""
    if request.form.get("all"):
        return Choice(view=request.form.get("view", ""))
    picked = tuple(dict.fromkeys(one.upper() for one in request.form.getlist("reference")))
    if not picked:
        flash(_("Nothing was selected. Tick the connections first."), "error")
        return None
    if len(picked) > PICKED_AT_MOST:
        text = _("At most %(number)d connections can be picked one by one.")
        flash(text % {"number": PICKED_AT_MOST}, "error")
        return None
    return Choice(picked)


def _confirmed() -> UUID | None:
    """The id that the page gave which asked whether to begin."""
    with suppress(ValueError):
        return UUID(request.form.get("job", ""))
    return None


def _load(session: Session, job_id: UUID, *, lock: bool = False) -> BulkJob:
    found = jobs.find(session, member(), job_id, lock=lock)
    if found is None:
        abort(404)
    return found


def _asked() -> tuple[BulkRowState | None, UUID | None]:
    state, after = None, None
    with suppress(ValueError):
        state = BulkRowState(request.args.get("state", ""))
    with suppress(ValueError):
        after = UUID(request.args.get("after", ""))
    return state, after


def _page(job_id: UUID, state: BulkRowState | None, after: UUID | None = None) -> str:
    return url_for(
        "staff.bulk_job", job_id=job_id, state=state.value if state else None, after=after
    )


def _is_mail_off(kind: BulkKind) -> bool:
    """Whether mails are wanted and can't be sent; then a message says so."""
    is_off = kind is BulkKind.MAIL and installation().settings.mail is None
    if is_off:
        flash(_("Mail is off, so nothing can be sent: MAIL_URL is not set."), "error")
    return is_off
