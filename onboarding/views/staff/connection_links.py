"""The links of one connection's grower: made, shown to who made them, mailed, revoked."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from flask import abort, render_template, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup
from sqlalchemy.orm import Session

from onboarding import qr
from onboarding.connections import invitations, mails
from onboarding.errors import InputInvalid
from onboarding.i18n import gettext as _
from onboarding.models import Connection, Link
from onboarding.staff import links
from onboarding.states import Role
from onboarding.views.parts import installation
from onboarding.views.staff.acting import Done, acts
from onboarding.views.staff.forms import Button
from onboarding.views.staff.parts import bp, current_session, staff_only, visible_connection


@bp.post("/connections/<reference>/links")
@staff_only(Role.OPERATOR)
@acts("connection.new_link")
def make_link(session: Session, found: Connection) -> Done:
    """Make a link, and go where it is shown."""
    lifetime = timedelta(days=installation().settings.link_lifetime_days)
    made = links.make(session, found, current_session(), lifetime=lifetime)
    return Done(url=url_for(".link", reference=found.reference, link_id=made.id))


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
            qr=Markup(qr.picture(shown)) if shown else None,  # noqa: S704
            mail_is_on=parts.settings.mail is not None,
            form=Button(),
        )


@bp.post("/connections/<reference>/links/<uuid:link_id>/mail")
@staff_only(Role.OPERATOR)
@acts("connection.mail_link")
def mail_link(session: Session, found: Connection, link_id: UUID) -> Done:
    """Let the worker mail it."""
    made = _link_of(session, found, link_id)
    if not links.is_shown(made, current_session()):
        raise InputInvalid(_("Only who makes a link can mail it, for ten minutes. Make a new one."))
    _check_mailing(found)
    mails.invite(session, installation().settings, made, found)
    return Done(_("The link is being mailed. Whether the mail got out appears below."))


@bp.post("/connections/<reference>/links/<uuid:link_id>/revoke")
@staff_only(Role.OPERATOR)
@acts("connection.revoke_link")
def revoke_link(session: Session, found: Connection, link_id: UUID) -> Done:
    """Make it worthless."""
    invitations.revoke(session, _link_of(session, found, link_id))
    return Done(_("The link opens nothing any more."))


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
