"""Who signs in to the dashboard: let in, limited, disabled by administrators who see all partners.

Who is limited to some partners could else let themselves see the others.
"""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa
from flask import abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session, selectinload
from wtforms import EmailField, RadioField, SelectField, SelectMultipleField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, Length

from onboarding.clock import now
from onboarding.errors import InputInvalid
from onboarding.forms import Form
from onboarding.i18n import gettext as _
from onboarding.i18n import mark
from onboarding.models import Staff, StaffSession
from onboarding.staff import accounts, company
from onboarding.staff.scope import visible_partners
from onboarding.states import Role
from onboarding.views.parts import installation
from onboarding.views.staff.forms import Button, only_by_button
from onboarding.views.staff.parts import ROLES, bp, member, staff_only
from onboarding.views.staff.sign_in import UNPROCESSABLE

ALL, SOME = "all", "some"
NONE_CHOSEN = mark("Choose at least one partner, or all of them.")


ADMINISTRATORS = staff_only(Role.ADMINISTRATOR, sees_all=True)
WHO_HAVE_PROVED_IT = staff_only(Role.ADMINISTRATOR, fresh=True, sees_all=True)


class Rights(Form):
    """What a person may do and see."""

    role = SelectField(_("Role"))
    sees = RadioField(
        _("Sees"),
        choices=[SelectChoice(ALL, _("All partners")), SelectChoice(SOME, _("Only these"))],
        default=ALL,
    )
    partners = SelectMultipleField(_("Partners"))

    def offer(self, session: Session) -> None:
        """Fill in what can be chosen."""
        self.role.choices = [SelectChoice(one.value, _(ROLES[one])) for one in Role]
        self.partners.choices = [
            (one.slug, one.name) for one in visible_partners(session, member())
        ]

    def limits(self) -> list[str] | None:
        """Slugs of the partners; None: all.

        :raise InputInvalid: if none is chosen
        """
        if self.sees.data == ALL:
            return None
        if not self.partners.data:
            raise InputInvalid(_(NONE_CHOSEN))
        return list(self.partners.data)


class NewPerson(Rights):
    """Somebody to let in."""

    email = EmailField(
        _("E-mail address"), validators=[InputRequired(_("This is missing.")), Length(max=254)]
    )
    name = StringField(_("Name"), validators=[Length(max=accounts.NAME_MAX)])


@bp.get("/team")
@ADMINISTRATORS
def team() -> ResponseReturnValue:
    """All of them."""
    with installation().database.reading() as session:
        people = session.scalars(
            sa.select(Staff)
            .options(selectinload(Staff.partners))
            .order_by(Staff.disabled_at.is_not(None), Staff.email)
        ).all()
        query = sa.select(StaffSession.staff_id, sa.func.max(StaffSession.seen_at))
        seen = dict(session.execute(query.group_by(StaffSession.staff_id)).all())
    return render_template("staff/team.html", people=people, seen=seen, moment=now())


@bp.get("/team/new")
@WHO_HAVE_PROVED_IT
def team_new() -> ResponseReturnValue:
    """Ask whom to let in."""
    return _new_page(NewPerson(formdata=None))


@bp.post("/team/new")
@WHO_HAVE_PROVED_IT
def team_add() -> ResponseReturnValue:
    """Let a person in, and show the link by which they set a password, this once."""
    form = NewPerson()
    try:
        with installation().database.transaction() as session:
            form.offer(session)
            if not form.validate_on_submit():
                return _new_page(form)
            made = accounts.add(
                session,
                member(),
                email=form.email.data,
                role=Role(form.role.data),
                name=form.name.data or "",
                partners=form.limits(),
            )
            secret = accounts.invite(session, member(), made)
    except InputInvalid as err:
        return _new_page(form, str(err))
    return _link_page(made, secret)


@bp.get("/team/<uuid:staff_id>")
@WHO_HAVE_PROVED_IT
def team_member(staff_id: UUID) -> ResponseReturnValue:
    """One of them."""
    with installation().database.reading() as session:
        found = _person(session, staff_id)
        form = Rights(
            formdata=None,
            role=found.role.value,
            sees=SOME if found.is_limited else ALL,
            partners=[one.slug for one in found.partners],
        )
    return _page(form, staff_id)


