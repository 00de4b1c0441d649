"""The table of connections: found, narrowed, put in order, saved, exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from urllib.parse import urlencode
from uuid import UUID

from flask import Response, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from wtforms import BooleanField, HiddenField, StringField

from onboarding.clock import now
from onboarding.errors import InputInvalid
from onboarding.forms import Form
from onboarding.i18n import gettext as _
from onboarding.i18n import mark
from onboarding.models import Partner
from onboarding.staff import audit, export, finding, saved
from onboarding.staff.finding import COUNTED
from onboarding.staff.rows import Place, Row
from onboarding.staff.scope import visible_partners
from onboarding.staff.table import AGES, SIZES, Filter, Sort
from onboarding.staff.words import WORDS
from onboarding.states import Environment, Health, Role, Turn
from onboarding.views.parts import installation
from onboarding.views.staff.parts import bp, member, staff_only

TURNS = {
    Turn.STAFF: mark("Ours"),
    Turn.GROWER: mark("The grower’s"),
    Turn.NOBODY: mark("Nobody’s"),
}
NARROWING = ("status", "turn", "health", "partner", "environment", "older", "unopened")
PICKED_AT_MOST = 1000
"""Reference codes that one form may name."""


class TableForm(Form):
    """What is done with a selection: the references are read from the request, they are many."""

    view = HiddenField()


class ViewForm(Form):
    """Keep a view under a name."""

    view = HiddenField()
    name = StringField()
    shared = BooleanField()


@bp.get("/connections")
@staff_only(Role.VIEWER)
def connections() -> ResponseReturnValue:
    """All connections, or those that the address asks for."""
    problem, page = None, None
    with installation().database.reading() as session:
        partners = visible_partners(session, member())
        views = saved.visible(session, member())
        try:
            asked = Filter.parse(request.args)
            page = finding.page(
                session,
                member(),
                asked,
                partner_id=_partner_id(partners, asked),
                after=Place.parse(request.args.get("after", ""), asked.sort),
                before=Place.parse(request.args.get("before", ""), asked.sort),
            )
        except InputInvalid as err:
            asked, problem = Filter(), str(err)
    rows = page.rows if page else ()
    said: Mapping[str, str] = request.args if problem else asked.arguments()
    given = {name: said.get(name, "") for name in (*NARROWING, "q", "sort", "size")}
    at = {name: request.args[name] for name in ("after", "before") if request.args.get(name)}
    return (
        render_template(
            "staff/connections.html",
            asked=asked,
            given=given,
            is_narrowed=any(given[name] for name in NARROWING),
            problem=problem,
            page=page,
            rows=rows,
            counted=COUNTED,
            previous=_at(asked, before=rows[0]) if page and rows and page.has_previous else None,
            following=_at(asked, after=rows[-1]) if page and rows and page.has_next else None,
            is_first=not at,
            first=_url(asked),
            sort_url=lambda name: _url(asked.sorted_by(Sort(name))),
            sort_state=_sort_state(asked),
            without=_without(asked),
            partners=partners,
            views=views,
            current=next((one for one in views if one.query == asked.query()), None),
            form=TableForm(formdata=None, view=asked.query()),
            view_form=ViewForm(formdata=None, view=asked.query()),
            words=WORDS,
            turns=TURNS,
            healths=list(Health),
            environments=list(Environment),
            ages=AGES,
            sizes=SIZES,
            name_max=saved.NAME_MAX,
        ),
        400 if problem else 200,
        # The address to bookmark has no part of the form that was left empty.
        {} if problem else {"HX-Push-Url": _url(asked, **at)},
    )


@bp.get("/connections.csv")
@staff_only(Role.VIEWER)
def connections_csv() -> ResponseReturnValue:
    """All rows that the address asks for, as a file."""
    return _export(lambda: Filter.parse(request.args))


@bp.post("/connections.csv")
@staff_only(Role.VIEWER)
def picked_csv() -> ResponseReturnValue:
    """The rows that were ticked, as a file; all that match if that is ticked."""
    form = TableForm()
    if not form.validate_on_submit():
        abort(400)
    view = form.view.data or ""
    if request.form.get("all"):
        return _export(lambda: Filter.parse_query(view))
    references = request.form.getlist("reference")[:PICKED_AT_MOST]
    if not references:
        flash(_("Tick the connections first."), "error")
        return redirect(f"{url_for('.connections')}?{view}", 303)
    with installation().database.transaction() as session:
        rows = finding.picked(session, member(), references)
        audit.record(session, member(), "connections.export", number=len(rows))
    return _file(export.lines([rows]))


@bp.post("/connections/views")
@staff_only(Role.VIEWER)
def save_view() -> ResponseReturnValue:
    """Keep the view under a name."""
    form = ViewForm()
    if not form.validate_on_submit():
        abort(400)
    query = form.view.data or ""
    try:
        asked = Filter.parse_query(query)
        with installation().database.transaction() as session:
            saved.save(
                session,
                member(),
                asked,
                name=form.name.data or "",
                is_shared=bool(form.shared.data),
            )
    except InputInvalid as err:
        flash(str(err), "error")
    else:
        flash(_("Saved. You find it above the table."))
        query = asked.query()
    return redirect(f"{url_for('.connections')}?{query}", 303)


@bp.post("/connections/views/<uuid:view_id>/delete")
@staff_only(Role.VIEWER)
def delete_view(view_id: UUID) -> ResponseReturnValue:
    """Delete a view of one's own."""
    form = TableForm()
    if not form.validate_on_submit():
        abort(400)
    with installation().database.transaction() as session:
        if not saved.delete(session, member(), view_id):
            abort(404)
    flash(_("The view is deleted. The connections in it are untouched."))
    return redirect(url_for(".connections"), 303)


