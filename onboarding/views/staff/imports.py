"""Files of growers: handed in, looked at, done."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from flask import Response, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.file import FileField, FileRequired
from sqlalchemy.orm import Session
from werkzeug.exceptions import RequestEntityTooLarge
from wtforms import SelectField
from wtforms.validators import InputRequired

from onboarding.errors import InputInvalid
from onboarding.forms import Form
from onboarding.i18n import gettext as _
from onboarding.i18n import mark
from onboarding.models import Import, Partner
from onboarding.staff import audit, csv
from onboarding.staff.imports import doing, file
from onboarding.staff.scope import visible_partners
from onboarding.states import ImportState, ReturnedFor, Role, RowOutcome, RowVerdict
from onboarding.views.parts import installation
from onboarding.views.staff.bulk import links_file
from onboarding.views.staff.forms import Button, only_by_button
from onboarding.views.staff.parts import bp, member, staff_only

FILE_MAX_BYTES = 4 * 1024 * 1024
REQUEST_MAX_BYTES = 4 * FILE_MAX_BYTES
"""So that who hands in more gets a sentence and not the end of the connection."""
TOO_LARGE = mark("The file is larger than 4 MB: split it.")
VERDICTS = {
    RowVerdict.NEW: ("act", mark("New")),
    RowVerdict.CHANGED: ("wait", mark("Changed")),
    RowVerdict.SAME: ("quiet", mark("Known")),
    RowVerdict.WRONG: ("problem", mark("Wrong")),
}
OUTCOMES = {
    RowOutcome.DONE: ("ok", mark("Imported")),
    RowOutcome.OVERTAKEN: ("act", mark("Left out")),
    RowOutcome.FAILED: ("problem", mark("Failed")),
}
STATES = {
    ImportState.SHOWN: ("act", mark("To be confirmed")),
    ImportState.CHECKING: ("wait", mark("Under way")),
    ImportState.RUNNING: ("wait", mark("Under way")),
    ImportState.DONE: ("ok", mark("Imported")),
}
EXPLAINED = {
    RowOutcome.OVERTAKEN: mark(
        "Somebody has changed or added the grower since it was confirmed. Hand the row in again to "
        "see what it comes to now."
    ),
    RowOutcome.FAILED: mark(
        "Our work broke off; the worker’s log says why. Hand the row in again."
    ),
}
TROUBLES = {
    RowOutcome.OVERTAKEN: mark("left out: changed meanwhile"),
    RowOutcome.FAILED: mark("failed"),
}
RETURNED = {
    ReturnedFor.OVERTAKEN: mark(
        "Nothing was imported: since you looked, something has changed. This is what would happen "
        "now."
    ),
    ReturnedFor.NOT_ALLOWED: mark(
        "Nothing was imported: who confirmed it may not do that any more. Another person can."
    ),
}


class ImportForm(Form):
    """A file, and whose growers are in it."""

    partner = SelectField(
        mark("Partner"), validators=[InputRequired(message=mark("Choose the partner."))]
    )
    file = FileField(
        mark("File"), validators=[FileRequired(message=mark("Choose a file to hand in."))]
    )


@bp.get("/imports")
@staff_only(Role.OPERATOR)
def imports() -> ResponseReturnValue:
    """Where a file is handed in, and the last ones that were."""
    return _page(ImportForm(formdata=None))


@bp.post("/imports")
@staff_only(Role.OPERATOR)
def import_file() -> ResponseReturnValue:
    """Show what a file would do."""
    request.max_content_length = REQUEST_MAX_BYTES  # of this page alone
    try:
        form = ImportForm()
    except RequestEntityTooLarge:
        form = ImportForm(formdata=None)
        form.file.errors = [_(TOO_LARGE)]
        return _page(form), 413
    parts = installation()
    with parts.database.reading() as session:
        partners = visible_partners(session, member())
    form.partner.choices = _choices(partners)
    if form.validate_on_submit():
        partner = next(one for one in partners if one.slug == form.partner.data)
        name = form.file.data.filename or _("file")
        try:
            found = file.read(_data(form))
        except InputInvalid as err:
            form.file.errors = [str(err)]
        else:
            with parts.database.transaction() as session:
                shown = doing.show(session, member(), partner, name, found)
            return redirect(url_for("staff.import_show", import_id=shown.id), 303)
    if form.csrf_token.errors:
        form.file.errors = [_("The page was open for too long. Choose the file once more.")]
    return _page(form), 400


@bp.get("/imports/template.csv")
@staff_only(Role.OPERATOR)
def import_template() -> ResponseReturnValue:
    """A file to begin with."""
    example = ["4711", "Maple Farm", "grower@example.com", "555 0100", ""]
    return Response(
        csv.lines(file.TEMPLATE, [example]),
        mimetype="text/csv",
        headers={"Content-Disposition": 'attachment; filename="growers.csv"'},
    )


@bp.get("/imports/<uuid:import_id>")
@staff_only(Role.OPERATOR)
def import_show(import_id: UUID) -> ResponseReturnValue:
    """What a file would do, or has done."""
    asked = _asked()
    after = request.args.get("after", 0, type=int)
    with installation().database.reading() as session:
        shown = _load(session, import_id)
        rows, has_more = doing.rows(session, shown, only=asked, after=after)
        is_done = shown.state is ImportState.DONE
        mailable = doing.count_mailable(session, shown) if is_done else 0
    return render_template(
        "staff/import.html",
        form=Button(),
        shown=shown,
        rows=rows,
        state=STATES[shown.state],
        returned=RETURNED[shown.returned_for] if shown.returned_for else None,
        verdicts=VERDICTS,
        outcomes=OUTCOMES,
        explained=EXPLAINED,
        troubles=[
            (shown.ended_as(one), TROUBLES[one], _of(import_id, one), OUTCOMES[one][0])
            for one in TROUBLES
            if shown.ended_as(one)
        ],
        kinds=VERDICTS | {one: OUTCOMES[one] for one in OUTCOMES if shown.ended_as(one)},
        asked=asked,
        mailable=mailable,
        mail_is_on=installation().settings.mail is not None,
        is_mine=shown.staff_id == member().id,
        only=lambda one: _of(import_id, one),
        first=_of(import_id, asked) if after else None,
        older=_of(import_id, asked, rows[-1].line) if has_more else None,
    )


@bp.post("/imports/<uuid:import_id>/confirm")
@staff_only(Role.OPERATOR)
def import_confirm(import_id: UUID) -> ResponseReturnValue:
    """Have done what was shown."""
    only_by_button()
    seen = request.form.get("seen", -1, type=int)
    with installation().database.transaction() as session:
        is_confirmed = doing.confirm(
            session, member(), _load(session, import_id, lock=True), seen=seen
        )
    if not is_confirmed:
        text = _(
            "Nothing was begun: it has been shown anew since you looked. Confirm this instead."
        )
        flash(text, "error")
    return redirect(url_for("staff.import_show", import_id=import_id), 303)


@bp.post("/imports/<uuid:import_id>/mail")
@staff_only(Role.OPERATOR)
def import_mail(import_id: UUID) -> ResponseReturnValue:
    """Mail the links of the growers who are new."""
    only_by_button()
    if installation().settings.mail is None:
        flash(_("Mail is off, so nothing can be sent: MAIL_URL is not set."), "error")
        return redirect(url_for("staff.import_show", import_id=import_id), 303)
    with installation().database.transaction() as session:
        job = doing.mail(session, member(), _load(session, import_id, done=True))
    return redirect(url_for("staff.bulk_job", job_id=job.id), 303)


@bp.post("/imports/<uuid:import_id>/links.csv")
@staff_only(Role.OPERATOR)
def import_links(import_id: UUID) -> ResponseReturnValue:
    """The links that were made, for who had them made. A POST, since the audit notes it."""
    only_by_button()
    parts = installation()
    with parts.database.transaction() as session:
        done = _load(session, import_id, done=True)
        if done.staff_id != member().id:
            abort(404)
        audit.record(session, member(), "import.links", partner=done.partner, file=done.file_name)
        rows = [
            (
                external_id,
                name,
                email,
                parts.links.url(parts.settings.public_url, link_id),
                f"{until:%Y-%m-%d %H:%M}",
            )
            for external_id, name, email, link_id, until in doing.links(session, done)
        ]
    return links_file(iter(rows), f"links-{done.created_at:%Y-%m-%d}.csv")


def _page(form: ImportForm) -> str:
    with installation().database.reading() as session:
        partners = visible_partners(session, member())
        found = doing.newest(session, member())
    form.partner.choices = _choices(partners)
    return render_template(
        "staff/imports.html",
        form=form,
        imports=found,
        columns=file.TEMPLATE,
        rows_at_most=file.ROWS_AT_MOST,
        states=STATES,
    )


def _choices(partners: Sequence[Partner]) -> list[tuple[str, str]]:
    """Nothing is chosen unless there is only one: growers of the wrong partner are hard to mend."""
    named = [(one.slug, one.name) for one in partners]
    return named if len(named) == 1 else [("", _("Choose")), *named]


def _data(form: ImportForm) -> bytes:
    data: bytes = form.file.data.stream.read(FILE_MAX_BYTES + 1)
    if len(data) > FILE_MAX_BYTES:
        raise InputInvalid(_(TOO_LARGE))
    return data


def _load(session: Session, import_id: UUID, *, lock: bool = False, done: bool = False) -> Import:
    found = doing.find(session, member(), import_id, lock=lock)
    if found is None or (done and found.state is not ImportState.DONE):
        abort(404)
    return found


def _asked() -> RowVerdict | RowOutcome | None:
    for kind in (RowVerdict, RowOutcome):
        with suppress(ValueError):
            return kind(request.args.get("only", ""))
    return None


def _of(import_id: UUID, only: RowVerdict | RowOutcome | None, after: int | None = None) -> str:
    return url_for(
        "staff.import_show", import_id=import_id, only=only.value if only else None, after=after
    )
