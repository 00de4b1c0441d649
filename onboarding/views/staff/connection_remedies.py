"""What staff do about one connection: ask anew, try again, choose what is fetched, end it."""

from __future__ import annotations

from flask import abort, render_template
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session
from wtforms import StringField
from wtforms.validators import AnyOf, DataRequired, InputRequired, Length

from onboarding.connections import disconnect, hand_over, history, owed, selection
from onboarding.errors import InputInvalid
from onboarding.forms import Form
from onboarding.i18n import gettext as _
from onboarding.models import Connection, locked
from onboarding.staff.remedies import can
from onboarding.states import Role, SyncChoice
from onboarding.views.parts import installation
from onboarding.views.staff.acting import Done, acts
from onboarding.views.staff.forms import MISSING
from onboarding.views.staff.parts import bp, staff_only, visible_connection


class DisconnectForm(Form):
    """Why it is ended."""

    reason = StringField(
        _("Reason"),
        validators=[DataRequired(_(MISSING)), Length(max=disconnect.REASON_MAX)],
        render_kw={"maxlength": disconnect.REASON_MAX, "autocomplete": "off"},
    )


class ChoiceForm(Form):
    """What Leaf fetches of one organization: a button that carries both."""

    organization = StringField(validators=[InputRequired(), Length(max=64)])
    choice = StringField(validators=[AnyOf([SyncChoice.SELECTED.value, SyncChoice.PREVIEW.value])])


@bp.post("/connections/<reference>/recheck")
@staff_only(Role.OPERATOR)
@acts("connection.recheck")
def recheck(session: Session, found: Connection) -> Done:
    """Ask Leaf now."""
    found = locked(session, found.id)
    if not can(found).recheck:
        raise InputInvalid(_("Leaf holds nothing of this connection: there is nothing to ask."))
    owed.owe_check(found)
    return Done(_("Leaf is being asked. The answer appears here in a few seconds."))


@bp.post("/connections/<reference>/retry")
@staff_only(Role.OPERATOR)
@acts("connection.retry")
def retry(session: Session, found: Connection) -> Done:
    """Try the hand-over, or the end, once more."""
    hand_over.retry(session, installation().queue, found)
    return Done(_("It is tried again now. How it went appears here."))


@bp.post("/connections/<reference>/resync")
@staff_only(Role.OPERATOR)
@acts("connection.resync")
def resync(session: Session, found: Connection) -> Done:
    """Let Leaf read anew at John Deere which organizations there are."""
    selection.resync(session, found, who=history.STAFF)
    return Done(_("Leaf reads the organizations anew. What it finds appears here."))


@bp.post("/connections/<reference>/organizations")
@staff_only(Role.OPERATOR)
@acts("connection.choose")
def choose(session: Session, found: Connection) -> Done:
    """Let Leaf fetch an organization, or not."""
    form = ChoiceForm()
    if not form.validate_on_submit():
        abort(400)
    choice, organization = SyncChoice(form.choice.data), form.organization.data
    selection.choose(session, found, organization, choice, who=history.STAFF)
    return Done(
        _("Leaf is being told. The answer appears here in a few seconds."),
        {"organization": organization, "choice": choice.value},
    )


@bp.get("/connections/<reference>/disconnect")
@staff_only(Role.OPERATOR, fresh=True)
def disconnect_connection(reference: str) -> ResponseReturnValue:
    """What ending it means, before it is done."""
    with installation().database.reading() as session:
        return _ask_reason(visible_connection(session, reference), DisconnectForm())


@bp.post("/connections/<reference>/disconnect")
@staff_only(Role.OPERATOR, fresh=True)
@acts("connection.disconnect")
def disconnect_now(session: Session, found: Connection) -> Done | tuple[str, int]:
    """End it."""
    form = DisconnectForm()
    if not form.validate_on_submit():
        return _ask_reason(found, form), 400
    reason = disconnect.reason_of_staff(form.reason.data)
    disconnect.ask(session, installation().queue, found, who=history.STAFF, reason=reason)
    return Done(
        _("It is being ended. Leaf deletes the credential; this page says when."),
        {"reason": reason},
    )


def _ask_reason(found: Connection, form: DisconnectForm) -> str:
    return render_template(
        "staff/disconnect.html", connection=found, grower=found.grower, form=form, can=can(found)
    )
