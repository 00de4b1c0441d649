"""The open link: a form at a partner's own address, for growers whom nobody has sent a link.

Every answer is the same whether or not the address that was typed is known (decision 0048).
"""

from __future__ import annotations

from flask import Blueprint, abort, make_response, redirect, render_template, url_for
from flask import session as cookie
from flask.typing import ResponseReturnValue

from onboarding.connections import open_link, partnership
from onboarding.forms import OpenLinkForm
from onboarding.i18n import gettext as _
from onboarding.models import Partner
from onboarding.views.grower import accent_url, problem_page
from onboarding.views.limits import START_PER_ADDRESS, limiter, may_ask_openly
from onboarding.views.parts import installation

TYPED = "open_link"
"""In the browser's own cookie: for which partner it asked, and the address that it typed."""
TOO_MANY, UNPROCESSABLE = 429, 422

bp = Blueprint("open_link", __name__)


@bp.get("/j/<slug>")
def show(slug: str) -> ResponseReturnValue:
    """The form."""
    partner = _partner(slug)
    return _page(partner, OpenLinkForm(formdata=None), 200)


@bp.post("/j/<slug>")
@limiter.limit(START_PER_ADDRESS)
def ask(slug: str) -> ResponseReturnValue:
    """Keep what was typed for the worker. Again is the same as once."""
    partner = _partner(slug)
    form = OpenLinkForm()
    if not form.validate_on_submit():
        return _page(partner, form, UNPROCESSABLE)
    if not form.is_by_a_program:
        if not may_ask_openly(slug):
            text = _("There are very many at this moment. Wait a few minutes, then send it again.")
            return _page(partner, form, TOO_MANY, wrong=text)
        with installation().database.transaction() as session:
            open_link.ask(session, partner, form.asked())
    cookie[TYPED] = [slug, form.email.data]
    return redirect(url_for(".asked", slug=slug), 303)


@bp.get("/j/<slug>/asked")
def asked(slug: str) -> ResponseReturnValue:
    """What to expect, in the browser that asked."""
    partner = _partner(slug)
    of, email = cookie.get(TYPED, (None, None))
    if of != slug:
        return redirect(url_for(".show", slug=slug), 303)
    return render_template(
        "open_link/asked.html", partner=partner, accent_url=accent_url(partner), email=email
    )


def _partner(slug: str) -> Partner:
    """The partner, if it has an open link; another one is not told from one that is not there."""
    with installation().database.reading() as session:
        found = partnership.find(session, slug)
    if found is None or not found.open_link:
        abort(404)
    if installation().settings.mail is None:
        abort(problem_page("open_link_closed", 503, partner=found))
    return found


def _page(
    partner: Partner, form: OpenLinkForm, status: int, *, wrong: str = ""
) -> ResponseReturnValue:
    if form.errors.get("csrf_token"):
        wrong = _(
            "The page was open for too long, or your browser did not keep our cookie. Nothing is "
            "lost: send it again. If this comes back, allow cookies for this site."
        )
    page = render_template(
        "open_link/form.html",
        partner=partner,
        accent_url=accent_url(partner),
        form=form,
        wrong=wrong,
        is_refused=status != 200,
    )
    return make_response(page, status)
