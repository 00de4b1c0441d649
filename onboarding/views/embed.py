"""The frame in a partner's portal. It needs no cookie, and believes nothing but our own server."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from onboarding import headers, qr
from onboarding.clock import now
from onboarding.connections import embedding, glance, partnership
from onboarding.errors import LinkInvalid
from onboarding.forms import POPUP
from onboarding.models import Link
from onboarding.states import LinkKind
from onboarding.views.grower import GrowerPage, accent_url, page_of_link, problem_page
from onboarding.views.limits import EMBED_PER_ADDRESS, limiter
from onboarding.views.parts import bearer_token, installation

TOO_MANY = 429
THEMES = ("light", "dark")
TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_OF_ANOTHER = (
    "token_invalid",
    "token_expired",
    "token_of_another",
)

bp = Blueprint("embed", __name__, url_prefix="/embed")


@bp.get("/<slug>")
def frame(slug: str) -> ResponseReturnValue:
    """What the frame loads, for all growers of a partner: whose it is stands in the fragment."""
    with installation().database.reading() as session:
        partner = partnership.find(session, slug)
    if partner is None:
        return problem_page("page_missing", 404)
    headers.let_frame(partner.frame_origins)
    theme = request.args.get("theme", "")
    return render_template(
        "embed/frame.html",
        partner=partner,
        accent_url=accent_url(partner),
        theme=theme if theme in THEMES else None,
    )


@bp.route("/<slug>/state", methods=["GET", "OPTIONS"], provide_automatic_options=False)
def state(slug: str) -> ResponseReturnValue:
    """Where the grower of the token stands; 304 if it is as it was."""
    if request.method == "OPTIONS":
        return preflight()
    token = bearer_token()  # what the frame has in its fragment
    return open_to_all(_as_before(slug, token) or _in_full(slug, token))


def _as_before(slug: str, token: str) -> Response | None:
    """That nothing has happened since the frame was told last; None: that has to be found out.

    It is not counted: to refuse it would cost as much.
    """
    try:
        link_id = installation().links.link_id(token)
    except LinkInvalid:
        return None
    etag = installation().glances.etag(slug, link_id)
    # What was compressed has a suffix; proxies that compress make them weak.
    told = request.if_none_match.as_set(include_weak=True)
    names = (one for one in told if one.partition(":")[0] == etag)
    if (name := next(names, None)) is None:
        return None
    response = Response(status=304)
    response.set_etag(name)
    return response


@limiter.limit(EMBED_PER_ADDRESS)
def _in_full(slug: str, token: str) -> Response:
    with installation().database.reading() as session:
        page = _page(session, slug, token)
        rows = glance.rows_of(session.connection(), [page.link.id])[page.link.id]
    seen = page.link.opened_at
    etag = f"{page.fingerprint}-{seen.timestamp() if seen else 0}"
    installation().glances.keep(slug, page.link, rows, etag)
    response = make_response(_told(page))
    response.set_etag(etag)
    response.make_conditional(request)
    return response


@bp.route("/<slug>/qr", methods=["GET", "OPTIONS"], provide_automatic_options=False)
@limiter.limit(EMBED_PER_ADDRESS)
def code(slug: str) -> ResponseReturnValue:
    """The way to the grower's page as a picture, for going on with a telephone."""
    if request.method == "OPTIONS":
        return preflight()
    with installation().database.reading() as session:
        page = _page(session, slug, bearer_token())
    url = installation().links.url(installation().settings.public_url, page.link.id)
    return open_to_all(Response(qr.picture(url), mimetype="image/svg+xml"))


@bp.after_request
def let_a_refusal_be_read(response: Response) -> Response:
    """A frame that asks too often is told so, not that there is no connection."""
    return open_to_all(response) if response.status_code == TOO_MANY else response


def preflight(allowed: str = "Authorization, If-None-Match") -> Response:
    """A frame in a sandbox has no origin: to its browser our own server is another one.

    :param allowed: names of headers that may be sent
    """
    response = open_to_all(Response(status=204))
    response.headers["Access-Control-Allow-Headers"] = allowed
    response.headers["Access-Control-Max-Age"] = "7200"
    return response


def _page(session: Session, slug: str, token: str) -> GrowerPage:
    """What is known of the token's grower, or an answer that says what is wrong with the token."""
    try:
        link = session.get(Link, installation().links.link_id(token))
    except LinkInvalid:
        link = None
    if link is None or link.kind is not LinkKind.EMBED:
        abort(_refusal(401, TOKEN_INVALID))
    if link.grower.partner.slug != slug:
        abort(_refusal(403, TOKEN_OF_ANOTHER))
    if not link.is_usable(now()):
        abort(_refusal(410, TOKEN_EXPIRED))
    return page_of_link(session, link, token)


def _told(page: GrowerPage) -> dict[str, Any]:
    told, start = page.told, url_for("connect.show", token=page.token)
    seen = page.link.opened_at
    action = told.action.label if told.action else None
    return {
        "connection": page.connection.reference,
        "state": told.code,
        "event": embedding.event_of(page.connection, told),
        "tone": told.tone,
        "label": told.label,
        "title": told.title,
        "text": " ".join(told.sentences),
        "action": action if told.who == "grower" else None,
        # Ours as browsers see it: a frame in a sandbox has no origin to complete a path with.
        "popup": f"{installation().settings.public_url}{start}?window={POPUP}",
        "page": f"{installation().settings.public_url}{start}",
        "comes_back": page.way_back is not None,
        "seen": seen.timestamp() if seen else 0,
        "polling": page.polling,
    }


def _refusal(status: int, code: str) -> Response:
    return open_to_all(make_response({"error": code}, status))


def open_to_all(response: Response) -> Response:
    """Whoever has the token may read it from anywhere; nothing of the browser's own comes along."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Expose-Headers"] = "ETag"
    return response
