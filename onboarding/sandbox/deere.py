"""John Deere's API: server metadata, token, revoke, organizations."""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, Response, request

from onboarding.sandbox import connections, oauth
from onboarding.sandbox.accounts import Account, Listing
from onboarding.sandbox.config import AUTHORIZATION_SERVER
from onboarding.sandbox.connections import Seen
from onboarding.sandbox.runtime import as_json, at, sandbox

bp = Blueprint("deere", __name__)

AXIOM = "application/vnd.deere.axiom.v3+json"
PAGE_SIZE = 10
MAX_PAGE_SIZE = 100
METADATA_SECONDS = 86400
_PAGE = re.compile(r"start=(?P<start>\d+);count=(?P<count>\d+)")


@bp.get(f"{AUTHORIZATION_SERVER}/.well-known/oauth-authorization-server")
@at("deere.metadata")
def metadata() -> Response:
    """Server metadata (RFC 8414) in the shape recorded from John Deere in March 2021.

    Unlike the real server, it takes `client_secret_basic` only, and says so.
    """
    response = as_json(_metadata(sandbox().config.issuer))
    response.headers["Cache-Control"] = f"max-age={METADATA_SECONDS}, must-revalidate"
    return response


@bp.post(f"{AUTHORIZATION_SERVER}/v1/token")
@at("deere.token")
def token() -> Response:
    """Exchange a code, or refresh."""
    response = oauth.token_answer()
    response.headers["X-Rate-Limit-Limit"] = "2000"
    return response


@bp.post(f"{AUTHORIZATION_SERVER}/v1/revoke")
@at("deere.revoke")
def revoke() -> Response:
    """Revoke a token (RFC 7009); 200 also for one that is dead already."""
    return oauth.revocation_answer()


@bp.get("/platform/organizations", defaults={"page": ""})
@bp.get("/platform/organizations;<page>")
@at("deere.organizations")
def organizations(page: str) -> Response:
    """A page of the account's organizations."""
    account = _bearer()
    if account is None:
        return _error(401, "Server Authorization Failed")
    if AXIOM not in request.headers.get("Accept", ""):
        return _error(406, "Not Acceptable")
    if refused := _refused(account):
        return refused
    if account.listing is Listing.WITHOUT_VALUES:
        return as_json({"links": []}, content_type=f"{AXIOM};charset=UTF-8")
    window = _window(page)
    if window is None:
        return _error(400, "Bad Request")
    return as_json(_listed(account, *window), content_type=f"{AXIOM};charset=UTF-8")


def _bearer() -> Account | None:
    given = request.authorization
    if given is None or given.type != "bearer" or given.token is None:
        return None
    return sandbox().grants.owner(given.token)


def _refused(account: Account) -> Response | None:
    if account.listing is Listing.FORBIDDEN:
        return _error(403, "Access Denied")
    if account.terms_url is None or connections.terms_accepted(account):
        return None
    response = _error(403, "Requested Org is in a restricted state.")
    response.headers["X-Deere-Warning"] = "Required Customer Action"
    response.headers["X-Deere-Terms-Location"] = account.terms_url
    return response


def _window(page: str) -> tuple[int, int] | None:
    if not page:
        return 0, PAGE_SIZE
    match = _PAGE.fullmatch(page)
    if match is None or not 1 <= int(match["count"]) <= MAX_PAGE_SIZE:
        return None
    return int(match["start"]), int(match["count"])


def _listed(account: Account, start: int, count: int) -> dict[str, Any]:
    listed = connections.seen(account)
    if start == 0:
        connections.count_read(account)
    base = f"{sandbox().config.url}/platform/organizations"
    links = [_link("self", f"{base};start={start};count={count}" if start else base)]
    if start + count < len(listed):
        links.append(_link("nextPage", f"{base};start={start + count};count={count}"))
    if start:
        links.append(_link("previousPage", f"{base};start={max(0, start - count)};count={count}"))
    return {
        "links": links,
        "total": len(listed),
        "values": [_organization(one) for one in listed[start : start + count]],
    }


def _organization(one: Seen) -> dict[str, Any]:
    rel = "manage_connections" if one.connected else "connections"
    own = f"{sandbox().config.url}/platform/organizations/{one.farm.id}"
    return {
        "@type": "Organization",
        "id": one.farm.id,
        "name": one.farm.name,
        "type": "customer",
        "member": one.farm.member,
        "internal": False,
        "links": [_link("self", own), _link(rel, one.uri)],
    }


def _link(rel: str, uri: str) -> dict[str, str]:
    return {"@type": "Link", "rel": rel, "uri": uri}


def _error(status: int, message: str) -> Response:
    body = {"@type": "Errors", "errors": [{"@type": "Error", "message": message}]}
    return as_json(body, status, content_type=f"{AXIOM};charset=UTF-8")


def _metadata(issuer: str) -> dict[str, Any]:
    methods = ["client_secret_basic"]
    origin = issuer.removesuffix(AUTHORIZATION_SERVER)
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/v1/authorize",
        "token_endpoint": f"{issuer}/v1/token",
        "registration_endpoint": f"{origin}/oauth2/v1/clients",
        "jwks_uri": f"{issuer}/v1/keys",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["public"],
        "scopes_supported": list(oauth.SCOPES),
        "token_endpoint_auth_methods_supported": methods,
        "claims_supported": ["ver", "jti", "iss", "aud", "iat", "exp", "cid", "uid", "scp", "sub"],
        "code_challenge_methods_supported": ["S256"],
        "introspection_endpoint": f"{issuer}/v1/introspect",
        "introspection_endpoint_auth_methods_supported": methods,
        "revocation_endpoint": f"{issuer}/v1/revoke",
        "revocation_endpoint_auth_methods_supported": methods,
        "end_session_endpoint": f"{issuer}/v1/logout",
        "request_parameter_supported": True,
    }
