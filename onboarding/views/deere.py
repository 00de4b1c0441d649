"""Where John Deere sends the grower back to."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response, make_response, redirect, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from onboarding.connections import consent, growers, organizations
from onboarding.errors import (
    ApplicationUnknown,
    CodeRefused,
    ConsentElsewhere,
    ConsentExpired,
    TokenUnreadable,
    UpstreamError,
    UpstreamUnavailable,
)
from onboarding.forms import POPUP
from onboarding.links import attempt_cookie, connection_ids, grower_cookie
from onboarding.models import Attempt, Link
from onboarding.redaction import redact
from onboarding.states import Outcome
from onboarding.views.connect import (
    link_of_choice,
    remember_browser,
    remember_choice,
    went_in_popup,
)
from onboarding.views.grower import page_of_link, problem_page
from onboarding.views.limits import CALLBACK_PER_ADDRESS, count_return, limiter
from onboarding.views.parts import installation

DETAIL_MAX = 300

bp = Blueprint("deere", __name__, url_prefix="/deere")


@bp.get("/callback")
@limiter.limit(CALLBACK_PER_ADDRESS)
def callback() -> ResponseReturnValue:
    """Take the code, exchange it in this request, and keep the tokens. Guarded by `state`."""
    try:
        attempt = _find_attempt()
    except ConsentElsewhere as err:
        return _opened_elsewhere(err.attempt_id)
    except ConsentExpired as err:
        return _lost("took_too_long", err.attempt_id)
    count_return(attempt.link_id)
    verifier = _use(attempt)
    if verifier is None:
        return _again(attempt)
    refusal = _refusal(request.args)
    if refusal is None:
        refusal = _exchange(attempt, verifier)
    if refusal is not None:
        _finish(attempt, *refusal)
        return _to_page(attempt)
    return _to_choose(attempt)


@bp.get("/organizations")
@limiter.limit(CALLBACK_PER_ADDRESS)
def returned() -> ResponseReturnValue:
    """The grower is back from choosing organizations. John Deere says nothing, so we look.

    Anybody may open this, any number of times: it only reads again.
    """
    parts = installation()
    own = _connections_of_browser()
    with parts.database.reading() as session:
        link = link_of_choice(session)
        chosen = [growers.connection_of(session, link.grower_id).id] if link else []
        attempt = organizations.returning(session, own + chosen)
        deere = parts.deere_for_reading(session, attempt) if attempt else None
    if attempt is None or deere is None:
        return _lost("returned", None)
    count_return(attempt.link_id)
    organizations.look(
        parts.database,
        parts.vault,
        deere,
        attempt.id,
        reads=organizations.READS_AFTER_RETURN,
        returned=True,
    )
    if link is None or attempt.connection_id not in chosen:
        return _to_page(attempt)
    # Not to the link of the consent: that may have been in another window, or another browser.
    return _to_page_of(link.id, in_popup=went_in_popup())


def _again(attempt: Attempt) -> Response:
    """Reloaded, too old, or back: the page says how far the attempt came."""
    response = _to_page(attempt)
    if attempt.outcome is Outcome.AUTHORIZED:
        # Perhaps the first answer never arrived, and with it the cookie.
        remember_browser(response, attempt.connection_id)
    return response


def _find_attempt() -> Attempt:
    """The attempt of this callback; a wrong issuer (RFC 9207) is none of ours."""
    parts = installation()
    issuer = request.args.get("iss")
    with parts.database.reading() as session:
        attempt = consent.find(
            session,
            state=request.args.get("state"),
            browser_secret=lambda found: request.cookies.get(
                attempt_cookie(found.id, found.created_at)
            ),
        )
        expected = parts.deere_for_reading(session, attempt).settings.deere_issuer
    if issuer is not None and issuer != expected:
        raise ConsentExpired("another issuer")
    return attempt


def _opened_elsewhere(attempt_id: UUID) -> Response:
    with installation().database.transaction() as session:
        consent.note_elsewhere(session.get_one(Attempt, attempt_id))
    return _lost("opened_elsewhere", attempt_id)


def _lost(code: str, attempt_id: UUID | None) -> Response:
    """Whom to ask, and nothing about the grower: this may be somebody else's browser.

    :param attempt_id: the attempt that it is about, if that is known
    """
    own = _connections_of_browser()
    with installation().database.reading() as session:
        attempt = session.get(Attempt, attempt_id) if attempt_id else None
        partner = attempt.connection.grower.partner if attempt else None
        back = _link_held(session, own, attempt)
    return problem_page(code, 400, partner=partner, back=_page_of(back) if back else None)


def _link_held(session: Session, own: list[UUID], attempt: Attempt | None) -> UUID | None:
    """A link whose page this browser may open without our help, of the attempt if there is one.

    :param own: the connections that the browser has a valid cookie for
    """
    newest = attempt or organizations.returning(session, own)
    if newest is not None and newest.connection_id in own:
        return newest.link_id
    link = link_of_choice(session)
    if link is not None and (attempt is None or link.id == attempt.link_id):
        return link.id
    return None


def _use(attempt: Attempt) -> str | None:
    parts = installation()
    with parts.database.transaction() as session:
        return consent.use(session, parts.vault, session.get_one(Attempt, attempt.id))


def _refusal(answer: MultiDict[str, str]) -> tuple[Outcome, str] | None:
    """What John Deere's answer means, if it brings no code.

    `access_denied` is the grower's "no", unless John Deere's own rules for the application said
    it ("Policy evaluation failed").
    """
    error = answer.get("error")
    if error is None:
        if answer.get("code"):
            return None
        return Outcome.APPLICATION_REFUSED, "John Deere sent neither a code nor an error"
    description = answer.get("error_description", "")
    detail = redact(f"{error}: {description}", limit=DETAIL_MAX)
    if error in {"server_error", "temporarily_unavailable"}:
        return Outcome.DEERE_UNAVAILABLE, detail
    if error == "access_denied" and "policy" not in description.lower():
        return Outcome.DENIED, detail
    return Outcome.APPLICATION_REFUSED, detail


def _exchange(attempt: Attempt, verifier: str) -> tuple[Outcome, str] | None:
    """Exchange the code and keep the tokens, or say why there are none."""
    parts = installation()
    try:
        with parts.database.reading() as session:
            deere = parts.deere_of_attempt(session, attempt)
        tokens = deere.exchange(code=request.args["code"], code_verifier=verifier)
    except (ApplicationUnknown, TokenUnreadable) as err:
        return Outcome.APPLICATION_REFUSED, str(err)
    except CodeRefused as err:
        return Outcome.CODE_REFUSED, str(err)
    except UpstreamUnavailable as err:
        return Outcome.DEERE_UNAVAILABLE, str(err)
    except UpstreamError as err:
        return Outcome.APPLICATION_REFUSED, str(err)
    consent.keep(parts.database, parts.vault, parts.queue, deere.settings, attempt.id, tokens)
    return None


def _finish(attempt: Attempt, outcome: Outcome, detail: str) -> None:
    with installation().database.transaction() as session:
        consent.finish(session, session.get_one(Attempt, attempt.id), outcome, detail=detail)


def _to_choose(attempt: Attempt) -> Response:
    """On to John Deere's page for organizations if one has to be chosen, else to our own."""
    parts = installation()
    with parts.database.reading() as session:
        deere = parts.deere_for_reading(session, attempt)
    url = organizations.look(
        parts.database, parts.vault, deere, attempt.id, send=True
    ).page_to_choose
    if url is None:
        response = _to_page(attempt)
    else:
        response = make_response(redirect(url, 303))
        token = parts.links.token(attempt.link_id)
        remember_choice(response, token, in_popup=attempt.in_popup)
    remember_browser(response, attempt.connection_id)
    return response


def _to_page(attempt: Attempt) -> Response:
    return _to_page_of(attempt.link_id, in_popup=attempt.in_popup)


def _to_page_of(link_id: UUID, *, in_popup: bool) -> Response:
    """To our own page, or on to the partner's if there is nothing more to do here."""
    token = installation().links.token(link_id)
    if in_popup:
        return make_response(redirect(url_for("connect.show", token=token, window=POPUP), 303))
    with installation().database.reading() as session:
        page = page_of_link(session, session.get_one(Link, link_id), token)
    if page.is_done and page.way_back:
        return make_response(redirect(url_for("connect.back", token=token), 303))
    return make_response(redirect(_page_of(link_id), 303))


def _page_of(link_id: UUID) -> str:
    return url_for("connect.show", token=installation().links.token(link_id))


def _connections_of_browser() -> list[UUID]:
    links = installation().links
    return [
        connection_id
        for connection_id in connection_ids(request.cookies)
        if links.is_browser_of(connection_id, request.cookies.get(grower_cookie(connection_id)))
    ]
