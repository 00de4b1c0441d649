"""A sandbox in this process on a real port, and the two kinds of visitors it gets."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import requests
from werkzeug.serving import WSGIRequestHandler, make_server

from onboarding import clock as clocks
from onboarding.sandbox import create_app
from tests.support.ports import free_port

PUBLIC_URL = "http://localhost:8000"
CALLBACK = f"{PUBLIC_URL}/deere/callback"
ORGANIZATIONS = f"{PUBLIC_URL}/deere/organizations"
ISSUER_PATH = "/oauth2/aus78tnlaysMraFhC1t7"
CLIENT = ("sandbox-client", "sandbox-secret")
SCOPES = "ag1 ag2 ag3 eq1 org1 files offline_access"
VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123456789"
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
)
AXIOM = "application/vnd.deere.axiom.v3+json"
TIMEOUT_SECONDS = 60


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


@contextmanager
def serving(
    database: Path,
    *,
    port: int | None = None,
    mail_port: int | None = None,
    clock: Path | None = None,
    residents: Path | None = None,
    public_url: str = PUBLIC_URL,
) -> Iterator[str]:
    """The origin of a running sandbox. Use the same database again for a restart.

    :param mail_port: of its mail server; None: without one
    :param clock: the file by which its clock moves, and that of this process; None: it can't
    :param residents: the file of those who live there; None: nobody does
    :param public_url: of the app, to which the sandbox sends browsers back
    """
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    app = create_app(
        {
            "SANDBOX_DATABASE": str(database),
            "SANDBOX_URL": url,
            "PUBLIC_URL": public_url,
            "SANDBOX_MAIL_PORT": str(mail_port or ""),
            "SANDBOX_CLOCK": str(clock or ""),
            "SANDBOX_RESIDENTS": str(residents or ""),
        }
    )
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        app.extensions["sandbox"].close()
        clocks.follow(None)


@dataclass
class Grower:
    """A browser, so far as the sandbox can tell."""

    url: str

    def __post_init__(self) -> None:
        self.browser = requests.Session()

    def authorize_url(self, **changes: str | None) -> str:
        """The authorization request; None leaves a parameter out."""
        query = {
            "response_type": "code",
            "client_id": CLIENT[0],
            "redirect_uri": CALLBACK,
            "scope": SCOPES,
            "state": "state-1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        } | changes
        given = {name: value for name, value in query.items() if value is not None}
        return f"{self.url}{ISSUER_PATH}/v1/authorize?{urlencode(given)}"

    def get(self, url: str) -> requests.Response:
        """One page, redirects not followed."""
        return self.browser.get(url, allow_redirects=False, timeout=TIMEOUT_SECONDS)

    def post(self, url: str, **form: Any) -> requests.Response:
        """One form, redirects not followed."""
        return self.browser.post(url, data=form, allow_redirects=False, timeout=TIMEOUT_SECONDS)

    def sign_in(self, account: str, *, next: str = "/control") -> requests.Response:
        """Choose an account on the sign-in page."""
        return self.post(f"{self.url}/sign-in", account=account, next=next)

    def decide(
        self, account: str, decision: str = "allow", **changes: str | None
    ) -> dict[str, str]:
        """Sign in, answer the consent page; the query that reaches the callback."""
        self.sign_in(account)
        return returned(self.post(self.authorize_url(**changes), decision=decision))

    def exchange(self, code: str, **changes: str | None) -> requests.Response:
        """Redeem a code; None leaves a field out."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
        } | changes
        return self.token({name: value for name, value in form.items() if value is not None})

    def token(
        self, form: dict[str, str], *, auth: tuple[str, str] | None = CLIENT
    ) -> requests.Response:
        """Call the token endpoint."""
        return requests.post(
            f"{self.url}{ISSUER_PATH}/v1/token", data=form, auth=auth, timeout=TIMEOUT_SECONDS
        )

    def tokens(self, account: str, **changes: str | None) -> dict[str, Any]:
        """The whole walk; the token answer."""
        query = self.decide(account, decision="allow", **changes)
        answer = self.exchange(query["code"])
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    def organizations(self, access_token: str, *, path: str = "") -> requests.Response:
        """A page of the organizations."""
        headers = {"Authorization": f"Bearer {access_token}", "Accept": AXIOM}
        url = path or f"{self.url}/platform/organizations"
        return requests.get(url, headers=headers, timeout=TIMEOUT_SECONDS)

    def share(self, uri: str, *ids: str, decision: str = "save") -> requests.Response:
        """Answer the connections page."""
        target = f"{uri}{'&' if '?' in uri else '?'}{urlencode({'redirect_uri': ORGANIZATIONS})}"
        return self.post(target, organization=list(ids), decision=decision)


@dataclass
class Owner:
    """Leaf's API owner."""

    url: str

    def __post_init__(self) -> None:
        self.session = requests.Session()
        answer = self.sign_in()
        self.session.headers["Authorization"] = f"Bearer {answer.json()['id_token']}"

    def sign_in(self, **changes: Any) -> requests.Response:
        """Authenticate."""
        body = {"username": "sandbox@example.com", "password": "sandbox-password"} | changes
        given = {name: value for name, value in body.items() if value is not None}
        return requests.post(f"{self.url}/api/authenticate", json=given, timeout=TIMEOUT_SECONDS)

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """One call below the user management API, or below the origin if the path is whole."""
        base = "" if path.startswith("/services/") else "/services/usermanagement/api"
        options.setdefault("timeout", TIMEOUT_SECONDS)
        return self.session.request(method, f"{self.url}{base}{path}", **options)

    def new_user(self, external_id: str = "grower-1") -> str:
        """The id of a new Leaf user."""
        answer = self.call("POST", "/users", json={"name": "A", "externalId": external_id})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def attach(self, user: str, refresh_token: str, **changes: Any) -> requests.Response:
        """Hand a refresh token over."""
        body = {
            "clientKey": CLIENT[0],
            "clientSecret": CLIENT[1],
            "refreshToken": refresh_token,
            "clientEnvironment": "STAGE",
        } | changes
        given = {name: value for name, value in body.items() if value is not None}
        return self.call("POST", f"/users/{user}/john-deere-credentials", json=given)

    def credential(self, user: str, part: str = "") -> requests.Response:
        """The credential, or its `/status` or `/events`."""
        return self.call("GET", f"/users/{user}/john-deere-credentials{part}")


def returned(response: requests.Response) -> dict[str, str]:
    """The query of a redirect to the callback."""
    assert response.status_code in {302, 303}, response.text
    location = response.headers["Location"]
    assert location.startswith(f"{CALLBACK}?"), location
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


def links(organization: dict[str, Any]) -> dict[str, str]:
    """The links of an organization by rel."""
    return {link["rel"]: link["uri"] for link in organization["links"]}
