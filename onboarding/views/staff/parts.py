"""What all pages of the dashboard share: who is signed in, and what they may do and see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast
from urllib.parse import urlencode

import sqlalchemy as sa
from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    current_app,
    g,
    redirect,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session, joinedload

from onboarding.i18n import gettext, mark
from onboarding.models import Connection, StaffSession
from onboarding.staff import sessions
from onboarding.staff.roles import Member, member_of
from onboarding.states import Role
from onboarding.views.parts import installation

COOKIE = "__Host-staff"
DRAFT_COOKIE = "__Host-staff-draft"
"""What was sent when the sign-in had run out (see `draft`)."""
UNATTENDED = "X-Unattended"
"""Sent by pages that ask by themselves: nobody need be there, so the session grows no younger."""
SIGN_IN, CONFIRM = "staff.sign_in", "staff.confirm"
ROLE, FRESH, PUBLIC, WHOLE = "staff_role", "staff_fresh", "staff_public", "staff_whole"
"""What a view is marked with."""

ROLES = {
    Role.VIEWER: mark("Viewer"),
    Role.OPERATOR: mark("Operator"),
    Role.ADMINISTRATOR: mark("Administrator"),
}

View = TypeVar("View", bound=Callable[..., ResponseReturnValue])

bp = Blueprint("staff", __name__, url_prefix="/staff")


def staff_only(
    role: Role, *, fresh: bool = False, sees_all: bool = False
) -> Callable[[View], View]:
    """Mark a view: for those who have at least this role.

    :param fresh: whether they must have proved within the last minutes who they are
    :param sees_all: whether it is only for those who are not limited to some partners
    """

    def let_in(view: View) -> View:
        setattr(view, ROLE, role)
        setattr(view, FRESH, fresh)
        setattr(view, WHOLE, sees_all)
        return view

    return let_in


def public(view: View) -> View:
    """Mark a view: for anybody, since it is how one signs in."""
    setattr(view, PUBLIC, True)
    return view


def init_app(app: Flask) -> None:
    """Register the pages."""
    app.register_blueprint(bp)
    check(app)
    app.jinja_env.globals["may_open"] = may_open
    app.jinja_env.globals["connection_url"] = connection_url
    app.jinja_env.globals["table_url"] = table_url
    app.jinja_env.globals["role_names"] = {role: gettext(name) for role, name in ROLES.items()}


def check(app: Flask) -> None:
    """Make sure that no page is open by mistake.

    :raise RuntimeError: if one does not say who may see it
    """
    for endpoint, view in app.view_functions.items():
        if endpoint.startswith("staff.") and not (hasattr(view, ROLE) or hasattr(view, PUBLIC)):
            raise RuntimeError(f"{endpoint} does not say who may see it: staff_only or public")


def member() -> Member:
    """Who is signed in."""
    return cast(Member, g.staff_member)


def may_open(endpoint: str) -> bool:
    """Whether the member is let in there: by the same rule everything that leads there is shown.

    :param endpoint: of the dashboard, without the blueprint's name
    """
    return _may(current_app.view_functions[f"staff.{endpoint}"])


def current_session() -> StaffSession:
    """The browser in which they are."""
    return cast(StaffSession, g.staff_session)


def visible_connection(session: Session, reference: str) -> Connection:
    """A connection by its reference code; 404 if there is none that the member sees."""
    query = sa.select(Connection).where(Connection.reference == reference.upper())
    whole = query.options(joinedload(Connection.organizations))
    found = session.scalars(whole).unique().one_or_none()
    if found is None or not member().sees(found.grower.partner_id):
        abort(404)
    return found


def connection_url(reference: str) -> str:
    """The address of the page of one connection."""
    return f"{url_for('staff.home')}connections/{reference}"


def table_url(**asked: str | None) -> str:
    """The address of the table of connections, with what is asked of it."""
    given = {name: value for name, value in asked.items() if value}
    return f"{url_for('staff.home')}connections?{urlencode(given)}"


def set_cookie(response: Response, secret: str) -> None:
    """Let the browser keep what it is signed in by, until it is closed or idle for too long."""
    response.set_cookie(
        COOKIE,
        secret,
        max_age=int(sessions.IDLE.total_seconds()),
        secure=True,
        httponly=True,
        samesite="Lax",
        path="/",
    )
    g.staff_seen = False  # so that `keep` does not put the old one back


@bp.before_request
def guard() -> ResponseReturnValue | None:
    """Let in who may see the page; send who is not signed in to where one does that."""
    view = current_app.view_functions[request.endpoint or ""]
    g.staff_member = None
    with installation().database.reading() as session:
        found = sessions.find(session, request.cookies.get(COOKIE))
        if found is not None:
            g.staff_session, g.staff_member = found, member_of(found.staff)
    if hasattr(view, PUBLIC):
        return None
    if found is None:
        return _to(SIGN_IN)
    if sessions.is_to_be_seen(found) and UNATTENDED not in request.headers:
        with installation().database.transaction() as session:
            sessions.see(session, found.id)
        g.staff_seen = True
    if not _may(view):
        abort(403)
    if getattr(view, FRESH) and not sessions.is_confirmed(found):
        return _to(CONFIRM)
    return None


@bp.after_request
def keep(response: Response) -> Response:
    """Let the cookie live as long as the session does."""
    secret = request.cookies.get(COOKIE)
    if secret and g.get("staff_seen"):
        set_cookie(response, secret)
    return response


def _to(endpoint: str) -> ResponseReturnValue:
    """Go there, and come back to the page that was asked for; what was posted waits (`draft`)."""
    here = request.full_path.rstrip("?") if request.method == "GET" else page_before()
    target = f"{url_for(endpoint)}?{urlencode({'next': here})}"
    g.staff_sent_away = True
    if request.headers.get("HX-Request"):
        # A part of a page is no place for a sign-in.
        return Response(status=204, headers={"HX-Redirect": target})
    return redirect(target, 303)


def page_before() -> str:
    """The page from which something was posted, as the browser tells us of our own pages."""
    origin, path = installation().settings.public_url, request.referrer or ""
    return (
        path.removeprefix(origin) if path.startswith(f"{origin}/staff") else url_for("staff.home")
    )


def _may(view: Callable[..., Any]) -> bool:
    return member().may(getattr(view, ROLE)) and (
        member().partners is None or not getattr(view, WHOLE)
    )
