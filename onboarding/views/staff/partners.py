"""Partners: whom growers know, how their pages look, where they may lead."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Response, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session
from wtforms import BooleanField, SelectField, StringField, TextAreaField
from wtforms.validators import InputRequired, Length

from onboarding import describe
from onboarding.clock import now
from onboarding.colours import LEAST_CONTRAST, accent_css, readability
from onboarding.connections import applications as using
from onboarding.connections import partnership
from onboarding.errors import InputInvalid
from onboarding.forms import Form, StartForm
from onboarding.i18n import gettext as _
from onboarding.models import Partner
from onboarding.staff import applications, partners
from onboarding.staff.scope import visible_partners
from onboarding.states import Role
from onboarding.views.parts import installation
from onboarding.views.staff.forms import MISSING
from onboarding.views.staff.parts import bp, member, staff_only
from onboarding.views.staff.sign_in import UNPROCESSABLE

NO_LINK = "preview"
LISTS = ("frame_origins", "return_urls")
SWITCHES = ("select_organizations", "open_link")
TEXTS = ("colour", "support_name", "support_email", "support_phone", "support_url")


class PartnerForm(Form):
    """What can be changed of a partner; what is typed is checked by the use case."""

    name = StringField(_("Name"), validators=[InputRequired(_(MISSING)), Length(max=200)])
    colour = StringField(_("Colour"), validators=[Length(max=7)])
    support_name = StringField(_("Contact"), validators=[Length(max=200)])
    support_phone = StringField(_("Phone"), validators=[Length(max=40)])
    support_email = StringField(_("E-mail"), validators=[Length(max=254)])
    support_url = StringField(_("Website"), validators=[Length(max=500)])
    frame_origins = TextAreaField(_("Sites that may frame our pages"), render_kw={"rows": 3})
    return_urls = TextAreaField(_("Where growers may return to"), render_kw={"rows": 3})
    application = SelectField(_("Application at John Deere"))
    select_organizations = BooleanField(_("Leaf fetches nothing until organizations are chosen"))
    open_link = BooleanField(_("Open link"))

    def values(self) -> dict[str, Any]:
        """What was typed, as the use case takes it."""
        return {
            "name": self.name.data,
            **{name: self[name].data for name in SWITCHES},
            **{name: (self[name].data or "").strip() or None for name in TEXTS},
            **{name: (self[name].data or "").split() for name in LISTS},
        }

    def show(self, partner: Partner) -> None:
        """Fill in what is kept."""
        for name in ("name", *SWITCHES, *TEXTS):
            self[name].data = getattr(partner, name)
        for name in LISTS:
            self[name].data = "\n".join(getattr(partner, name))


class NewPartnerForm(PartnerForm):
    """The same, with the name in addresses and commands, which stays."""

    slug = StringField(_("Short name"), validators=[InputRequired(_(MISSING)), Length(max=64)])


WHO_WOULD_SEE_IT = staff_only(Role.ADMINISTRATOR, sees_all=True)
"""A new partner is added by those who also see it then."""


@bp.get("/partners", endpoint="partners")
@staff_only(Role.VIEWER)
def list_partners() -> ResponseReturnValue:
    """All that the member sees."""
    with installation().database.reading() as session:
        found = visible_partners(session, member())
        names = {one.id: one.name for one in applications.visible(session, member())}
    return render_template("staff/partners.html", partners=found, applications=names)


@bp.get("/partners/<slug>")
@staff_only(Role.VIEWER)
def partner(slug: str) -> ResponseReturnValue:
    """One partner; for administrators with what they may change."""
    with installation().database.reading() as session:
        found = visible_partner(session, slug)
        form = _offer(session, PartnerForm(formdata=None))
        form.show(found)
        own = using.of_partner(session, found)
        form.application.data = own.name if own else ""
    return _page(form, found)


@bp.post("/partners/<slug>")
@staff_only(Role.ADMINISTRATOR)
def change_partner(slug: str) -> ResponseReturnValue:
    """Keep what was typed, or show a grower's page as it would look."""
    parts = installation()
    with parts.database.reading() as session:
        found = visible_partner(session, slug)
        form = _offer(session, PartnerForm())
    if not form.validate_on_submit():
        return _page(form, found)
    try:
        if request.form.get("do") == "preview":
            return _preview(form, slug, kept=found.return_urls)
        with parts.database.transaction() as session:
            values = form.values()
            partners.refuse_loopback(parts.settings, values)
            kept = visible_partner(session, slug)
            partners.change(session, kept, member(), application=form.application.data, **values)
    except InputInvalid as err:
        return _page(form, found, wrong=str(err))
    flash(_("Kept. Growers see it from now on."))
    return redirect(url_for("staff.partner", slug=slug), 303)


