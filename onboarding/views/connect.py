"""The grower's pages."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
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

from onboarding import describe, headers
from onboarding.clock import now
from onboarding.colours import accent_css
from onboarding.connections import (
    applications,
    consent,
    incidents,
    invitations,
    listing,
    mails,
    organizations,
    owed,
)
from onboarding.deere import Deere
from onboarding.errors import LinkInvalid, TokenUnreadable
from onboarding.forms import NewLinkForm, OrganizationsForm, StartForm
from onboarding.links import (
    CHOICE_COOKIE,
    CHOICE_COOKIE_LIFETIME,
    GROWER_COOKIE_LIFETIME,
    attempt_cookie,
    grower_cookie,
    surplus_cookies,
)
from onboarding.models import ATTEMPT_LIFETIME, Connection, Link, Partner
from onboarding.settings import Settings
from onboarding.states import Outcome, Stage
from onboarding.views.limits import START_PER_ADDRESS, START_PER_LINK, limiter, link_in_path
from onboarding.views.parts import installation

REFRESH_SECONDS = 5
REFRESH_SECONDS_WITHOUT_HURRY = 20
CHANGES_BY_ITSELF = frozenset(
    {"authorizing", "choose_organizations", "failed", "no_organization_chosen"}
)
"""Nothing is awaited, but what the grower does happens on another page, what staff do on none."""

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
        view = _view(session, token)
        is_first = view.link.opened_at is None and _is_shown_by_a_browser()
    if is_first:
        with installation().database.transaction() as session:
            listing.note_opened(session, view.connection.id, view.link.id)
    if owed.is_look_due(view.connection, view.moment):
        with installation().database.transaction() as session:
            owed.look(session, view.connection)
            view = _view(session, token)
    if view.told.code in {"invited", *_ENDED_WITHOUT_TOKEN} and not view.connection.organizations:
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
        view = _view(session, token)
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
            session, parts.vault, deere.settings, link, other_account=other_account
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
        connection = invitations.connection_of(session, usable_link(session, token).grower_id)
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
        connection = invitations.connection_of(session, usable_link(session, token).grower_id)
        found_shared = connection.has_shared_organization and not had_shared
        if is_of_now and (connection.trouble_in_the_way or found_shared):
            return redirect(url_for(".show", token=token), 303)
        deere = parts.deere_for_reading(session, connection)
        url = organizations.page_for(
            session, deere, connection, organization_id=form.organization.data or None
        )
    response = make_response(redirect(url, 303))
    # John Deere sends the browser back without a word, and it need not be the one that connected.
    # It holds no more than the link that the browser has, and ends with it.
    age = int(CHOICE_COOKIE_LIFETIME.total_seconds())
    _set_cookie(response, CHOICE_COOKIE, token, max_age=age)
    return response


@bp.get("/p/<slug>.css")
def accent(slug: str) -> ResponseReturnValue:
    """The partner's colour, if it can be read on our paper."""
    if not invitations.SLUG.fullmatch(slug):
        abort(404)  # not even asked for: PostgreSQL takes no NUL in a text
    with installation().database.reading() as session:
        partner = session.scalar(invitations.partner_named(slug))
    css = accent_css(partner.colour) if partner and partner.colour else None
    if css is None:
        abort(404)
    response = Response(css, mimetype="text/css")
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response


def accent_url(partner: Partner) -> str | None:
    """Where the partner's colour is, if there is one that can be read."""
    if partner.colour is None or accent_css(partner.colour) is None:
        return None
    return url_for("connect.accent", slug=partner.slug, v=partner.colour.removeprefix("#"))


def problem_page(
    code: str,
    status: int,
    *,
    partner: Partner | None = None,
    back: str | None = None,
    link_token: str | None = None,
) -> Response:
    """A page that belongs to no connection that we may show.

    :param back: path of a page of ours that this browser may open anyway
    :param link_token: of the link that is over, if the page can have a new one mailed
    """
    page = render_template(
        "connect/problem.html",
        told=describe.problem(code, back=back),
        partner=partner,
        accent_url=accent_url(partner) if partner else None,
        form=NewLinkForm() if link_token else None,
        link_token=link_token,
    )
    return make_response(page, status)


def link_of_choice(session: Session) -> Link | None:
    """The link with which this browser went to choose organizations, if it can still be used."""
    try:
        link_id = installation().links.link_id(request.cookies.get(CHOICE_COOKIE, ""))
    except LinkInvalid:
        return None
    link = session.get(Link, link_id)
    return link if link is not None and link.is_usable(now()) else None


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


