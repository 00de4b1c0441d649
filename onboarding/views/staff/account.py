"""A person's own account: the password, and the browsers in which they are signed in."""

from __future__ import annotations

from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from onboarding.errors import InputInvalid
from onboarding.i18n import gettext as _
from onboarding.models import Staff, StaffSession
from onboarding.staff import accounts, audit, sessions
from onboarding.states import Role
from onboarding.views.limits import SIGN_IN_PER_ADDRESS, limiter
from onboarding.views.parts import installation
from onboarding.views.staff.forms import Button, ChangePassword, only_by_button
from onboarding.views.staff.parts import bp, current_session, member, staff_only
from onboarding.views.staff.sign_in import UNPROCESSABLE

BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)
"""As browsers call themselves, and as people do; the first that is found."""


@bp.get("/account")
@staff_only(Role.VIEWER)
def account() -> ResponseReturnValue:
    """The page."""
    return _page(ChangePassword(formdata=None))


@bp.post("/account/password")
@staff_only(Role.VIEWER)
@limiter.limit(SIGN_IN_PER_ADDRESS)
def change_password() -> ResponseReturnValue:
    """Take another password; all other browsers are signed out."""
    form = ChangePassword()
    if form.validate_on_submit():
        database = installation().database
        if accounts.check_password(database, member().email, form.current.data) is None:
            form.current.errors = [
                _("This is not your password, or there were too many tries. Wait a minute.")
            ]
            return _page(form)
        try:
            with database.transaction() as session:
                accounts.set_password(
                    session,
                    session.get_one(Staff, member().id),
                    form.password.data,
                    but=current_session().id,
                )
        except InputInvalid as err:
            form.password.errors = [str(err)]
        else:
            flash(_("The password is changed. Your other browsers are signed out."))
            return redirect(url_for("staff.account"), 303)
    return _page(form)


@bp.post("/account/sessions/<uuid:session_id>/end")
@staff_only(Role.VIEWER)
def end_session(session_id: UUID) -> ResponseReturnValue:
    """Sign out another browser of one's own."""
    only_by_button()
    return _end(StaffSession.id == session_id)


@bp.post("/account/sessions/end-others")
@staff_only(Role.VIEWER)
def end_other_sessions() -> ResponseReturnValue:
    """Sign out all browsers of one's own but this one."""
    only_by_button()
    return _end(StaffSession.id != current_session().id)


def browser_name(said: str) -> str:
    """What a browser is called, from what it calls itself."""
    name = next((name for part, name in BROWSERS if part in said), "")
    system = next((name for part, name in SYSTEMS if part in said), "")
    return ", ".join(filter(None, (name, system))) or said[:60] or _("unknown")


def _end(which: object) -> ResponseReturnValue:
    with installation().database.transaction() as session:
        sessions.end(session, StaffSession.staff_id == member().id, which)  # type: ignore[arg-type]
        audit.record(session, member(), "staff.sessions_end")
    flash(_("Signed out there."))
    return redirect(url_for("staff.account"), 303)


def _page(form: ChangePassword) -> ResponseReturnValue:
    with installation().database.reading() as session:
        staff = session.get_one(Staff, member().id)
        partners = sorted(one.name for one in staff.partners) if staff.is_limited else None
        found = sessions.of(session, staff.id)
    page = render_template(
        "staff/account.html",
        form=form,
        button=Button(formdata=None),
        staff=staff,
        partners=partners,
        sessions=found,
        current=current_session().id,
        browser_name=browser_name,
    )
    return page, UNPROCESSABLE if request.method == "POST" else 200
