"""Signing in, and proving it again, by an account at the company's identity provider."""

from __future__ import annotations

import base64
import json
import logging
import re
from dataclasses import asdict, dataclass
from datetime import timedelta
from uuid import UUID

from flask import abort, flash, g, make_response, redirect, request, url_for
from flask.typing import ResponseReturnValue

from onboarding.clock import Span, seconds
from onboarding.errors import (
    IdentityUnproved,
    NotLetIn,
    TokenUnreadable,
    UpstreamError,
    UpstreamUnavailable,
)
from onboarding.i18n import gettext as _
from onboarding.identity.provider import Identity, Pending, Provider
from onboarding.links import digest, matches, new_secret
from onboarding.staff import audit, company, sessions
from onboarding.states import Role
from onboarding.views.limits import SIGN_IN_PER_ADDRESS, limiter
from onboarding.views.parts import installation
from onboarding.views.staff.parts import bp, current_session, member, public, staff_only
from onboarding.views.staff.sign_in import begin, let_in, wanted

RETURN_COOKIE = "__Host-staff-return"
PLACE = "cookie staff-return"
PENDING_FOR = timedelta(minutes=10).total_seconds()
"""Seconds within which a person has to be back; a forgotten password takes a while."""
ERROR = re.compile(r"[a-z_]{1,40}")
"""What `error` of a callback may be to be shown (RFC 6749 section 4.1.2.1)."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Journey:
    """A browser's way to the provider and back, kept in a cookie that only we can read."""

    pending: Pending
    target: str
    session_id: str
    """Of the session that is to be confirmed; empty: it is a sign-in."""

    def sealed(self) -> str:
        """As the cookie holds it."""
        text = json.dumps(asdict(self))
        return base64.urlsafe_b64encode(installation().vault.encrypt(text, place=PLACE)).decode()

    @classmethod
    def opened(cls, text: str) -> Journey | None:
        """What `sealed` gave, if it is not too old; None for anything else."""
        try:
            stored = base64.urlsafe_b64decode(text)
            found = json.loads(installation().vault.decrypt(stored, place=PLACE))
        except (ValueError, TokenUnreadable):
            return None
        pending = Pending(**found.pop("pending"))
        is_young = Span(pending.begun, pending.begun + PENDING_FOR).holds(seconds())
        return cls(pending=pending, **found) if is_young else None


@bp.get("/sign-in/company")
@public
@limiter.limit(SIGN_IN_PER_ADDRESS)
def sign_in_by_company() -> ResponseReturnValue:
    """Go to the provider."""
    if g.staff_member is not None:
        return redirect(wanted(), 303)
    return _go()


@bp.get("/confirm/company")
@staff_only(Role.VIEWER)
@limiter.limit(SIGN_IN_PER_ADDRESS)
def confirm_by_company() -> ResponseReturnValue:
    """Go there to sign in anew, also if the provider still knows who it is."""
    return _go(str(current_session().id))


@bp.get("/sign-in/company/callback")
@public
@limiter.limit(SIGN_IN_PER_ADDRESS)
def company_callback() -> ResponseReturnValue:
    """Back from there. Whatever has happened, no address with a code in it stays."""
    journey = Journey.opened(request.cookies.get(RETURN_COOKIE, ""))
    if journey is None or not matches(request.args.get("state", ""), digest(journey.pending.state)):
        flash(_("This sign-in was not begun here, or too long ago. Begin it again."), "error")
        answer = make_response(redirect(url_for("staff.sign_in"), 303))
    else:
        answer = make_response(_arrive(_provider(), journey))
    answer.delete_cookie(RETURN_COOKIE, path="/", secure=True, httponly=True, samesite="Lax")
    return answer


def _go(session_id: str = "") -> ResponseReturnValue:
    pending = Pending(
        state=new_secret(),
        nonce=new_secret(),
        code_verifier=new_secret(),
        begun=seconds(),
        again=bool(session_id),
    )
    journey = Journey(pending, wanted(), session_id)
    try:
        url = _provider().sign_in_url(pending)
    except UpstreamError as err:
        return _back(journey, _trouble(err))
    answer = make_response(redirect(url, 303))
    answer.set_cookie(
        RETURN_COOKIE,
        journey.sealed(),
        max_age=int(PENDING_FOR),
        secure=True,
        httponly=True,
        samesite="Lax",
        path="/",
    )
    return answer


def _arrive(provider: Provider, journey: Journey) -> ResponseReturnValue:
    code = request.args.get("code")
    if not code:
        return _back(journey, _refused(request.args.get("error", "")))
    try:
        identity = provider.identify(journey.pending, code=code, issuer=request.args.get("iss"))
    except UpstreamError as err:
        return _back(journey, _trouble(err))
    except IdentityUnproved as err:
        log.warning("A sign-in by the company's account proved nobody: %s", err)
        return _back(
            journey,
            _(
                "Your company’s sign-in gave an answer that does not prove who you are. Begin "
                "again; if that does not help, an administrator finds the reason in the log."
            ),
        )
    try:
        return _confirm(identity, journey) if journey.session_id else _sign_in(identity, journey)
    except NotLetIn as err:
        with installation().database.transaction() as session:
            audit.record(
                session, None, "staff.sign_in_failed", who=audit.NOBODY, email=identity.email
            )
        return _back(journey, str(err))


def _sign_in(identity: Identity, journey: Journey) -> ResponseReturnValue:
    with installation().database.transaction() as session:
        staff_id = company.admit(session, _provider().company, identity)
        secret = begin(session, staff_id, by_provider=True)
    return let_in(secret, journey.target)


def _confirm(identity: Identity, journey: Journey) -> ResponseReturnValue:
    """It has to be the same person, in the same session."""
    if g.staff_member is None or str(current_session().id) != journey.session_id:
        raise NotLetIn(_("You were signed out meanwhile. Sign in again."))
    with installation().database.transaction() as session:
        if company.admit(session, _provider().company, identity) != member().id:
            raise NotLetIn(
                _("That was the company account of somebody else than %(email)s.")
                % {"email": member().email}
            )
        secret = sessions.confirm(session, UUID(journey.session_id))
        audit.record(session, member(), "staff.confirm")
    return let_in(secret, journey.target)


def _back(journey: Journey, told: str) -> ResponseReturnValue:
    """To the page where it began, which says why it did not come to an end."""
    flash(told, "error")
    is_confirming = journey.session_id and g.staff_member is not None
    page = "staff.confirm" if is_confirming else "staff.sign_in"
    return redirect(url_for(page, next=journey.target), 303)


def _trouble(err: UpstreamError) -> str:
    log.warning("%s", err)
    if isinstance(err, UpstreamUnavailable):
        return _(
            "Your company’s sign-in does not answer. Try again in a minute, or sign in with a "
            "password if you have one."
        )
    return _(
        "Your company’s sign-in does not work with this app as it is set up. An administrator "
        "finds the reason in the log; until then a password helps, if you have one."
    )


def _refused(error: str) -> str:
    if not ERROR.fullmatch(error):
        return _("Your company’s sign-in did not let you in, and did not say why.")
    if error == "access_denied":
        return _("You were not let in at your company’s sign-in, or turned back there.")
    return _("Your company’s sign-in did not let you in: %(error)s.") % {"error": error}


def _provider() -> Provider:
    found = installation().company
    if found is None:
        abort(404)
    return found