@dataclass(frozen=True)
class _View:
    """All that the grower's page shows."""

    link: Link
    token: str
    connection: Connection
    told: describe.Told
    moment: datetime
    incident: str | None
    application: Settings
    """The settings of the application as which the grower is asked, without its secret."""

    @property
    def polling(self) -> bool:
        return (
            self.told.tone == "wait"
            or self.told.code in CHANGES_BY_ITSELF
            or self.connection.stage is Stage.HANDING_OVER
            or self.connection.is_about_to_change
            or self.connection.is_being_looked_at
        )

    @property
    def fingerprint(self) -> str:
        lists = describe.organizations(self.connection, self.told)
        # With `polling`, so that a page learns from a new one that it may stop.
        seen = (self.told, self._steps(), lists, self.polling, self.incident)
        return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]

    def common(self) -> dict[str, Any]:
        partner = self.link.grower.partner
        return {
            "partner": partner,
            "accent_url": accent_url(partner),
            "grower_name": self.link.grower.name,
            "form": StartForm(),
            "link_token": self.token,
        }

    def status(self) -> dict[str, Any]:
        lists = describe.organizations(self.connection, self.told)
        hurry = self.told.tone == "wait"
        return {
            "told": self.told,
            "incident": self.incident,
            "steps": self._steps(),
            "organizations": lists,
            "can_be_disconnected": self.connection.can_be_disconnected,
            "polling": self.polling,
            "refresh_seconds": REFRESH_SECONDS if hurry else REFRESH_SECONDS_WITHOUT_HURRY,
            "fingerprint": self.fingerprint,
            "state_url": url_for("connect.state", token=self.token),
        }

    def _steps(self) -> tuple[describe.Step, ...]:
        return describe.steps(self.connection, self.told)


_ENDED_WITHOUT_TOKEN = frozenset(
    outcome.value for outcome in Outcome if outcome is not Outcome.NO_REFRESH_TOKEN
) | {"took_too_long"}


def _view(session: Session, token: str) -> _View:
    link = usable_link(session, token)
    connection = invitations.connection_of(session, link.grower_id)
    moment = now()
    latest = consent.latest(session, connection.id)
    told = describe.connection(
        connection,
        latest=latest,
        moment=moment,
        troubled=latest is not None and consent.is_troubled(session, connection.id, moment=moment),
        incident=incidents.of(session, connection),
    )
    incident = describe.incident_for_growers(
        connection, told, service=incidents.troubled_service(session)
    )
    own = applications.of_partner(session, connection.grower.partner)
    application = applications.described(installation().settings, own)
    headers.let_forms_lead_to(application)
    return _View(link, token, connection, told, moment, incident, application)


def usable_link(session: Session, token: str) -> Link:
    """The link, or the page that says why it can't be used; that one names no grower."""
    link = known_link(session, token)
    if not may_be_opened(session, link):
        abort(page_of_link_that_is_over(session, link, token))
    return link


def known_link(session: Session, token: str) -> Link:
    """The link, usable or not, or the page that says that it is none of ours."""
    try:
        link = session.get(Link, installation().links.link_id(token))
    except LinkInvalid:
        link = None
    return link or abort(problem_page("link_invalid", 404))


def may_be_opened(session: Session, link: Link) -> bool:
    """Whether this browser may see the page of the link's grower."""
    return link.is_usable(now()) or _is_remembered(session, link)


def page_of_link_that_is_over(session: Session, link: Link, token: str) -> Response:
    """Whom to ask, and perhaps a way to have a new link mailed; the same whoever it is for."""
    partner = link.grower.partner
    if mails.is_offered(session, installation().settings, link):
        return problem_page("link_renewable", 410, partner=partner, link_token=token)
    return problem_page("link_revoked" if link.revoked_at else "link_expired", 410, partner=partner)


def _is_remembered(session: Session, link: Link) -> bool:
    connection = invitations.connection_of(session, link.grower_id)
    value = request.cookies.get(grower_cookie(connection.id))
    return installation().links.is_browser_of(connection.id, value)


def _set_cookie(response: Response, name: str, value: str, *, max_age: int) -> None:
    # Lax: John Deere sends the browser back by a cross-site navigation.
    response.set_cookie(
        name, value, max_age=max_age, path="/", secure=True, httponly=True, samesite="Lax"
    )


def _forget_cookies(response: Response, names: Iterable[str]) -> None:
    for name in names:
        response.delete_cookie(name, secure=True, httponly=True, samesite="Lax")