@bp.get("/add-partner")
@WHO_WOULD_SEE_IT
def add_partner() -> ResponseReturnValue:
    """Where a new partner is typed in."""
    with installation().database.reading() as session:
        return _page(_offer(session, NewPartnerForm(formdata=None)), None)


@bp.post("/add-partner")
@WHO_WOULD_SEE_IT
def make_partner() -> ResponseReturnValue:
    """Keep a new partner, or show a grower's page as it would look."""
    parts = installation()
    with parts.database.reading() as session:
        form = _offer(session, NewPartnerForm())
    if not form.validate_on_submit():
        return _page(form, None)
    try:
        if request.form.get("do") == "preview":
            return _preview(form, form.slug.data, kept=[])
        with parts.database.transaction() as session:
            values = form.values()
            partners.refuse_loopback(parts.settings, values)
            slug, application = form.slug.data.strip(), form.application.data
            partners.add(session, member(), slug=slug, application=application, **values)
    except InputInvalid as err:
        return _page(form, None, wrong=str(err))
    flash(_("The partner is there. Next: import growers, or make links."))
    return redirect(url_for("staff.partner", slug=slug), 303)


@bp.get("/colour.css")
@staff_only(Role.VIEWER)
def colour() -> ResponseReturnValue:
    """A colour that somebody tries out, as the style sheet of a grower's page."""
    asked = f"#{request.args.get('of', '')}"
    css = accent_css(asked) if partnership.COLOUR.fullmatch(asked) else None
    return Response(css, mimetype="text/css") if css else abort(404)


def contrast_note(colour: str | None) -> str | None:
    """Why growers do not see a colour; None if they do, or if there is none."""
    if not colour or not partnership.COLOUR.fullmatch(colour):
        return None
    reached = readability(colour)
    if reached >= LEAST_CONTRAST:
        return None
    return _(
        "Too light to be read on our paper: its contrast is %(reached)s to 1, %(needed)s to 1 is "
        "needed. Growers see our own colour instead."
    ) % {"reached": f"{reached:.1f}", "needed": LEAST_CONTRAST}


def visible_partner(session: Session, slug: str) -> Partner:
    """A partner that the member sees; else 404."""
    found = partnership.find(session, slug)
    if found is None or not member().sees(found.id):
        abort(404)
    return found


def _offer(session: Session, form: PartnerForm) -> PartnerForm:
    """The form with the applications that the member may choose from."""
    default = _("The default one (%(key)s)") % {"key": installation().settings.deere_client_key}
    known = [
        (one.name, f"{one.name} ({one.environment})")
        for one in applications.visible(session, member())
    ]
    form.application.choices = [("", default), *known]
    return form


def _page(form: PartnerForm, partner: Partner | None, *, wrong: str = "") -> ResponseReturnValue:
    page = render_template(
        "staff/partner.html",
        form=form,
        partner=partner,
        wrong=wrong,
        note=contrast_note(form.colour.data),
        may_change=member().may(Role.ADMINISTRATOR),
        application=dict(form.application.choices).get(form.application.data, ""),
        open_url=url_for("open_link.show", slug=partner.slug, _external=True) if partner else "",
        mail_is_off=installation().settings.mail is None,
    )
    return page, UNPROCESSABLE if request.method == "POST" else 200


def _preview(form: PartnerForm, slug: str, *, kept: list[str]) -> ResponseReturnValue:
    """The page of a link, for a grower whom nobody knows; nothing is kept.

    :param kept: the return URLs that the partner has, which may stay as they are
    :raise InputInvalid: if what was typed can't be kept either
    """
    parts = installation()
    typed = Partner(slug=slug, return_urls=kept)
    partnership.change_partner(typed, **form.values())
    with parts.database.reading() as session:
        name = form.application.data
        own = applications.named(session, name) if name else None
    scopes = using.described(parts.settings, own).deere_scopes
    of = typed.colour.removeprefix("#") if typed.colour and accent_css(typed.colour) else None
    return render_template(
        "staff/partner_preview.html",
        partner=typed,
        accent_url=url_for("staff.colour", of=of) if of else None,
        note=contrast_note(typed.colour),
        grower_name=_("Maple Farm"),
        form=StartForm(formdata=None),
        link_token=NO_LINK,
        told=None,
        shares=describe.shared_by(scopes),
        not_shared=describe.not_shared_by(scopes),
        why_edit=describe.why_edit(scopes),
        link_expires=now() + timedelta(days=parts.settings.link_lifetime_days),
    )