def _partner_id(partners: Sequence[Partner], asked: Filter) -> UUID | None:
    """Of those that the member sees."""
    if not asked.partner:
        return None
    for one in partners:
        if one.slug == asked.partner:
            return one.id
    raise finding.no_partner(asked.partner)


def _export(parse: Callable[[], Filter]) -> ResponseReturnValue:
    """All that match. What can't be meant comes back as the page that says why."""
    parts = installation()
    try:
        asked = parse()
        with parts.database.transaction() as session:
            partner = finding.partner_id(session, member(), asked.partner)
            audit.record(session, member(), "connections.export", view=asked.query())
    except InputInvalid:
        query = request.form.get("view") or request.query_string.decode(errors="replace")
        return redirect(f"{url_for('.connections')}?{query}", 303)
    return _file(export.lines(finding.every(parts.database, member(), asked, partner_id=partner)))


def _file(lines: object) -> Response:
    name = f"connections-{now():%Y-%m-%d-%H%M}.csv"
    return Response(
        lines,  # type: ignore[arg-type]
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _url(asked: Filter, **more: str) -> str:
    query = urlencode(asked.arguments() | more)
    return f"{url_for('.connections')}?{query}" if query else url_for(".connections")


def _at(asked: Filter, *, after: Row | None = None, before: Row | None = None) -> str:
    if after is not None:
        return _url(asked, after=str(after.place(asked.sort)))
    return _url(asked, before=str(before.place(asked.sort))) if before else _url(asked)


def _sort_state(asked: Filter) -> Callable[[str], str]:
    """What a heading says of the order (`aria-sort`)."""

    def state(name: str) -> str:
        if asked.sort != name:
            return "none"
        return "descending" if asked.descending else "ascending"

    return state


def _without(asked: Filter) -> dict[str, str]:
    """For each argument that leaves something out: the address without it."""
    found = {}
    for name in asked.narrows:
        kept = {key: value for key, value in asked.arguments().items() if key != name}
        with suppress(InputInvalid):
            found[name] = _url(Filter.parse(kept))
    return found
