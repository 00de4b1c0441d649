"""The grower's pages."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from uuid import UUID

from flask import (
    Blueprint,
    Response,
    abort,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from onboarding import describe
from onboarding.colours import accent_css
from onboarding.connections import consent, growers, listing, organizations, owed, partnership
from onboarding.deere import Deere
from onboarding.errors import LinkInvalid, TokenUnreadable
from onboarding.forms import POPUP, OrganizationsForm, StartForm
from onboarding.links import (
    CHOICE_COOKIE,
    CHOICE_COOKIE_LIFETIME,
    GROWER_COOKIE_LIFETIME,
    attempt_cookie,
    grower_cookie,
    surplus_cookies,
)
from onboarding.models import ATTEMPT_LIFETIME, Link
from onboarding.states import LinkKind
from onboarding.views.grower import ENDED_WITHOUT_TOKEN, may_be_opened, page_of, usable_link
from onboarding.views.limits import (
    START_PER_ADDRESS,
    START_PER_LINK,
    limiter,
    link_in_path,
    may_note_opening,
)
from onboarding.views.parts import installation

bp = Blueprint("connect", __name__)
log = logging.getLogger(__name__)


@bp.get("/")
def landing() -> ResponseReturnValue:
    """What this is, for people who come without a link."""
    return render_template("connect/landing.html")


@bp.get("/c/<token>")
def show(token: str) -> ResponseReturnValue:
    """The grower's page. It changes nothing but when Leaf is asked: mail scanners open links.

    Staff see that a browser opened it (see decision 0034).
    """
    with installation().database.reading() as session:
        view = page_of(session, token)
        counts = view.link.opened_at is None or view.link.kind is LinkKind.EMBED
    if counts and _is_shown_by_a_browser() and may_note_opening(view.link.id):
        with installation().database.transaction() as session:
            listing.note_opened(session, view.connection.id, view.link.id)
    if owed.is_look_due(view.connection, view.moment):
        with installation().database.transaction() as session:
            owed.look(session, view.connection)
            view = page_of(session, token)
    if view.told.code in {"invited", *ENDED_WITHOUT_TOKEN} and not view.connection.organizations:
        return render_template(
            "connect/start.html",
            **view.common(),
            told=None if view.told.code == "invited" else view.told,
            shares=describe.shared_by(view.application.deere_scopes),
            not_shared=describe.not_shared_by(view.application.deere_scopes),
            why_edit=describe.why_edit(view.application.deere_scopes),
            link_expires=view.link.expires_at,
        )
    return render_template("connect/status.html", **view.common(), **view.status())


@bp.get("/c/<token>/back")
def back(token: str) -> ResponseReturnValue:
    """On to the partner's own page. A page, since browsers apply the policy for forms of John
    Deere's consent to each redirect that follows it, and the partner is not in that policy.
    """
    with installation().database.reading() as session:
        view = page_of(session, token)
    if view.way_back is None:
        return redirect(url_for(".show", token=token), 303)
    return render_template("connect/back.html", **view.common())


def _is_shown_by_a_browser() -> bool:
    """Whether the page will be before somebody's eyes, as browsers say it (Fetch Metadata)."""
    headers = request.headers
    return (
        request.method == "GET"
        and headers.get("Sec-Fetch-Dest") in {"document", "iframe"}
        and headers.get("Sec-Fetch-Mode") == "navigate"
        and not {"Sec-Purpose", "Purpose", "X-Moz"} & set(headers.keys())
    )


@bp.get("/c/<token>/state")
def state(token: str) -> ResponseReturnValue:
    """Whether the page has changed: `{"code", "fingerprint", "polling"}`, 304 if it has not."""
    with installation().database.reading() as session:
        view = page_of(session, token)
    response = make_response(
        {"code": view.told.code, "fingerprint": view.fingerprint, "polling": view.polling}
    )
    response.set_etag(view.fingerprint)
    response.headers["Cache-Control"] = "no-store"
    return response.make_conditional(request)


@bp.post("/c/<token>/start")
@limiter.limit(START_PER_ADDRESS)
@limiter.limit(START_PER_LINK, key_func=link_in_path)
def start(token: str) -> ResponseReturnValue:
    """Begin an attempt and go to John Deere."""
    form = StartForm()
    if not form.validate_on_submit():
        abort(400)
    parts = installation()
    other_account = form.prompt.data == "login"
    with parts.database.transaction() as session:
        link = usable_link(session, token)
        deere = _deere(session, link)
        started = consent.start(
            session,
            parts.vault,
            deere.settings,
            link,
            other_account=other_account,
            in_popup=form.window.data == POPUP,
        )
    url = deere.consent_url(
        state=started.state,
        code_verifier=started.code_verifier,
        prompt="login" if other_account else None,
    )
    # 303: with 307 the browser would post the form to John Deere.
    response = make_response(redirect(url, 303))
    _set_cookie(
        response,
        attempt_cookie(started.attempt_id, started.began),
        started.browser_secret,
        max_age=int(ATTEMPT_LIFETIME.total_seconds()),
    )
    _forget_cookies(response, surplus_cookies(request.cookies))
    return response


