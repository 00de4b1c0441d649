"""One connection: how it is, whose turn it is, what happened, and what staff write down of it.

What they do about it is in `connection_remedies`, and with its grower's links in
`connection_links`.
"""

from __future__ import annotations

from flask import render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session
from wtforms import TextAreaField
from wtforms.validators import DataRequired, Length

from onboarding import describe
from onboarding.clock import now
from onboarding.connections import consent, incidents, owed, timeline
from onboarding.connections.tellers import Place
from onboarding.forms import Form
from onboarding.i18n import gettext as _
from onboarding.models import Connection
from onboarding.staff import happened, links, remedies
from onboarding.staff.words import WORDS
from onboarding.states import Role, Turn
from onboarding.views.parts import installation
from onboarding.views.staff.acting import Done, acts
from onboarding.views.staff.forms import MISSING, Button
from onboarding.views.staff.parts import (
    bp,
    connection_url,
    member,
    staff_only,
    visible_connection,
)

LINES = 50
NOTE_MAX = 2000
LOOKED_AT_EVERY_SECONDS = 3


class NoteForm(Form):
    """A note for other staff."""

    text = TextAreaField(
        _("Note"),
        validators=[DataRequired(_(MISSING)), Length(max=NOTE_MAX)],
        render_kw={"maxlength": NOTE_MAX, "rows": 3},
    )


@bp.get("/connections/<reference>")
@staff_only(Role.VIEWER)
def connection(reference: str) -> ResponseReturnValue:
    """The page of one connection. Opening it lets Leaf be asked, if its last word is old."""
    with installation().database.reading() as session:
        found = visible_connection(session, reference)
        is_asked = owed.is_look_due(found, now())
        place = Place.parse(request.args.get("after", ""))
        shown = _show(session, found, NoteForm(), after=place, is_asked=is_asked)
    if is_asked:
        with installation().database.transaction() as session:
            owed.look(session, found)
    return shown


@bp.post("/connections/<reference>/notes")
@staff_only(Role.OPERATOR)
@acts(happened.NOTE)
def add_note(session: Session, found: Connection) -> Done | tuple[str, int]:
    """Keep a note for other staff; it can't be changed afterwards."""
    form = NoteForm()
    if not form.validate_on_submit():
        return _show(session, found, form), 400
    here = connection_url(found.reference)
    return Done(audited={"text": form.text.data.strip()}, url=f"{here}#timeline")


def _show(
    session: Session,
    found: Connection,
    note: NoteForm,
    *,
    after: Place | None = None,
    is_asked: bool = False,
) -> str:
    """The page.

    :param after: where its timeline goes on; None: it begins with the newest
    :param is_asked: whether opening it lets Leaf be asked
    """
    moment = now()
    latest = consent.latest(session, found.id)
    told = describe.connection(
        found, latest=latest, moment=moment, incident=incidents.of(session, found)
    )
    told_of = timeline.page(session, found.id, limit=LINES, after=after)
    is_watched = after is None and (is_asked or remedies.is_moving(found, told))
    return render_template(
        "staff/connection.html",
        connection=found,
        grower=found.grower,
        told=told,
        words=WORDS.get(told.code),
        turn=Turn(told.who),
        why=describe.for_staff(found, latest),
        keys=describe.keys_for_staff(found, latest),
        arrived=describe.arrived_at_leaf(found),
        can=remedies.can(found),
        next_step=remedies.next_step(found, told),
        may_act=member().may(Role.OPERATOR),
        links=links.newest(session, found),
        moment=moment,
        lines=[happened.told(line) for line in told_of.lines],
        is_newest=after is None,
        older=told_of.older,
        note=note,
        form=Button(),
        is_asked=is_asked or found.is_being_looked_at,
        refresh=LOOKED_AT_EVERY_SECONDS if is_watched else None,
    )
