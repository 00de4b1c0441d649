"""What is wrong with the frame in a portal: for its console, and as a page for its developer."""

from __future__ import annotations

import shlex
from dataclasses import asdict

from flask import Blueprint, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import ValidationError
from sqlalchemy.orm import Session
from wtforms import StringField, TextAreaField
from wtforms.validators import Length

from onboarding.connections import partnership
from onboarding.errors import InputInvalid
from onboarding.forms import Form
from onboarding.i18n import gettext as _
from onboarding.i18n import mark
from onboarding.models import Partner
from onboarding.partners import portal
from onboarding.partners.portal import ADDRESS_MAX, TEXT_MAX
from onboarding.views.embed import open_to_all, preflight
from onboarding.views.grower import problem_page
from onboarding.views.limits import DOCTOR_PER_ADDRESS, limiter
from onboarding.views.parts import bearer_token, installation

EXAMPLE = "https://portal.example.com/farm"
WHOLE_ADDRESS = mark("Write the whole address, like https://portal.example.com/farm")
UNPROCESSABLE = 422

bp = Blueprint("doctor", __name__, url_prefix="/embed")


class PortalForm(Form):
    """What a developer tells of their page; the token is used, and not shown again."""

    address = StringField(_("Address of your page"), validators=[Length(max=ADDRESS_MAX)])
    headers = TextAreaField(_("Its headers"), validators=[Length(max=TEXT_MAX)])
    markup = TextAreaField(_("Its HTML"), validators=[Length(max=TEXT_MAX)])
    token = StringField(
        _("Embed token"),
        validators=[Length(max=ADDRESS_MAX)],
        render_kw={"autocomplete": "off", "spellcheck": "false"},
    )


@bp.route("/<slug>/check", methods=["POST", "OPTIONS"], provide_automatic_options=False)
@limiter.limit(DOCTOR_PER_ADDRESS)
def check(slug: str) -> ResponseReturnValue:
    """What is wrong with a page that tells of itself."""
    if request.method == "OPTIONS":
        return preflight("Authorization, Content-Type")
    try:
        told = portal.Page.model_validate_json(request.get_data())
    except ValidationError:
        return open_to_all(make_response({"error": "page_unreadable"}, UNPROCESSABLE))
    parts, token = installation(), bearer_token()
    with parts.database.reading() as session:
        partner = partnership.find(session, slug)
        visit = portal.Visit.of(session, parts, partner, slug=slug, page=told, token=token)
    found = portal.examine(visit)
    whole = f"{parts.settings.public_url}{url_for('.page', slug=slug, address=told.origin)}"
    return open_to_all(make_response({"findings": [asdict(one) for one in found], "page": whole}))


@bp.route("/<slug>/doctor", methods=["GET", "POST"])
@limiter.limit(DOCTOR_PER_ADDRESS)
def page(slug: str) -> ResponseReturnValue:
    """The same for who has no console: from what is pasted. Nothing is fetched, nothing kept."""
    form = PortalForm(address=request.args.get("address", "")[:ADDRESS_MAX])
    found = None
    with installation().database.reading() as session:
        partner = partnership.find(session, slug)
        if partner is None:
            return problem_page("page_missing", 404)
        if form.address.data and (request.method == "GET" or form.validate()):
            found = _of_form(session, partner, form)
        elif request.method == "POST":
            form.address.errors = [*form.address.errors, _(WHOLE_ADDRESS)]
    form.token.data = ""
    return render_template(
        "embed/doctor.html",
        slug=slug,
        form=form,
        findings=found,
        command=f"curl -sI {shlex.quote(form.address.data or EXAMPLE)}",
    ), UNPROCESSABLE if form.errors else 200


def _of_form(session: Session, partner: Partner, form: PortalForm) -> list[portal.Finding] | None:
    """None: the form says what to change."""
    origin = portal.origin_of(form.address.data)
    if origin is None:
        form.address.errors = [_(WHOLE_ADDRESS)]
        return None
    markup = form.markup.data or ""
    try:
        told, token = portal.page_in(origin, form.headers.data or "", markup)
    except InputInvalid as err:
        form.markup.errors = [str(err)]
        return None
    form.markup.data = portal.without_token(markup, token)
    token = (form.token.data or "").strip() or token
    slug, parts = partner.slug, installation()
    return portal.examine(
        portal.Visit.of(session, parts, partner, slug=slug, page=told, token=token)
    )
