"""Signing in and out, proving it again, and setting a password by a link."""

from __future__ import annotations

import re
from uuid import UUID

from flask import Response, g, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from onboarding.errors import InputInvalid
from onboarding.i18n import gettext as _
from onboarding.models import Staff, StaffSession
from onboarding.staff import accounts, audit, sessions
from onboarding.staff.roles import member_of
from onboarding.states import Role
from onboarding.views.limits import SIGN_IN_PER_ADDRESS, limiter
from onboarding.views.parts import installation
from onboarding.views.staff.forms import Confirm, NewPassword, SignIn, only_by_button
from onboarding.views.staff.parts import (
    COOKIE,
    DRAFT_COOKIE,
    bp,
    current_session,
    member,
    public,
    set_cookie,
    staff_only,
)

UNPROCESSABLE = 422
OURS = re.compile(r"/staff(?:/[A-Za-z0-9._~/-]*)?(?:\?[^\s\\#]*)?")
"""Paths of the dashboard, which a sign-in may lead to."""


@bp.get("/sign-in")
@public
def sign_in() -> ResponseReturnValue:
    """Where one signs in."""
    if g.staff_member is not None:
        return redirect(wanted(), 303)
    return _sign_in_page(SignIn(formdata=None, next=wanted()))


@bp.post("/sign-in")
@public
@limiter.limit(SIGN_IN_PER_ADDRESS)
def enter() -> ResponseReturnValue:
    """Sign in by address and password."""
    form = SignIn()
    if form.validate_on_submit():
        database = installation().database
        staff_id = accounts.check_password(database, form.email.data, form.password.data)
        if staff_id is not None:
            with database.transaction() as session:
                secret = begin(session, staff_id)
            return let_in(secret, wanted())
        form.password.errors = [
            _(
                "This address and this password do not belong together, or there were too many "
                "tries. Wait a minute before the next ones; after many it takes up to an hour."
            )
        ]
    return _sign_in_page(form), UNPROCESSABLE


@bp.post("/sign-out")
@public
def sign_out() -> ResponseReturnValue:
    """End the session of this browser."""
    only_by_button()
    if g.staff_member is not None:
        with installation().database.transaction() as session:
            sessions.end(session, StaffSession.id == current_session().id)
            audit.record(session, member(), "staff.sign_out")
    answer = make_response(redirect(url_for("staff.sign_in"), 303))
    answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="Lax")
    g.staff_seen = False
    return answer


@bp.get("/confirm")
@staff_only(Role.VIEWER)
def confirm() -> ResponseReturnValue:
    """Ask once more who it is, before something dangerous."""
    return _confirm_page(Confirm(formdata=None, next=wanted()))


@bp.post("/confirm")
@staff_only(Role.VIEWER)
@limiter.limit(SIGN_IN_PER_ADDRESS)
def prove() -> ResponseReturnValue:
    """Prove by the password that it is still the same person."""
    form = Confirm()
    if form.validate_on_submit():
        database = installation().database
        if accounts.check_password(database, member().email, form.password.data) is not None:
            with database.transaction() as session:
                secret = sessions.confirm(session, current_session().id)
                audit.record(session, member(), "staff.confirm")
            return let_in(secret, wanted())
        form.password.errors = [
            _("This is not your password, or there were too many tries. Wait a minute, then again.")
        ]
    return _confirm_page(form), UNPROCESSABLE


@bp.get("/password/<secret>")
@public
def set_password(secret: str) -> ResponseReturnValue:
    """Where a person with a link sets a password. Opening it changes nothing: scanners do that."""
    with installation().database.reading() as session:
        staff = accounts.invited(session, secret)
    return _password_page(NewPassword(formdata=None), secret, staff)


@bp.post("/password/<secret>")
@public
@limiter.limit(SIGN_IN_PER_ADDRESS)
def keep_password(secret: str) -> ResponseReturnValue:
    """Set it, and sign in; the link is used up."""
    form = NewPassword()
    with installation().database.transaction() as session:
        staff = accounts.invited(session, secret)
        if staff is not None and form.validate_on_submit():
            try:
                accounts.set_password(session, staff, form.password.data)
            except InputInvalid as err:
                form.password.errors = [str(err)]
            else:
                return let_in(begin(session, staff.id), url_for("staff.home"))
    return _password_page(form, secret, staff)


def begin(session: Session, staff_id: UUID, *, by_provider: bool = False) -> str:
    """A session for a person who has proved who they are; that of before in this browser ends."""
    staff = session.get_one(Staff, staff_id)
    sessions.forget_idle(session)
    if g.staff_member is not None:
        sessions.end(session, StaffSession.id == current_session().id)
    audit.record(session, member_of(staff), "staff.sign_in", by_provider=by_provider)
    return sessions.begin(
        session,
        staff,
        address=request.remote_addr or "",
        browser=request.user_agent.string,
        by_provider=by_provider,
    )


def let_in(secret: str, target: str) -> Response:
    """Give the browser the session's cookie and go on, first of all with what waits to be sent."""
    waits = DRAFT_COOKIE in request.cookies
    answer = make_response(redirect(url_for("staff.draft") if waits else target, 303))
    set_cookie(answer, secret)
    return answer


def wanted() -> str:
    """Where the person wanted to go; the overview if that is no page of the dashboard."""
    path = request.values.get("next", "")
    is_ours = OURS.fullmatch(path) and ".." not in path and "//" not in path.partition("?")[0]
    return path if is_ours else url_for("staff.home")


def _sign_in_page(form: SignIn) -> str:
    return render_template(
        "staff/sign_in.html", form=form, by_company=installation().company is not None
    )


def _confirm_page(form: Confirm) -> str:
    """By whatever the person can sign in with."""
    staff = current_session().staff
    return render_template(
        "staff/confirm.html",
        form=form,
        by_company=installation().company is not None and staff.subject is not None,
        by_password=staff.password_hash is not None,
    )


def _password_page(form: NewPassword, secret: str, staff: Staff | None) -> ResponseReturnValue:
    status = 404 if staff is None else UNPROCESSABLE if form.errors else 200
    page = render_template("staff/set_password.html", form=form, secret=secret, staff=staff)
    return page, status
