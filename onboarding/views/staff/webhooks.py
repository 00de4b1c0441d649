"""Where a partner's program is told what happens: its endpoints, made and kept by administrators.

Secrets are shown once, in answer to their making. What was sent stands in `webhook_log`.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session
from wtforms import StringField
from wtforms.validators import InputRequired

from onboarding.errors import InputInvalid, TokenUnreadable
from onboarding.forms import Form
from onboarding.i18n import gettext as _
from onboarding.models import Partner, WebhookEndpoint
from onboarding.staff import audit, webhook_words
from onboarding.states import Role
from onboarding.views.parts import installation
from onboarding.views.staff.forms import MISSING, Button, only_by_button, ticks
from onboarding.views.staff.partners import visible_partner
from onboarding.views.staff.parts import bp, member, staff_only
from onboarding.views.staff.sign_in import UNPROCESSABLE
from onboarding.webhooks import endpoints

ADMINISTRATORS = staff_only(Role.ADMINISTRATOR, fresh=True)


class EndpointForm(Form):
    """Where to, and of what."""

    url = StringField(
        _("URL"),
        validators=[InputRequired(_(MISSING))],
        render_kw={"inputmode": "url", "autocomplete": "off", "spellcheck": "false"},
    )
    events = ticks(_("Events"), webhook_words.EVENTS.items())


@bp.get("/partners/<slug>/webhooks")
@staff_only(Role.VIEWER)
def webhooks(slug: str) -> ResponseReturnValue:
    """All endpoints of a partner, and how they stand."""
    with installation().database.reading() as session:
        partner = visible_partner(session, slug)
        found = endpoints.of(session, partner)
    return render_template(
        "staff/webhooks.html",
        partner=partner,
        endpoints=[(one, webhook_words.standing(one)) for one in found],
        total=len(webhook_words.EVENTS),
        event=webhook_words.event,
        mail_is_off=installation().settings.mail is None,
    )


@bp.get("/partners/<slug>/webhooks/add")
@ADMINISTRATORS
def add_webhook(slug: str) -> ResponseReturnValue:
    """Where a new one is typed in; all events are ticked."""
    return _page(slug, None, EndpointForm(formdata=None, events=[*webhook_words.EVENTS]))


@bp.post("/partners/<slug>/webhooks/add")
@ADMINISTRATORS
def make_webhook(slug: str) -> ResponseReturnValue:
    """Make it, and show its secret, this once."""
    form, parts = EndpointForm(), installation()
    if not form.validate_on_submit():
        return _page(slug, None, form)
    try:
        with parts.database.transaction() as session:
            partner = visible_partner(session, slug)
            made, secret = endpoints.add(
                session, parts.vault, parts.settings, partner, **_typed(form)
            )
            record(session, "webhook.add", made, events=made.events)
    except InputInvalid as err:
        return _page(slug, None, form, str(err))
    return _secret(slug, made, secret)


@bp.get("/partners/<slug>/webhooks/<uuid:endpoint_id>/change")
@ADMINISTRATORS
def webhook_settings(slug: str, endpoint_id: UUID) -> ResponseReturnValue:
    """What can be changed of one."""
    with installation().database.reading() as session:
        kept = shown(session, visible_partner(session, slug), endpoint_id)
    return _page(slug, endpoint_id, EndpointForm(formdata=None, url=kept.url, events=kept.events))


@bp.post("/partners/<slug>/webhooks/<uuid:endpoint_id>/change")
@ADMINISTRATORS
def change_webhook(slug: str, endpoint_id: UUID) -> ResponseReturnValue:
    """Keep another URL, or other events."""
    form, parts = EndpointForm(), installation()
    if not form.validate_on_submit():
        return _page(slug, endpoint_id, form)
    try:
        with parts.database.transaction() as session:
            kept = locked(session, slug, endpoint_id)
            endpoints.change(session, parts.settings, kept, **_typed(form))
            record(session, "webhook.change", kept, events=kept.events)
    except InputInvalid as err:
        return _page(slug, endpoint_id, form, str(err))
    flash(_("Kept. What waits goes there, too."))
    return redirect(url_for("staff.webhook", slug=slug, endpoint_id=endpoint_id), 303)


@bp.post("/partners/<slug>/webhooks/<uuid:endpoint_id>/rotate")
@ADMINISTRATORS
def rotate_webhook(slug: str, endpoint_id: UUID) -> ResponseReturnValue:
    """Make another secret, and show it; for a day messages are signed with both."""
    only_by_button()
    parts = installation()
    try:
        with parts.database.transaction() as session:
            kept = locked(session, slug, endpoint_id)
            secret = endpoints.rotate(parts.vault, kept)
            record(session, "webhook.rotate", kept)
    except TokenUnreadable:
        flash(_("The secret can’t be read: ENCRYPTION_KEYS lacks a key."), "error")
        return redirect(url_for("staff.webhook", slug=slug, endpoint_id=endpoint_id), 303)
    return _secret(slug, kept, secret, is_rotated=True)


@bp.post("/partners/<slug>/webhooks/<uuid:endpoint_id>/remove")
@ADMINISTRATORS
def remove_webhook(slug: str, endpoint_id: UUID) -> ResponseReturnValue:
    """Send nothing there any more, for good."""
    only_by_button()
    parts = installation()
    with parts.database.transaction() as session:
        kept = locked(session, slug, endpoint_id)
        endpoints.remove(parts.vault, kept)
        record(session, "webhook.remove", kept)
    flash(_("Removed. Nothing is sent there any more."))
    return redirect(url_for("staff.webhooks", slug=slug), 303)


def shown(session: Session, partner: Partner, endpoint_id: UUID) -> WebhookEndpoint:
    """An endpoint to be looked at; 404 if the partner has none of that id."""
    return endpoints.shown(session, endpoint_id, partner=partner) or abort(404)


def locked(session: Session, slug: str, endpoint_id: UUID) -> WebhookEndpoint:
    """An endpoint to be changed; 404 if the member sees none of that id."""
    partner = visible_partner(session, slug)
    return endpoints.locked(session, endpoint_id, partner=partner) or abort(404)


def record(session: Session, action: str, endpoint: WebhookEndpoint, **data: Any) -> None:
    """Write to the audit what is done to an endpoint."""
    where = endpoints.without_query(endpoint.url)
    audit.record(session, member(), action, partner=endpoint.partner, url=where, **data)


def _typed(form: EndpointForm) -> dict[str, Any]:
    """:raise InputInvalid: without any event, which the use case would take for all."""
    if not form.events.data:
        raise InputInvalid(_("Choose at least one event."))
    return {"url": form.url.data, "events": form.events.data}


def _secret(
    slug: str, endpoint: WebhookEndpoint, secret: str, *, is_rotated: bool = False
) -> ResponseReturnValue:
    return render_template(
        "staff/webhook_secret.html",
        slug=slug,
        endpoint=endpoint,
        secret=secret,
        is_rotated=is_rotated,
    )


def _page(
    slug: str, endpoint_id: UUID | None, form: EndpointForm, wrong: str = ""
) -> ResponseReturnValue:
    with installation().database.reading() as session:
        partner = visible_partner(session, slug)
        kept = shown(session, partner, endpoint_id) if endpoint_id else None
    page = render_template(
        "staff/webhook_form.html",
        partner=partner,
        endpoint=kept,
        form=form,
        button=Button(formdata=None),
        wrong=wrong,
    )
    return page, UNPROCESSABLE if request.method == "POST" else 200
