"""Where a grower stops the mails that we send by ourselves, and takes that back."""

from __future__ import annotations

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from onboarding.connections import mails
from onboarding.errors import LinkInvalid
from onboarding.forms import StopForm
from onboarding.models import Grower
from onboarding.views.grower import accent_url, problem_page
from onboarding.views.parts import installation

ONE_CLICK = "One-Click"
"""What mail programs post as `List-Unsubscribe` (RFC 8058)."""

bp = Blueprint("stop", __name__)


@bp.get("/m/<token>/stop")
def show(token: str) -> ResponseReturnValue:
    """Whether mails are stopped. It changes nothing: mail scanners open links, too."""
    with installation().database.reading() as session:
        return _page(token, _grower(session, token))


@bp.post("/m/<token>/stop")
def stop(token: str) -> ResponseReturnValue:
    """Stop them. The address alone is enough, and has to be: mail programs have no form."""
    with installation().database.transaction() as session:
        grower = _grower(session, token)
        mails.stop(session, grower)
    if request.form.get("List-Unsubscribe") == ONE_CLICK:
        return _page(token, grower)  # RFC 8058 3.2: no redirect
    return redirect(url_for(".show", token=token), 303)


@bp.post("/m/<token>/resume")
def resume(token: str) -> ResponseReturnValue:
    """Send them again."""
    if not StopForm().validate_on_submit():
        abort(400)
    with installation().database.transaction() as session:
        mails.resume(session, _grower(session, token))
    return redirect(url_for(".show", token=token), 303)


def _page(token: str, grower: Grower) -> ResponseReturnValue:
    """It names the partner only: the mail may have been passed on."""
    return render_template(
        "stop/show.html",
        partner=grower.partner,
        accent_url=accent_url(grower.partner),
        stopped=grower.mail_stopped_at is not None,
        form=StopForm(),
        token=token,
    )


def _grower(session: Session, token: str) -> Grower:
    try:
        grower = session.get(Grower, installation().links.stopped_grower_id(token))
    except LinkInvalid:
        grower = None
    return grower or abort(problem_page("link_invalid", 404))
