"""A company's identity provider, by which its staff sign in: OpenID Connect, made with Authlib.

It asks who you are each time, and believes it. What is wrong with its answers a policy says.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import grants as oauth_grants
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core.grants import OpenIDCode
from flask import Blueprint, Flask, Response, current_app, make_response, render_template, request
from joserfc import jwt
from joserfc.jwk import RSAKey

from onboarding import clock
from onboarding.sandbox.runtime import as_json, at, sandbox

bp = Blueprint("company", __name__, url_prefix="/company")

PATH = "/company"
CLIENT_ID, CLIENT_SECRET = "sandbox-company", "sandbox-company-secret"
CALLBACK = "/staff/sign-in/company/callback"
ALGORITHM = "RS256"
TOKEN_SECONDS = 300
CODE_SECONDS = 60
LONG_AGO_SECONDS = 3600


@dataclass(frozen=True)
class Person:
    """Somebody who works at the company."""

    name: str
    email: str
    does: str
    groups: tuple[str, ...] = ()
    is_verified: bool = True
    told_in_token: bool = True
    """Else address and groups are in the user information alone."""

    @property
    def subject(self) -> str:
        """What stays the same, whatever the address."""
        return f"person-{self.name.split()[0].lower()}"


PEOPLE = (
    Person("Ada Linden", "ada@company.example", "is an administrator", ("administrator",)),
    Person("Omar Feld", "omar@company.example", "is an operator", ("staff", "operator")),
    Person("Vera Acker", "vera@company.example", "is a viewer", ("viewer",)),
    Person("Una Rain", "una@company.example", "has no role here", ("kitchen",)),
    Person(
        *("Ivo Moor", "ivo@company.example", "has an address that nobody has verified"),
        *(("viewer",), False),
    ),
    Person(
        *("Thea Quell", "thea@company.example", "is told of in the user information alone"),
        *(("operator",), True, False),
    ),
)


@dataclass(frozen=True)
class _Code:
    """An authorization code, under the names that Authlib asks for."""

    code: str
    person: Person
    redirect_uri: str
    scope: str
    nonce: str
    code_challenge: str | None
    code_challenge_method: str | None
    made: float

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


class Desk:
    """What the provider remembers, as long as its process lives."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._codes: dict[str, _Code] = {}
        self._people: dict[str, Person] = {}
        self._keys: dict[int, RSAKey] = {}

    def keep(self, code: _Code) -> None:
        """Until it is redeemed."""
        with self._lock:
            self._codes[code.code] = code

    def redeem(self, code: str) -> _Code | None:
        """Once, and not too late."""
        with self._lock:
            found = self._codes.pop(code, None)
        return found if found and clock.seconds() - found.made < CODE_SECONDS else None

    def let_in(self, person: Person) -> str:
        """An access token for the user information."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._people[token] = person
        return token

    def owner(self, token: str) -> Person | None:
        """Whose access token it is."""
        with self._lock:
            return self._people.get(token)

    def key(self, number: int) -> RSAKey:
        """The key of a number; its name follows from it, so that another one has another name."""
        with self._lock:
            if number not in self._keys:
                made = RSAKey.generate_key(2048)
                self._keys[number] = RSAKey.import_key(
                    {**made.as_dict(private=True), "kid": made.thumbprint()}
                )
            return self._keys[number]


def init_app(app: Flask) -> None:
    """Make the provider of an app."""
    server = AuthorizationServer(app, _client, _saved)
    server.register_grant(_CodeGrant, [CodeChallenge(required=True), _IdToken(require_nonce=True)])
    app.extensions["sandbox_company"] = server
    app.extensions["sandbox_company_desk"] = Desk()


@bp.get("/.well-known/openid-configuration")
@at("company.metadata")
def metadata() -> Response:
    """OpenID Connect Discovery 1.0 section 3."""
    issuer = _issuer()
    return as_json(
        {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "userinfo_endpoint": f"{issuer}/userinfo",
            "jwks_uri": f"{issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }
    )


@bp.route("/authorize", methods=["GET", "POST"])
@at("company.authorize")
def authorize() -> Response:
    """Ask who it is."""
    try:
        grant = _server().get_consent_grant()
    except OAuth2Error as error:
        text = f"{error.error}: {error.get_error_description()}"
        return make_response(render_template("sandbox/refused.html", account=None, text=text), 400)
    name = request.form.get("person", "")
    person = next((one for one in PEOPLE if one.name == name), None)
    if request.method == "GET" or not (person or name == "nobody"):
        return make_response(render_template("sandbox/company.html", account=None, people=PEOPLE))
    answer = _server().create_authorization_response(grant_user=person, grant=grant)
    answer.headers["Location"] += f"&iss={_named_issuer()}"
    return cast(Response, answer)


@bp.post("/token")
@at("company.token")
def token() -> Response:
    """Exchange a code."""
    return cast(Response, _server().create_token_response())


@bp.get("/keys")
@at("company.keys")
def keys() -> Response:
    """The keys that are in use, and one of a kind that signs nothing."""
    shown = _signing_key().as_dict(private=False)
    other = {"kty": "oct", "kid": "of-another-kind", "k": "AAAA", "use": "enc"}
    return as_json({"keys": [other, {**shown, "use": "sig"}]})


@bp.get("/userinfo")
@at("company.userinfo")
def userinfo() -> Response:
    """OpenID Connect Core 1.0 section 5.3."""
    given = request.authorization
    person = _desk().owner(given.token or "") if given and given.type == "bearer" else None
    if person is None:
        return as_json({"error": "invalid_token"}, 401)
    subject = "person-else" if _policy() == "other_person" else person.subject
    return as_json({"sub": subject, **_profile(person)})


class _Client:
    """The one application that is registered, under the names that Authlib asks for."""

    client_id = CLIENT_ID

    def get_client_id(self) -> str:
        return CLIENT_ID

    def get_default_redirect_uri(self) -> None:
        """None: the redirect URI must be sent."""

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == sandbox().config.public_url + CALLBACK

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == CLIENT_SECRET and _policy() != "client_refused"

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


class _CodeGrant(oauth_grants.AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib has no types
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]

    def save_authorization_code(self, code: str, request: Any) -> None:
        data = request.payload.data
        _desk().keep(
            _Code(
                code=code,
                person=request.user,
                redirect_uri=request.payload.redirect_uri,
                scope=request.scope,
                nonce=data["nonce"],
                code_challenge=data.get("code_challenge"),
                code_challenge_method=data.get("code_challenge_method"),
                made=clock.seconds(),
            )
        )

    def query_authorization_code(self, code: str, client: _Client) -> _Code | None:
        return _desk().redeem(code)

    def authenticate_user(self, authorization_code: _Code) -> Person:
        return authorization_code.person

    def generate_token(self, **_: Any) -> dict[str, Any]:
        code = self.request.authorization_code
        return {
            "token_type": "Bearer",
            "expires_in": TOKEN_SECONDS,
            "access_token": _desk().let_in(code.person),
            "scope": code.scope,
        }

    def delete_authorization_code(self, authorization_code: _Code) -> None:
        """Done where it is redeemed."""


class _IdToken(OpenIDCode):  # type: ignore[misc]  # Authlib has no types
    def exists_nonce(self, nonce: str, request: Any) -> bool:
        return False

    def encode_id_token(self, token: dict[str, Any], request: Any) -> str:
        code = request.authorization_code
        claims = _claims(code.person, code.nonce)
        key = _signing_key()
        header = {"alg": ALGORITHM, "kid": key.kid}
        if _policy() == "other_key":
            key = RSAKey.generate_key(2048)
        if _policy() == "unsigned":
            head, body, _ = jwt.encode(header, claims, key).split(".")
            return f"{head}.{body}."
        return jwt.encode(header, claims, key)


def _claims(person: Person, nonce: str) -> dict[str, Any]:
    """What an ID token says (OpenID Connect Core 1.0 section 2)."""
    moment = int(clock.seconds())
    claims: dict[str, Any] = {
        "iss": _issuer(),
        "aud": CLIENT_ID,
        "sub": person.subject,
        "iat": moment,
        "exp": moment + TOKEN_SECONDS,
        "auth_time": moment,
        "nonce": nonce,
        **(_profile(person) if person.told_in_token else {}),
    }
    return claims | _FAULTS.get(_policy(), dict)()


_FAULTS: dict[str, Callable[[], dict[str, Any]]] = {
    "other_issuer": lambda: {"iss": "https://elsewhere.example"},
    "other_audience": lambda: {"aud": "another-application"},
    "other_nonce": lambda: {"nonce": "of-another-sign-in"},
    "expired": lambda: {"exp": int(clock.seconds()) - LONG_AGO_SECONDS},
    "old_sign_in": lambda: {"auth_time": int(clock.seconds()) - LONG_AGO_SECONDS},
}
"""What a policy changes in the claims."""


def _profile(person: Person) -> dict[str, Any]:
    return {
        "name": person.name,
        "email": person.email,
        "email_verified": person.is_verified,
        "groups": list(person.groups),
    }


def _policy() -> str:
    return str(sandbox().policies["company_answers"])


def _issuer() -> str:
    return sandbox().config.url + PATH


def _named_issuer() -> str:
    return "https://elsewhere.example" if _policy() == "mixed_up" else _issuer()


def _signing_key() -> RSAKey:
    return _desk().key(int(sandbox().policies["company_key"]))


def _server() -> Any:
    return current_app.extensions["sandbox_company"]


def _desk() -> Desk:
    return cast(Desk, current_app.extensions["sandbox_company_desk"])


def _client(client_id: str) -> _Client | None:
    return _Client() if client_id == CLIENT_ID else None


def _saved(token: dict[str, Any], request: Any) -> None:
    """Tokens are stored where they are made."""
