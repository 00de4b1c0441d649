"""Where whoever has an expired link has a new one mailed to the grower.

Every answer is the same for a grower with an address and for one without.
"""

from __future__ import annotations

from flask import Blueprint, abort, redirect, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from onboarding.connections import mails
from onboarding.forms import NewLinkForm
from onboarding.models import Link
from onboarding.views.grower import (
    known_link,
    may_be_opened,
    page_of_link_that_is_over,
    problem_page,
)
from onboarding.views.limits import START_PER_ADDRESS, START_PER_LINK, limiter, link_in_path
from onboarding.views.parts import installation

bp = Blueprint("renewal", __name__)


@bp.post("/c/<token>/new-link")
@limiter.limit(START_PER_ADDRESS)
@limiter.limit(START_PER_LINK, key_func=link_in_path)
def ask(token: str) -> ResponseReturnValue:
    """Ask for a new link by mail. Again, or too often, is the same to whoever asks."""
    if not NewLinkForm().validate_on_submit():
        abort(400)
    with installation().database.transaction() as session:
        mails.ask(session, _expired_link(session, token))
    return redirect(url_for(".asked", token=token), 303)


@bp.get("/c/<token>/new-link/asked")
def asked(token: str) -> ResponseReturnValue:
    """What to expect. Where nobody has asked lately there is nothing to be expected."""
    with installation().database.reading() as session:
        link = _expired_link(session, token)
        if mails.was_asked(session, link):
            return problem_page("link_asked", 200, partner=link.grower.partner)
    return redirect(url_for("connect.show", token=token), 303)


def _expired_link(session: Session, token: str) -> Link:
    """The link, if a new one may be mailed in its place; else the page that it leads to."""
    link = known_link(session, token)
    if may_be_opened(session, link):
        abort(redirect(url_for("connect.show", token=token), 303))
    if not mails.is_offered(session, installation().settings, link):
        abort(page_of_link_that_is_over(session, link, token))
    return link
