"""One connection: how it is, whose turn it is, what happened, and what staff can do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from flask import abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from markupsafe import Markup
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import StringField, TextAreaField
from wtforms.validators import AnyOf, InputRequired, Length

from onboarding import describe
from onboarding.clock import now
from onboarding.connections import (
    consent,
    disconnect,
    hand_over,
    history,
    incidents,
    invitations,
    mails,
    owed,
    selection,
    timeline,
)
from onboarding.connections.timeline import Place
from onboarding.describe import Told
from onboarding.errors import InputInvalid
from onboarding.i18n import gettext as _
from onboarding.models import Connection, Link, locked
from onboarding.staff import audit, happened, links
from onboarding.staff.words import WORDS
from onboarding.states import Role, Stage, SyncChoice, Turn
from onboarding.views.parts import installation
from onboarding.views.staff.forms import MISSING, Button
from onboarding.views.staff.parts import (
    bp,
    connection_url,
    current_session,
    member,
    staff_only,
    visible_connection,
)

LINES = 50
NOTE_MAX = 2000
LOOKED_AT_EVERY_SECONDS = 3


class DisconnectForm(FlaskForm):  # type: ignore[misc]
    """Why it is ended."""

    reason = StringField(
        _("Reason"),
        validators=[InputRequired(_(MISSING)), Length(max=disconnect.REASON_MAX)],
        render_kw={"maxlength": disconnect.REASON_MAX, "autocomplete": "off"},
    )


class ChoiceForm(FlaskForm):  # type: ignore[misc]
    """What Leaf fetches of one organization: a button that carries both."""

    organization = StringField(validators=[InputRequired(), Length(max=64)])
    choice = StringField(validators=[AnyOf([SyncChoice.SELECTED.value, SyncChoice.PREVIEW.value])])


class NoteForm(FlaskForm):  # type: ignore[misc]
    """A note for other staff."""

    text = TextAreaField(
        _("Note"),
        validators=[InputRequired(_(MISSING)), Length(max=NOTE_MAX)],
        render_kw={"maxlength": NOTE_MAX, "rows": 3},
    )


@dataclass(frozen=True)
class Can:
    """What may be done with a connection as it is; the first of `primary` is the next step."""

    recheck: bool
    retry: bool
    end: bool
    primary: str
    """`retry`, `link`, `recheck` or nothing."""


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


@bp.post("/connections/<reference>/recheck")
@staff_only(Role.OPERATOR)
def recheck(reference: str) -> ResponseReturnValue:
    """Ask Leaf now."""
    with _acting(reference) as (session, found):
        found = locked(session, found.id)
        if not _can(found).recheck:
            raise InputInvalid(_("Leaf holds nothing of this connection: there is nothing to ask."))
        owed.owe_check(found)
        audit.record(session, member(), "connection.recheck", connection=found)
        flash(_("Leaf is being asked. The answer appears here in a few seconds."), "message")
    return _back(reference)


@bp.post("/connections/<reference>/retry")
@staff_only(Role.OPERATOR)
def retry(reference: str) -> ResponseReturnValue:
    """Try the hand-over, or the end, once more."""
    with _acting(reference) as (session, found):
        hand_over.retry(session, installation().queue, found)
        audit.record(session, member(), "connection.retry", connection=found)
        flash(_("It is tried again now. How it went appears here."), "message")
    return _back(reference)


@bp.post("/connections/<reference>/resync")
@staff_only(Role.OPERATOR)
def resync(reference: str) -> ResponseReturnValue:
    """Let Leaf read anew at John Deere which organizations there are."""
    with _acting(reference) as (session, found):
        selection.resync(session, found, who=history.STAFF)
        audit.record(session, member(), "connection.resync", connection=found)
        flash(_("Leaf reads the organizations anew. What it finds appears here."), "message")
    return _back(reference)


@bp.post("/connections/<reference>/organizations")
@staff_only(Role.OPERATOR)
def choose(reference: str) -> ResponseReturnValue:
    """Let Leaf fetch an organization, or not."""
    form = ChoiceForm()
    with _acting(reference) as (session, found):
        if not form.validate_on_submit():
            abort(400)
        choice, organization = SyncChoice(form.choice.data), form.organization.data
        selection.choose(session, found, organization, choice, who=history.STAFF)
        audit.record(
            session,
            member(),
            "connection.choose",
            connection=found,
            organization=organization,
            choice=choice.value,
        )
        flash(_("Leaf is being told. The answer appears here in a few seconds."), "message")
    return _back(reference)


@bp.post("/connections/<reference>/links")
@staff_only(Role.OPERATOR)
def make_link(reference: str) -> ResponseReturnValue:
    """Make a link, and go where it is shown."""
    made: Link | None = None
    with _acting(reference) as (session, found):
        lifetime = timedelta(days=installation().settings.link_lifetime_days)
        made = links.make(session, found, current_session(), lifetime=lifetime)
        audit.record(session, member(), "connection.new_link", connection=found)
    return redirect(url_for(".link", reference=reference, link_id=made.id), 303)


@bp.get("/connections/<reference>/links/<uuid:link_id>")
@staff_only(Role.OPERATOR)
def link(reference: str, link_id: UUID) -> ResponseReturnValue:
    """A link that was made just now: to copy, to show to a camera, to mail."""
    parts = installation()
    with parts.database.reading() as session:
        found = visible_connection(session, reference)
        made = _link_of(session, found, link_id)
        is_shown = links.is_shown(made, current_session())
        shown = parts.links.url(parts.settings.public_url, made.id) if is_shown else None
        return render_template(
            "staff/link.html",
            connection=found,
            grower=found.grower,
            link=made,
            url=shown,
            is_new=links.is_new(made),
            qr=Markup(links.qr_code(shown)) if shown else None,  # noqa: S704
            mail_is_on=parts.settings.mail is not None,
            form=Button(),
        )


@bp.post("/connections/<reference>/links/<uuid:link_id>/mail")
@staff_only(Role.OPERATOR)
def mail_link(reference: str, link_id: UUID) -> ResponseReturnValue:
    """Let the worker mail it."""
    with _acting(reference) as (session, found):
        made = _link_of(session, found, link_id)
        if not links.is_shown(made, current_session()):
            raise InputInvalid(
                _("Only who makes a link can mail it, for ten minutes. Make a new one.")
            )
        _check_mailing(found)
        mails.invite(session, installation().settings, made, found)
        audit.record(session, member(), "connection.mail_link", connection=found)
        flash(_("The link is being mailed. Whether the mail got out appears below."), "message")
    return _back(reference)


@bp.post("/connections/<reference>/links/<uuid:link_id>/revoke")
@staff_only(Role.OPERATOR)
def revoke_link(reference: str, link_id: UUID) -> ResponseReturnValue:
    """Make it worthless."""
    with _acting(reference) as (session, found):
        invitations.revoke(session, _link_of(session, found, link_id))
        audit.record(session, member(), "connection.revoke_link", connection=found)
        flash(_("The link opens nothing any more."), "message")
    return _back(reference)


@bp.post("/connections/<reference>/notes")
@staff_only(Role.OPERATOR)
def add_note(reference: str) -> ResponseReturnValue:
    """Keep a note for other staff; it can't be changed afterwards."""
    form = NoteForm()
    if not form.validate_on_submit():
        with installation().database.reading() as session:
            return _show(session, visible_connection(session, reference), form), 400
    with _acting(reference) as (session, found):
        text = form.text.data.strip()
        audit.record(session, member(), happened.NOTE, connection=found, text=text)
    return _back(reference, anchor="timeline")


