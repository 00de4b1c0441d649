"""One endpoint of a partner: what was sent there, and what was answered; some of it sent again."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import urlencode
from uuid import UUID

from flask import abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from wtforms import BooleanField, DateTimeLocalField
from wtforms.validators import Optional

from onboarding.clock import now
from onboarding.errors import InputInvalid
from onboarding.forms import Form
from onboarding.i18n import gettext as _
from onboarding.i18n import ngettext
from onboarding.models import WebhookEndpoint
from onboarding.staff import webhook_words
from onboarding.staff.happened import pretty
from onboarding.states import TEST_EVENT, DeliveryState, Role, WebhookEvent
from onboarding.views.parts import installation
from onboarding.views.staff.forms import Button, only_by_button
from onboarding.views.staff.partners import visible_partner
from onboarding.views.staff.parts import bp, member, staff_only
from onboarding.views.staff.sign_in import UNPROCESSABLE
from onboarding.views.staff.webhooks import locked, record, shown
from onboarding.webhooks import endpoints, log, outbox

PAGE = 50
FORMATS = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
UNREADABLE = "This is no moment: write it like 2026-11-27T08:30."


class MomentField(DateTimeLocalField):  # type: ignore[misc]  # WTForms has no types
    """A moment in UTC."""

    data: datetime | None

    def process_formdata(self, valuelist: list[str]) -> None:
        """As browsers send it, or as people type it where they have no such field."""
        try:
            super().process_formdata([one.strip().replace(" ", "T") for one in valuelist])
        except ValueError:
            raise ValueError(_(UNREADABLE)) from None
        if self.data is not None:
            self.data = self.data.replace(tzinfo=UTC)


class RangeForm(Form):
    """Which messages are sent again: by when they were made."""

    first = MomentField(_("From (UTC)"), format=FORMATS, validators=[Optional()])
    last = MomentField(_("To (UTC)"), format=FORMATS, validators=[Optional()])
    only_given_up = BooleanField(_("Only what was given up"))


@bp.get("/partners/<slug>/webhooks/<uuid:endpoint_id>")
@staff_only(Role.VIEWER)
def webhook(slug: str, endpoint_id: UUID) -> ResponseReturnValue:
    """How it stands, and what was sent there, the newest first."""
    return _page(slug, endpoint_id, RangeForm(formdata=None, only_given_up=True))


@bp.post("/partners/<slug>/webhooks/<uuid:endpoint_id>/pause")
@staff_only(Role.OPERATOR)
def pause_webhook(slug: str, endpoint_id: UUID) -> ResponseReturnValue:
    """Send nothing there for a while."""
    only_by_button()
    with installation().database.transaction() as session:
        kept = locked(session, slug, endpoint_id)
        endpoints.pause(kept)
        record(session, "webhook.pause", kept)
    flash(_("Paused. What happens meanwhile waits, and is sent once it is resumed."))
    return _back(slug, endpoint_id)


@bp.post("/partners/<slug>/webhooks/<uuid:endpoint_id>/resume")
@staff_only(Role.OPERATOR)
def resume_webhook(slug: str, endpoint_id: UUID) -> ResponseReturnValue:
    """Go on, first of all with what has waited."""
    only_by_button()
    with installation().database.transaction() as session:
        kept = locked(session, slug, endpoint_id)
        endpoints.resume(session, kept)
        record(session, "webhook.resume", kept)
    flash(_("Resumed. What has waited is sent now."))
    return _back(slug, endpoint_id)


@bp.post("/partners/<slug>/webhooks/<uuid:endpoint_id>/test")
@staff_only(Role.OPERATOR)
def test_webhook(slug: str, endpoint_id: UUID) -> ResponseReturnValue:
    """Send a message that tells of nothing, and show what becomes of it."""
    only_by_button()
    try:
        with installation().database.transaction() as session:
            kept = locked(session, slug, endpoint_id)
            made = endpoints.send_test(session, kept)
            record(session, "webhook.test", kept)
            session.flush()
            number = made.id
    except InputInvalid as err:
        flash(str(err), "error")
        return _back(slug, endpoint_id)
    return _to_delivery(slug, endpoint_id, number)


@bp.post("/partners/<slug>/webhooks/<uuid:endpoint_id>/send-again")
@staff_only(Role.OPERATOR)
def send_range_again(slug: str, endpoint_id: UUID) -> ResponseReturnValue:
    """Send once more what was made within a time."""
    form = RangeForm()
    if not form.validate_on_submit():
        return _page(slug, endpoint_id, form)
    first, last, only = form.first.data, form.last.data, form.only_given_up.data
    if first is None and not only:
        form.first.errors = [_("Say from when on: else all that is kept would be sent again.")]
        return _page(slug, endpoint_id, form)
    with installation().database.transaction() as session:
        kept = locked(session, slug, endpoint_id)
        done = outbox.send_again(session, kept, since=first, until=last, only_given_up=only)
        record(
            session,
            "webhook.send_again",
            kept,
            first=first and first.isoformat(),
            last=last and last.isoformat(),
            only_given_up=only,
            messages=len(done),
        )
    flash(_how_many(len(done), kept))
    return _back(slug, endpoint_id)


@bp.get("/partners/<slug>/webhooks/<uuid:endpoint_id>/deliveries/<int:delivery_id>")
@staff_only(Role.VIEWER)
def webhook_delivery(slug: str, endpoint_id: UUID, delivery_id: int) -> ResponseReturnValue:
    """One message: what was sent, and each try with its answer."""
    with installation().database.reading() as session:
        partner = visible_partner(session, slug)
        kept = shown(session, partner, endpoint_id)
        sent = log.delivery(session, kept, delivery_id) or abort(404)
        body, tries = log.body_of(session, sent), log.tries_of(session, sent.id)
    return render_template(
        "staff/webhook_delivery.html",
        partner=partner,
        endpoint=kept,
        sent=sent,
        body=pretty(body),
        tries=tries,
        states=webhook_words.STATES,
        event=webhook_words.event,
        button=Button(formdata=None),
        may_act=member().may(Role.OPERATOR),
    )


@bp.post("/partners/<slug>/webhooks/<uuid:endpoint_id>/deliveries/<int:delivery_id>/send-again")
@staff_only(Role.OPERATOR)
def send_delivery_again(slug: str, endpoint_id: UUID, delivery_id: int) -> ResponseReturnValue:
    """Send this message once more."""
    only_by_button()
    with installation().database.transaction() as session:
        kept = locked(session, slug, endpoint_id)
        sent = log.delivery(session, kept, delivery_id) or abort(404)
        done = outbox.send_again(session, kept, delivery_id=sent.id)
        record(session, "webhook.send_again", kept, message=sent.public_id)
    flash(_how_many(len(done), kept) if done else _("It waits to be sent already."))
    return _to_delivery(slug, endpoint_id, sent.id)


def _how_many(number: int, endpoint: WebhookEndpoint) -> str:
    if not number:
        return _("There is none to be sent again.")
    text = ngettext("%(num)d message is sent again.", "%(num)d messages are sent again.", number)
    told = text % {"num": number}
    if endpoint.paused_at is not None:
        told = f"{told} {_('But not before the endpoint is resumed.')}"
    return told


def _back(slug: str, endpoint_id: UUID) -> ResponseReturnValue:
    return redirect(url_for("staff.webhook", slug=slug, endpoint_id=endpoint_id), 303)


def _to_delivery(slug: str, endpoint_id: UUID, number: int) -> ResponseReturnValue:
    where = url_for(
        "staff.webhook_delivery", slug=slug, endpoint_id=endpoint_id, delivery_id=number
    )
    return redirect(where, 303)


def _page(slug: str, endpoint_id: UUID, form: RangeForm) -> ResponseReturnValue:
    state, event = _asked()
    before = request.args.get("before", type=int)
    if before is not None and not 0 < before <= log.LARGEST_ID:
        before = None
    with installation().database.reading() as session:
        partner = visible_partner(session, slug)
        kept = shown(session, partner, endpoint_id)
        found = log.deliveries(
            session, kept, before=before, state=state, event=event, limit=PAGE + 1
        )
    here = url_for("staff.webhook", slug=slug, endpoint_id=endpoint_id)
    asked = {"state": state.value if state else "", "event": event or ""}
    kept_args = {name: value for name, value in asked.items() if value}
    lines, has_more = found[:PAGE], len(found) > PAGE
    older = kept_args | {"before": str(lines[-1].id)} if has_more else None
    page = render_template(
        "staff/webhook.html",
        partner=partner,
        endpoint=kept,
        standing=webhook_words.standing(kept),
        deliveries=lines,
        asked=asked,
        is_narrowed=bool(kept_args),
        states=webhook_words.STATES,
        events=[*WebhookEvent, TEST_EVENT],
        event=webhook_words.event,
        form=form,
        button=Button(formdata=None),
        may_act=member().may(Role.OPERATOR),
        moment=now(),
        here=here,
        newest=f"{here}?{urlencode(kept_args)}" if before else None,
        older=f"{here}?{urlencode(older)}" if older else None,
    )
    return page, UNPROCESSABLE if request.method == "POST" else 200


def _asked() -> tuple[DeliveryState | None, str | None]:
    """What the address asks for; what it can't mean is left out."""
    state = None
    with suppress(ValueError):
        state = DeliveryState(request.args.get("state", ""))
    event = request.args.get("event", "")
    return state, event if event in {*WebhookEvent, TEST_EVENT} else None
