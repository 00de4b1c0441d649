"""John Deere's authorization server, made with Authlib's server side.

The only module with Authlib, which has no types: what leaves it is typed.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from typing import Any, cast

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import grants as oauth_grants
from authlib.oauth2.rfc6749.errors import (
    AccessDeniedError,
    InvalidGrantError,
    InvalidRequestError,
    UnsupportedResponseTypeError,
)
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from flask import Flask, Response, current_app, request

from onboarding.sandbox.accounts import Account
from onboarding.sandbox.grants import Code, Issued
from onboarding.sandbox.runtime import as_json, sandbox

SCOPES = {
    "ag1": "View locations: clients, farms, fields and associated data",
    "ag2": "Analyze production data",
    "ag3": "Edit and delete locations, products, and production data",
    "eq1": "View equipment; Remote Display Access; Setup File Creator, products, WDT",
    "eq2": "Edit and manage equipment; detailed machine measurements",
    "org1": "View staff, operators, and partners",
    "org2": "Modify staff, operators, and partners",
    "work1": "View Work and Crop Plans",
    "work2": "Manage Work and Crop Plans",
    "finance1": "View financials",
    "finance2": "Manage financials",
    "files": "Files API access",
    "openid": "Sign you in",
    "profile": "View your name",
    "email": "View your email address",
    "address": "View your address",
    "phone": "View your telephone number",
    "offline_access": "Keep this access until you remove it (request a refresh token)",
}
"""Every scope that the server knows, in the words of the consent page."""

NOT_APPROVED = frozenset({"finance1", "finance2"})
"""Scopes that exist, but that this application has not been approved for."""

POLICY_FAILED = "Policy evaluation failed for this request, please check the policy configurations."
DENIED = "Resource owner denied the request."
PROMPTS = ({"none"}, {"login"}, {"consent"}, {"login", "consent"}, set[str]())
"""What `prompt` may ask for; the last one is no `prompt`."""
STATE_CHARACTERS = re.compile(r"[A-Za-z0-9,._-]+")


class Refused(Exception):
    """An authorization request is wrong.

    :ivar response: the redirect back to the application, or None if that may not happen
    :ivar text: what is wrong
    """

    def __init__(self, response: Response | None, text: str) -> None:
        self.response = response
        self.text = text
        super().__init__(text)


@dataclass(frozen=True)
class _Client:
    """A registered application, under the names that Authlib asks for."""

    client_id: str
    client_secret: str
    redirect_uris: tuple[str, ...]

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        """None: the redirect URI must be sent."""

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        accepted = sandbox().policies["deere_client"] == "accepted"
        return accepted and client_secret == self.client_secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in {"authorization_code", "refresh_token"}


class _S256Only(CodeChallenge):  # type: ignore[misc]  # Authlib has no types
    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        data = grant.request.payload.data
        if data.get("code_challenge") and data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("PKCE code challenge method must be S256.")
        super().validate_code_challenge(grant, redirect_uri)


class _CodeGrant(oauth_grants.AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib has no types
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]

    def save_authorization_code(self, code: str, request: Any) -> None:
        data = request.payload.data
        sandbox().grants.save_code(
            Code(
                code=code,
                account=request.user,
                client_id=request.client.client_id,
                redirect_uri=request.payload.redirect_uri,
                scope=request.scope,
                code_challenge=data.get("code_challenge"),
                code_challenge_method=data.get("code_challenge_method"),
            )
        )

    def query_authorization_code(self, code: str, client: _Client) -> Code | None:
        found = sandbox().grants.code(code)
        return found if found and found.client_id == client.client_id else None

    def authenticate_user(self, authorization_code: Code) -> Account:
        return authorization_code.account

    def generate_token(self, **_: Any) -> dict[str, Any]:
        # The code is used up in the same transaction that makes the tokens: of two requests at
        # once only one gets an answer.
        issued = sandbox().grants.redeem(self.request.authorization_code)
        if issued is None:
            raise InvalidGrantError("The authorization code is invalid or has expired.")
        return issued.answer()

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """Done in `generate_token`."""


class _RefreshGrant(oauth_grants.RefreshTokenGrant):  # type: ignore[misc]  # Authlib has no types
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]

    def authenticate_refresh_token(self, refresh_token: str) -> Any:
        issued = sandbox().grants.refresh(refresh_token, client_id=self.request.client.client_id)
        return None if issued is None else _Refreshed(issued)

    def authenticate_user(self, refresh_token: _Refreshed) -> Account:
        return refresh_token.issued.account

    def issue_token(self, user: Account, refresh_token: _Refreshed) -> dict[str, Any]:
        return refresh_token.issued.answer()

    def revoke_old_credential(self, refresh_token: _Refreshed) -> None:
        """Done where the new one is made."""


@dataclass(frozen=True)
class _Refreshed:
    issued: Issued

    def check_client(self, client: _Client) -> bool:
        return True  # asked for by its own client id already

    def get_scope(self) -> str:
        return self.issued.scope


class _Revocation(RevocationEndpoint):  # type: ignore[misc]  # Authlib has no types
    def query_token(self, token_string: str, token_type_hint: str | None) -> None:
        sandbox().grants.revoke(token_string, client_id=request.authorization.username)  # type: ignore[union-attr, arg-type]

    def revoke_token(self, token: Any, request: Any) -> None:
        """Done in `query_token`: revoking what is not there is not an error."""


def init_app(app: Flask) -> None:
    """Make the server of an app."""
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # config.py lets nothing but loopback through
    logging.getLogger("authlib").setLevel(logging.INFO)  # DEBUG holds whole tokens
    app.config["OAUTH2_SCOPES_SUPPORTED"] = list(SCOPES)
    server = AuthorizationServer(app, _client, _saved)
    server.register_grant(_CodeGrant, [_S256Only(required=True)])
    server.register_grant(_RefreshGrant)
    server.register_endpoint(_Revocation)
    app.extensions["sandbox_oauth"] = server


def check_request() -> Any:
    """Check the authorization request in the current query.

    :return: the grant, to be handed to `answer`
    :raise Refused: if it is wrong
    """
    server = _server()
    try:
        grant = server.get_consent_grant()
        _check_more(grant.redirect_uri)
    except OAuth2Error as error:
        error.state = request.values.get("state")
        text = f"{error.error}: {error.get_error_description()}"
        response = server.handle_error_response(None, error) if error.redirect_uri else None
        raise Refused(response, text) from error
    return grant


def answer(grant: Any, account: Account) -> Response:
    """The redirect back to the application with a code."""
    response = _server().create_authorization_response(grant_user=account, grant=grant)
    return cast(Response, response)


def refuse(grant: Any, text: str) -> Response:
    """The redirect back to the application with `access_denied`."""
    return _redirect_error(AccessDeniedError(description=text), grant)


def refuse_silent(grant: Any, error: str) -> Response:
    """The redirect for `prompt=none`, where a page would be needed."""
    return _redirect_error(
        OAuth2Error(error=error, description="The client specified not to prompt."), grant
    )


def token_answer() -> Response:
    """Answer a request to the token endpoint."""
    if refused := _two_credentials():
        return refused
    return cast(Response, _server().create_token_response())


def revocation_answer() -> Response:
    """Answer a request to the revocation endpoint."""
    if refused := _two_credentials():
        return refused
    return cast(Response, _server().create_endpoint_response("revocation"))


def _server() -> Any:
    return current_app.extensions["sandbox_oauth"]


def _client(client_id: str) -> _Client | None:
    config = sandbox().config
    found = config.registered(client_id)
    if found is None:
        return None
    return _Client(client_id, found.client_secret, config.redirect_uris)


def _saved(token: dict[str, Any], request: Any) -> None:
    """Tokens are stored where they are made."""


def _check_more(redirect_uri: str) -> None:
    """What Okta asks for beyond RFC 6749."""
    state = request.values.get("state", "")
    if not STATE_CHARACTERS.fullmatch(state):
        raise InvalidRequestError(
            "The authentication request has an invalid 'state' parameter.",
            redirect_uri=redirect_uri,
        )
    if set(request.values.get("prompt", "").split()) not in PROMPTS:
        raise InvalidRequestError(
            "The authentication request has an invalid 'prompt' parameter.",
            redirect_uri=redirect_uri,
        )
    if request.values.get("response_mode", "query") != "query":
        raise UnsupportedResponseTypeError(
            "The sandbox knows response_mode query only.", redirect_uri=redirect_uri
        )
    if set(request.values.get("scope", "").split()) & NOT_APPROVED:
        raise AccessDeniedError(description=POLICY_FAILED, redirect_uri=redirect_uri)


def _redirect_error(error: Any, grant: Any) -> Response:
    error.state = request.values.get("state")
    error.redirect_uri = grant.redirect_uri
    return cast(Response, _server().handle_error_response(None, error))


def _two_credentials() -> Response | None:
    """Okta refuses credentials in the header and in the body at once."""
    if "Authorization" in request.headers and "client_secret" in request.form:
        body = {
            "error": "invalid_request",
            "error_description": "Cannot supply multiple client credentials.",
        }
        return as_json(body, 400)
    return None
