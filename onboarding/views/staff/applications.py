"""Applications at John Deere: the default one, and those of partners that have their own."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from wtforms import BooleanField, PasswordField, SelectField, StringField
from wtforms.validators import InputRequired, Length

from onboarding.connections import applications as using
from onboarding.errors import InputInvalid
from onboarding.forms import Form
from onboarding.i18n import gettext as _
from onboarding.models import Application
from onboarding.staff import applications
from onboarding.staff.application_drafts import Trial, draft, try_out
from onboarding.states import Environment, Role
from onboarding.views.parts import installation
from onboarding.views.staff.forms import MISSING, Button, only_by_button
from onboarding.views.staff.parts import bp, member, staff_only
from onboarding.views.staff.sign_in import UNPROCESSABLE

PLAIN = {"autocomplete": "off", "spellcheck": "false"}


class ApplicationForm(Form):
    """What can be changed; what is typed is checked by the use case."""

    name = StringField(_("Name"), validators=[InputRequired(_(MISSING)), Length(max=200)])
    secret = PasswordField(
        _("Client secret"),
        validators=[Length(max=500)],
        render_kw={"autocomplete": "new-password"},
    )
    scopes = StringField(_("Scopes"), validators=[Length(max=1000)], render_kw=PLAIN)
    metadata_url = StringField(_("Metadata URL"), validators=[Length(max=500)], render_kw=PLAIN)
    api_url = StringField(_("API URL"), validators=[Length(max=500)], render_kw=PLAIN)
    anyway = BooleanField(_("Save it although the test fails"))

    def show(self, kept: Application) -> None:
        """Fill in what is kept; never the secret."""
        self.name.data = kept.name
        self.scopes.data = " ".join(kept.scopes)
        self.metadata_url.data, self.api_url.data = kept.metadata_url, kept.api_url

    def draft(self, *, client_key: str, environment: str) -> Application:
        """What was typed, checked.

        :raise InputInvalid: saying what to change
        """
        names = ("name", "scopes", "metadata_url", "api_url")
        return draft(
            installation().settings,
            client_key=client_key,
            environment=environment,
            **{name: self[name].data or "" for name in names},
        )


class NewApplicationForm(ApplicationForm):
    """The same, with what an application is known by, which stays."""

    client_key = StringField(
        _("Client key"), validators=[InputRequired(_(MISSING)), Length(max=200)], render_kw=PLAIN
    )
    environment = SelectField(
        _("Environment"), choices=[one.value for one in Environment], coerce=str
    )


ADMINISTRATORS = staff_only(Role.ADMINISTRATOR, fresh=True, sees_all=True)
"""Applications are nobody's in particular: who is limited to some partners changes none."""


@bp.get("/applications", endpoint="applications")
@staff_only(Role.VIEWER)
def list_applications() -> ResponseReturnValue:
    """The default one, and all others that the member sees."""
    with installation().database.reading() as session:
        found = applications.visible(session, member())
        users = applications.partners_of(session, member())
    return render_template(
        "staff/applications.html",
        applications=found,
        users=users,
        settings=installation().settings,
    )


@bp.get("/add-application")
@ADMINISTRATORS
def add_application() -> ResponseReturnValue:
    """Where a new one is typed in."""
    return _page(NewApplicationForm(formdata=None), None)


@bp.post("/add-application")
@ADMINISTRATORS
def make_application() -> ResponseReturnValue:
    """Try out what was typed, or keep it."""
    form = NewApplicationForm()
    if not form.validate_on_submit():
        return _page(form, None)
    parts, trial = installation(), None
    try:
        made = form.draft(client_key=form.client_key.data, environment=form.environment.data)
        trial = _try_out(made)
        if _is_only_tried(form, trial):
            return _page(form, None, trial=trial)
        with parts.database.transaction() as session:
            secret = form.secret.data or ""
            applications.add(session, parts.vault, parts.settings, made, secret, member())
    except InputInvalid as err:
        return _page(form, None, trial=trial, wrong=str(err))
    flash(_("The application is there. Next: choose it on the page of a partner."))
    return redirect(url_for("staff.applications"), 303)


@bp.get("/applications/<uuid:application_id>")
@ADMINISTRATORS
def application(application_id: UUID) -> ResponseReturnValue:
    """What may be changed of one."""
    kept = _kept(application_id)
    form = ApplicationForm(formdata=None)
    form.show(kept)
    return _page(form, kept)


@bp.post("/applications/<uuid:application_id>")
@ADMINISTRATORS
def change_application(application_id: UUID) -> ResponseReturnValue:
    """Try out what was typed, or keep it."""
    kept = _kept(application_id)
    form = ApplicationForm()
    if not form.validate_on_submit():
        return _page(form, kept)
    parts, trial = installation(), None
    try:
        wanted = form.draft(client_key=kept.client_key, environment=kept.environment.value)
        trial = _try_out(wanted)
        if _is_only_tried(form, trial):
            return _page(form, kept, trial=trial)
        with parts.database.transaction() as session:
            row = session.get_one(Application, application_id)
            applications.change(session, parts.vault, row, wanted, form.secret.data or "", member())
    except InputInvalid as err:
        return _page(form, kept, trial=trial, wrong=str(err))
    flash(_("Kept. What waits for Leaf uses it, too."))
    return redirect(url_for("staff.applications"), 303)


@bp.post("/applications/<uuid:application_id>/delete")
@ADMINISTRATORS
def delete_application(application_id: UUID) -> ResponseReturnValue:
    """Delete one that nobody needs any more."""
    only_by_button()
    kept = _kept(application_id)
    try:
        with installation().database.transaction() as session:
            applications.delete(session, session.get_one(Application, kept.id), member())
    except InputInvalid as err:
        flash(str(err), "error")
        return redirect(url_for("staff.application", application_id=application_id), 303)
    flash(_("%(name)s is deleted.") % {"name": kept.name})
    return redirect(url_for("staff.applications"), 303)


def _kept(application_id: UUID) -> Application:
    with installation().database.reading() as session:
        return session.get(Application, application_id) or abort(404)


def _try_out(typed: Application) -> Trial:
    parts = installation()
    return try_out(parts.clients.of(using.described(parts.settings, typed)))


def _is_only_tried(form: ApplicationForm, trial: Trial) -> bool:
    """Whether nothing is to be kept: that is not asked for, or the test fails."""
    if request.form.get("do") == "test":
        return True
    if trial.is_fine or form.anyway.data:
        return False
    form.anyway.errors = [_("The test fails. Change what is wrong, or tick this.")]
    return True


def _page(
    form: ApplicationForm, kept: Application | None, *, trial: Trial | None = None, wrong: str = ""
) -> ResponseReturnValue:
    settings = installation().settings
    shown: dict[str, Any] = {"kept": kept, "trial": trial, "wrong": wrong, "settings": settings}
    page = render_template(
        "staff/application.html", form=form, button=Button(formdata=None), **shown
    )
    if not (wrong or form.errors):
        return page, 200
    if request.headers.get("HX-Request"):
        # It asked for the result of the test alone; what is wrong stands beside the fields.
        whole = {"HX-Retarget": "#main", "HX-Reselect": "#main", "HX-Reswap": "outerHTML"}
        return page, 200, whole
    return page, UNPROCESSABLE