@bp.get("/connections/<reference>/disconnect")
@staff_only(Role.OPERATOR, fresh=True)
def disconnect_connection(reference: str) -> ResponseReturnValue:
    """What ending it means, before it is done."""
    with installation().database.reading() as session:
        return _ask_reason(visible_connection(session, reference), DisconnectForm())


@bp.post("/connections/<reference>/disconnect", endpoint="disconnect_now")
@staff_only(Role.OPERATOR, fresh=True)
def disconnect_now(reference: str) -> ResponseReturnValue:
    """End it."""
    form = DisconnectForm()
    if not form.validate_on_submit():
        with installation().database.reading() as session:
            return _ask_reason(visible_connection(session, reference), form), 400
    with _acting(reference) as (session, found):
        reason = disconnect.reason_of_staff(form.reason.data)
        disconnect.ask(session, installation().queue, found, who=history.STAFF, reason=reason)
        audit.record(session, member(), "connection.disconnect", connection=found, reason=reason)
        flash(_("It is being ended. Leaf deletes the credential; this page says when."), "message")
    return _back(reference)


def _ask_reason(found: Connection, form: DisconnectForm) -> str:
    return render_template(
        "staff/disconnect.html", connection=found, grower=found.grower, form=form, can=_can(found)
    )


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
        health=describe.health_for_staff(found, moment),
        can=_can(found, told),
        may_act=member().may(Role.OPERATOR),
        links=links.newest(session, found),
        moment=moment,
        lines=[happened.told(line) for line in told_of.lines],
        is_newest=after is None,
        older=told_of.older,
        note=note,
        form=Button(),
        is_asked=is_asked or found.is_being_looked_at,
        refresh=LOOKED_AT_EVERY_SECONDS
        if after is None and (is_asked or _is_moving(found, told))
        else None,
    )


def _can(found: Connection, told: Told | None = None) -> Can:
    recheck = found.is_at_leaf and found.check_due_at is not None
    retry = (found.stage is Stage.FAILED and found.refresh_token is not None) or (
        found.stage in {Stage.HANDING_OVER, Stage.DISCONNECTING} and found.waiting_since is not None
    )
    primary = ""
    if told is not None and retry and told.who != "grower":
        primary = "retry"
    elif told is not None and told.who == "grower":
        primary = "link"
    elif recheck:
        primary = "recheck"
    return Can(recheck, retry, found.can_be_disconnected, primary)


def _is_moving(found: Connection, told: Told) -> bool:
    """Whether the page is likely to be another one in a few seconds."""
    return (
        found.is_being_looked_at
        or found.is_about_to_change
        or (found.stage in {Stage.HANDING_OVER, Stage.DISCONNECTING} and told.who == "nobody")
    )


@contextmanager
def _acting(reference: str) -> Iterator[tuple[Session, Connection]]:
    """A transaction with the connection; what can't be done is said on its page."""
    if not Button().validate_on_submit():
        abort(400)
    try:
        with installation().database.transaction() as session:
            yield session, visible_connection(session, reference)
    except InputInvalid as err:
        flash(str(err), "error")
        abort(_back(reference))


def _check_mailing(found: Connection) -> None:
    """Say what to do where nothing can be mailed."""
    if installation().settings.mail is None:
        raise InputInvalid(_("Mail is off (MAIL_URL is not set): send the link yourself."))
    if not found.grower.email:
        raise InputInvalid(
            _(
                "The grower has no e-mail address: send the link yourself, or import the grower "
                "again with one."
            )
        )


def _link_of(session: Session, found: Connection, link_id: UUID) -> Link:
    made = session.get(Link, link_id)
    if made is None or made.grower_id != found.grower_id:
        abort(404)
    return made


def _back(reference: str, *, anchor: str = "") -> Response:
    url = connection_url(reference.upper())
    return redirect(f"{url}#{anchor}" if anchor else url, 303)
