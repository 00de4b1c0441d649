"""Keys with which a partner's programs ask the API. Each is shown once, in answer to its making."""

from __future__ import annotations

from flask import abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session
from wtforms import StringField
from wtforms.validators import InputRequired, Length

from onboarding.clock import now
from onboarding.errors import InputInvalid
from onboarding.forms import Form
from onboarding.i18n import gettext as _
from onboarding.i18n import mark
from onboarding.models import ApiKey
from onboarding.partners import keys
from onboarding.staff import audit
from onboarding.states import ApiScope, Role
from onboarding.views.parts import installation
from onboarding.views.staff.forms import MISSING, Button, only_by_button, ticks
from onboarding.views.staff.partners import visible_partner
from onboarding.views.staff.parts import bp, member, staff_only
from onboarding.views.staff.sign_in import UNPROCESSABLE

ADMINISTRATORS = staff_only(Role.ADMINISTRATOR, fresh=True)
SCOPES = {
    ApiScope.READ: mark("read: growers and connections"),
    ApiScope.WRITE: mark("write: growers, links, tokens for frames"),
    ApiScope.ACT: mark("act: have connections checked, choose what Leaf fetches, end connections"),
    ApiScope.WEBHOOKS: mark("webhooks: where events are sent, and what was sent"),
}


class KeyForm(Form):
    """A key to be made."""

    name = StringField(
        _("What it is for"), validators=[InputRequired(_(MISSING)), Length(max=keys.NAME_MAX)]
    )
    scopes = ticks(_("What it may do"), SCOPES.items())


@bp.get("/partners/<slug>/keys")
@ADMINISTRATORS
def api_keys(slug: str) -> ResponseReturnValue:
    """All keys of a partner."""
    form = KeyForm(formdata=None, scopes=[ApiScope.READ.value, ApiScope.WRITE.value])
    return _page(slug, form)


@bp.post("/partners/<slug>/keys")
@ADMINISTRATORS
def make_key(slug: str) -> ResponseReturnValue:
    """Make one, and show it, this once."""
    form = KeyForm()
    if not form.validate_on_submit():
        return _page(slug, form)
    try:
        with installation().database.transaction() as session:
            partner = visible_partner(session, slug)
            made, secret = keys.make(
                session, partner, name=form.name.data, scopes=form.scopes.data or ()
            )
            prefix, scopes = made.prefix, made.scopes
            audit.record(session, member(), "key.add", partner=partner, key=prefix, scopes=scopes)
    except InputInvalid as err:
        return _page(slug, form, str(err))
    return render_template("staff/api_key.html", slug=slug, secret=secret, old=None)


@bp.post("/partners/<slug>/keys/<prefix>/rotate")
@ADMINISTRATORS
def rotate_key(slug: str, prefix: str) -> ResponseReturnValue:
    """Make another that may do the same, and show it; this one works for a day more."""
    only_by_button()
    try:
        with installation().database.transaction() as session:
            old = _key(session, slug, prefix)
            made, secret = keys.rotate(session, old)
            partner, new = old.partner, made.prefix
            audit.record(session, member(), "key.rotate", partner=partner, key=new, old=prefix)
    except InputInvalid as err:
        flash(str(err), "error")
        return redirect(url_for("staff.api_keys", slug=slug), 303)
    return render_template("staff/api_key.html", slug=slug, secret=secret, old=old)


@bp.post("/partners/<slug>/keys/<prefix>/revoke")
@ADMINISTRATORS
def revoke_key(slug: str, prefix: str) -> ResponseReturnValue:
    """Let it open nothing any more, at once."""
    only_by_button()
    with installation().database.transaction() as session:
        found = _key(session, slug, prefix)
        keys.revoke(found)
        audit.record(session, member(), "key.revoke", partner=found.partner, key=found.prefix)
    flash(_("Revoked. Programs with this key are refused from now on."))
    return redirect(url_for("staff.api_keys", slug=slug), 303)


def _key(session: Session, slug: str, prefix: str) -> ApiKey:
    """A key of a partner that the member sees; else 404."""
    partner = visible_partner(session, slug)
    try:
        found = keys.named(session, prefix)
    except InputInvalid:
        abort(404)
    if found.partner_id != partner.id:
        abort(404)
    return found


def _page(slug: str, form: KeyForm, wrong: str = "") -> ResponseReturnValue:
    with installation().database.reading() as session:
        partner = visible_partner(session, slug)
        found = keys.of(session, partner)
    page = render_template(
        "staff/api_keys.html",
        partner=partner,
        keys=found,
        form=form,
        button=Button(formdata=None),
        wrong=wrong,
        moment=now(),
    )
    return page, UNPROCESSABLE if request.method == "POST" else 200