@bp.post("/team/<uuid:staff_id>")
@WHO_HAVE_PROVED_IT
def team_change(staff_id: UUID) -> ResponseReturnValue:
    """Change what a person may do and see."""
    form = Rights()
    try:
        with installation().database.transaction() as session:
            found = _person(session, staff_id)
            form.offer(session)
            if not form.validate_on_submit():
                return _page(form, staff_id)
            role, limits = Role(form.role.data), form.limits()
            accounts.change(session, member(), found, role=role, partners=limits)
    except InputInvalid as err:
        return _page(form, staff_id, str(err))
    flash(_("Changed. It holds from their next click on."))
    return redirect(url_for("staff.team"), 303)


@bp.post("/team/<uuid:staff_id>/link")
@WHO_HAVE_PROVED_IT
def team_link(staff_id: UUID) -> ResponseReturnValue:
    """Make a link to set a password, and show it this once."""
    only_by_button()
    try:
        with installation().database.transaction() as session:
            found = _person(session, staff_id)
            secret = accounts.invite(session, member(), found)
    except InputInvalid as err:
        return _page(None, staff_id, str(err))
    return _link_page(found, secret)


@bp.post("/team/<uuid:staff_id>/disable")
@WHO_HAVE_PROVED_IT
def team_disable(staff_id: UUID) -> ResponseReturnValue:
    """Let a person in no more."""
    only_by_button()
    try:
        with installation().database.transaction() as session:
            accounts.disable(session, member(), _person(session, staff_id))
    except InputInvalid as err:
        return _page(None, staff_id, str(err))
    flash(_("Disabled, and signed out everywhere."))
    return redirect(url_for("staff.team"), 303)


@bp.post("/team/<uuid:staff_id>/enable")
@WHO_HAVE_PROVED_IT
def team_enable(staff_id: UUID) -> ResponseReturnValue:
    """Let a person in again."""
    only_by_button()
    with installation().database.transaction() as session:
        accounts.enable(session, member(), _person(session, staff_id))
    flash(_("Enabled. The password is the one of before."))
    return redirect(url_for("staff.team"), 303)


@bp.post("/team/<uuid:staff_id>/part")
@WHO_HAVE_PROVED_IT
def team_part(staff_id: UUID) -> ResponseReturnValue:
    """Part a person from their account at the company."""
    only_by_button()
    with installation().database.transaction() as session:
        company.part_from(session, member(), _person(session, staff_id))
    flash(_("Parted. The next company account with this address will be theirs."))
    return redirect(url_for("staff.team_member", staff_id=staff_id), 303)


def _person(session: Session, staff_id: UUID) -> Staff:
    found = session.get(Staff, staff_id, options=[selectinload(Staff.partners)])
    if found is None:
        abort(404)
    return found


def _new_page(form: NewPerson, problem: str = "") -> ResponseReturnValue:
    with installation().database.reading() as session:
        form.offer(session)
    page = render_template("staff/team_new.html", form=form, problem=problem)
    return page, UNPROCESSABLE if request.method == "POST" else 200


def _page(form: Rights | None, staff_id: UUID, problem: str = "") -> ResponseReturnValue:
    with installation().database.reading() as session:
        found = _person(session, staff_id)
        if form is None:
            form = Rights(
                formdata=None,
                role=found.role.value,
                sees=SOME if found.is_limited else ALL,
                partners=[one.slug for one in found.partners],
            )
        form.offer(session)
    page = render_template(
        "staff/team_member.html",
        staff=found,
        form=form,
        button=Button(formdata=None),
        problem=problem,
        moment=now(),
    )
    return page, UNPROCESSABLE if request.method == "POST" else 200


def _link_page(staff: Staff, secret: str) -> ResponseReturnValue:
    """Shown in answer to the POST, since nothing keeps the link to show it later."""
    path = url_for("staff.set_password", secret=secret)
    url = f"{installation().settings.public_url}{path}"
    by_company = installation().company is not None
    return render_template("staff/team_link.html", staff=staff, url=url, by_company=by_company)
