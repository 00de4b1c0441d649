"""Leaf on a real socket, for what the sandbox does not do: answers out of nowhere, one by one."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from werkzeug import Request, Response

from onboarding.clock import now
from tests.unit.failures import JSON, Answering, Server

SIGN_IN = "/api/authenticate"
USERS = "/services/usermanagement/api/users"
CREDENTIALS = re.compile(USERS + r"/(?P<user>[^/]+)/john-deere-credentials$")
STATUS = re.compile(USERS + r"/[^/]+/john-deere-credentials/status")
EVENTS = re.compile(USERS + r"/(?P<user>[^/]+)/john-deere-credentials/events")
ORGANIZATIONS = re.compile(USERS + r"/[^/]+/organizations/JohnDeere")
CHOICES = re.compile(USERS + r"/[^/]+/JohnDeere/organizations$")
CHOICE = re.compile(USERS + r"/[^/]+/JohnDeere/organizations/(?P<id>[^/]+)/(?P<choice>[A-Z]+)")
SYNC = re.compile(USERS + r"/[^/]+/JohnDeere/organizations/sync")
RESOURCES = "/services/integrations/api/resources"
CONFIGS = re.compile(r"/services/config/api/configs/[^/]+")
LISTS = {"connectedOrganizations": True, "notConnectedOrganizations": False}
Form = Callable[[dict[str, Any]], dict[str, Any]]


def newer(credential: dict[str, Any]) -> dict[str, Any]:
    """The form of Leaf's current page."""
    return credential | {"tokenMetadata": {"scopes": ["ag1"]}}


def older(credential: dict[str, Any]) -> dict[str, Any]:
    """The form of 2022: neither an id nor a date."""
    shown = {name: value for name, value in credential.items() if name not in {"id", "createdTime"}}
    return shown | {"tokenId": "", "tokenSecretKey": "", "scopes": ["ag1"]}


def hiding(form: Form) -> Form:
    """A form in which Leaf leaves its secrets out."""
    secret = {"clientSecret", "accessToken", "refreshToken"}
    return lambda credential: {
        name: value for name, value in form(credential).items() if name not in secret
    }


def says(status: int, body: Any) -> Answering:
    """An answer in JSON."""
    return lambda _, __: Response(json.dumps(body), status, content_type=JSON)