def _deere(session: Session, link: Link) -> Deere:
    """John Deere for the application of the link's partner; a page if it can't be used."""
    try:
        return installation().deere_of_partner(session, link.grower.partner)
    except TokenUnreadable as err:
        # The sign-in would come to nothing; the command `doctor` says the same to staff.
        log.error("Growers of %s can't start: %s", link.grower.partner.slug, err)
        abort(503)


@bp.post("/c/<token>/organizations", endpoint="organizations")
@limiter.limit(START_PER_ADDRESS)
@limiter.limit(START_PER_LINK, key_func=link_in_path)
def choose(token: str) -> ResponseReturnValue:
    """Go to John Deere's page for choosing organizations, or for one of them."""
    form = OrganizationsForm()
    if not form.validate_on_submit():
        abort(400)
    parts = installation()
    with parts.database.reading() as session:
        connection = growers.connection_of(session, usable_link(session, token).grower_id)
        latest = consent.latest(session, connection.id)
        deere = parts.deere_for_reading(session, latest) if latest else parts.deere
    had_shared = connection.has_shared_organization
    # What John Deere once said against it is not repeated to a grower who has since mended it.
    is_of_now = (
        latest is not None
        and connection.sharing_trouble is not None
        and organizations.look(parts.database, parts.vault, deere, latest.id).asked
    )
    with parts.database.transaction() as session:
        connection = growers.connection_of(session, usable_link(session, token).grower_id)
        found_shared = connection.has_shared_organization and not had_shared
        if is_of_now and (connection.trouble_in_the_way or found_shared):
            window = form.window.data or None
            return redirect(url_for(".show", token=token, window=window), 303)
        deere = parts.deere_for_reading(session, connection)
        url = organizations.page_for(
            session, deere, connection, organization_id=form.organization.data or None
        )
    response = make_response(redirect(url, 303))
    remember_choice(response, token, in_popup=form.window.data == POPUP)
    return response


@bp.get("/p/<slug>.css")
def accent(slug: str) -> ResponseReturnValue:
    """The partner's colour, if it can be read on our paper."""
    with installation().database.reading() as session:
        partner = partnership.find(session, slug)
    css = accent_css(partner.colour) if partner and partner.colour else None
    if css is None:
        abort(404)
    response = Response(css, mimetype="text/css")
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response


def remember_choice(response: Response, token: str, *, in_popup: bool) -> None:
    """Let the browser that goes to choose organizations come back to where it went from.

    John Deere sends it back without a word, and it need not be the one that connected. The cookie
    holds no more than the link that the browser has, and ends with it.
    """
    value = f"{token}:{POPUP}" if in_popup else token
    age = int(CHOICE_COOKIE_LIFETIME.total_seconds())
    _set_cookie(response, CHOICE_COOKIE, value, max_age=age)


def link_of_choice(session: Session) -> Link | None:
    """The link with which this browser went to choose organizations, if it may still open it."""
    try:
        link_id = installation().links.link_id(_choice()[0])
    except LinkInvalid:
        return None
    link = session.get(Link, link_id)
    return link if link is not None and may_be_opened(session, link) else None


def went_in_popup() -> bool:
    """Whether it went from a window that a frame had opened."""
    return _choice()[1] == POPUP


def _choice() -> tuple[str, str]:
    token, _colon, window = request.cookies.get(CHOICE_COOKIE, "").partition(":")
    return token, window


def remember_browser(response: Response, connection_id: UUID) -> None:
    """Let the browser that connected keep its access when the link has expired."""
    links, own = installation().links, grower_cookie(connection_id)
    _set_cookie(
        response,
        own,
        links.browser_value(connection_id),
        max_age=int(GROWER_COOKIE_LIFETIME.total_seconds()),
    )
    others = {name: value for name, value in request.cookies.items() if name != own}
    _forget_cookies(response, links.surplus_browsers(others))


def _set_cookie(response: Response, name: str, value: str, *, max_age: int) -> None:
    # Lax: John Deere sends the browser back by a cross-site navigation.
    response.set_cookie(
        name, value, max_age=max_age, path="/", secure=True, httponly=True, samesite="Lax"
    )


def _forget_cookies(response: Response, names: Iterable[str]) -> None:
    for name in names:
        response.delete_cookie(name, secure=True, httponly=True, samesite="Lax")