class LeafDouble:
    """Any number of users, and one credential each.

    :ivar credentials: what is held, by Leaf user
    :ivar asked: `METHOD name` of each request that arrived
    :ivar posts: Leaf user and refresh token of each POST that arrived
    :ivar connected: whether each organization is connected at John Deere, by id
    :ivar choices: what Leaf fetches of each organization, by id
    :ivar summaries: what has come from John Deere
    :ivar answers: by `METHOD name`, e.g. `POST credentials`: what is answered next, instead of
        doing what was asked; None does it
    :ivar form: how credentials are shown
    :ivar events: of each Leaf user's credential, newest first
    :ivar others: of which providers besides John Deere each Leaf user has a credential
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.users = ["leaf-y"]
        self.credentials: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.posts: list[tuple[str, str]] = []
        self.connected: dict[str, bool] = {}
        self.choices: dict[str, str] = {}
        self.summaries: list[dict[str, Any]] = []
        self.answers: dict[str, list[Answering | None]] = {}
        self.form: Form = newer
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.others: dict[str, list[str]] = {}
        self.external_id = ""
        for path, name in (
            (SIGN_IN, "sign-in"),
            (USERS, "users"),
            (CREDENTIALS, "credentials"),
            (STATUS, "status"),
            (EVENTS, "events"),
            (ORGANIZATIONS, "organizations"),
            (CHOICES, "choices"),
            (CHOICE, "choice"),
            (SYNC, "sync"),
            (CONFIGS, "configs"),
            (RESOURCES, "resources"),
        ):
            server.http.expect_request(path).respond_with_handler(partial(self._answer, name))

    def hold(
        self,
        user: str,
        token: str,
        *,
        number: int = 1,
        created: datetime | None = None,
        client_key: str = "client-key",
    ) -> None:
        """Let a Leaf user have a credential."""
        self.credentials[user] = {
            "id": f"credential-{number}",
            "status": "OK",
            "createdTime": (created or now()).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "clientKey": client_key,
            "clientSecret": "client-secret",
            "accessToken": "access",
            "refreshToken": token,
            "clientEnvironment": "STAGE",
        }

    def tokens(self) -> dict[str, str]:
        """The refresh token that each Leaf user's credential holds."""
        return {user: held["refreshToken"] for user, held in self.credentials.items()}

    def _answer(self, name: str, request: Request) -> Response:
        what = f"{request.method} {name}"
        self.asked.append(what)
        if what == "POST credentials":
            self.posts.append((_user(request), request.get_json()["refreshToken"]))
        planned = self.answers.get(what)
        answering = planned.pop(0) if planned else None
        if answering is not None:
            return answering(request, self.server.released)
        return self._do(what, request)

    def _do(self, what: str, request: Request) -> Response:
        if what == "POST sign-in":
            return _json({"id_token": "token-1"})
        if what == "GET users":
            external_id = request.args["externalId"]
            return _json([self._user(user, external_id) for user in self.users])
        if what == "POST users":
            self.users.append("leaf-made")
            return _json({"id": "leaf-made", **request.get_json()}, 201)
        if what == "GET organizations":
            return _json(self._lists())
        if what == "POST sync":
            self._sync()
            return Response(status=200)
        if what == "GET choices":
            return _json([_choice(id, choice) for id, choice in self.choices.items()])
        if what == "PATCH choice":
            return self._choose(request)
        if what == "GET resources":
            return _json({"message": "SUCCESS", "summaries": self.summaries})
        if what == "POST configs":
            return _json({})
        if what == "GET events":
            return self._events(request)
        if what.endswith("credentials"):
            return self._do_with_credential(request)
        return _json({}, 404)

    def _user(self, user: str, external_id: str) -> dict[str, Any]:
        """As Leaf lists it, with what it holds."""
        held = {
            "johnDeereCredentials": self.credentials.get(user, {}),
            **{f"{one}Credentials": {"id": "1"} for one in self.others.get(user, ())},
        }
        return {"id": user, "externalId": external_id, "trimbleCredentials": {}, **held}

    def _lists(self) -> dict[str, Any]:
        return {
            name: [
                {"id": id, "name": f"Farm {id}"}
                for id, is_so in self.connected.items()
                if is_so is connected
            ]
            for name, connected in LISTS.items()
        }

    def _sync(self) -> None:
        """As Leaf's page says: what was blocked and is connected now becomes PREVIEW."""
        for id, connected in self.connected.items():
            before = self.choices.get(id, "BLOCKED")
            fresh = "PREVIEW" if before == "BLOCKED" else before
            self.choices[id] = fresh if connected else "BLOCKED"

    def _choose(self, request: Request) -> Response:
        match = CHOICE.fullmatch(request.path)
        assert match is not None
        if self.choices.get(match["id"], "BLOCKED") == "BLOCKED":
            return _json({"title": "Bad Request"}, 400)
        self.choices[match["id"]] = match["choice"]
        return _json(_choice(match["id"], match["choice"]))

    def _events(self, request: Request) -> Response:
        match = EVENTS.fullmatch(request.path)
        assert match is not None
        if match["user"] not in self.events:
            return _json({}, 404)
        page, size = int(request.args["page"]), int(request.args["size"])
        return _json(self.events[match["user"]][page * size : (page + 1) * size])

    def _do_with_credential(self, request: Request) -> Response:
        user = _user(request)
        if request.method == "POST":
            self.hold(user, request.get_json()["refreshToken"], number=len(self.posts))
            return _json(self.form(self.credentials[user]), 201)
        if user not in self.credentials:
            return _json({}, 404)
        if request.method == "DELETE":
            del self.credentials[user]
            return Response(status=204)
        return _json(self.form(self.credentials[user]))


def done_but(leaf: LeafDouble, answering: Answering) -> Answering:
    """Do what was asked, and answer something else."""

    def answer(request: Request, released: threading.Event) -> Response:
        what = "users" if request.path == USERS else "credentials"
        leaf._do(f"{request.method} {what}", request)
        return answering(request, released)

    return answer


def meanwhile(act: Callable[[], object], answering: Answering) -> Answering:
    """Let something happen between question and answer."""

    def answer(request: Request, released: threading.Event) -> Response:
        act()
        return answering(request, released)

    return answer


def _choice(id: str, choice: str) -> dict[str, str]:
    return {"providerOrgId": id, "providerOrgName": f"Farm {id}", "status": choice}


def _user(request: Request) -> str:
    match = CREDENTIALS.fullmatch(request.path)
    assert match is not None
    return match["user"]


def _json(body: Any, status: int = 200) -> Response:
    return Response(json.dumps(body), status, content_type=JSON)
