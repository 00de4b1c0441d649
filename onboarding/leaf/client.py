"""Leaf's API: users, John Deere credentials, organizations, configuration.

Pages: docs.withleaf.io, api-reference/{users,providers,organizations,configurations} and
providers/john-deere.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from datetime import timedelta
from typing import Any, Literal, Self
from urllib.parse import quote

import requests

from onboarding import http
from onboarding.clock import Span, seconds
from onboarding.errors import (
    EnvironmentMismatch,
    InputInvalid,
    SignInRefused,
    UpstreamRejected,
    UpstreamUnavailable,
)
from onboarding.http import Answer, Timeout
from onboarding.leaf import shapes
from onboarding.leaf.api import SERVICE, Api
from onboarding.leaf.shapes import (
    Credential,
    CredentialEvent,
    LeafOrganizations,
    LeafUser,
    OrganizationChoice,
    Report,
    Summary,
)
from onboarding.leaf.turn import AtOnce, Turn
from onboarding.leaf.webhooks import Webhooks
from onboarding.states import Environment, SyncChoice

USERS = "/services/usermanagement/api/users"
CONFIGS = "/services/config/api/configs"
RESOURCES = "/services/integrations/api/resources"
TIMEOUT = Timeout(connect=5, read=30, total=35)
STATUS_GONE_LASTS = timedelta(days=1).total_seconds()
"""Seconds for which `/status`, once found gone, is not asked again."""
GONE = frozenset({403, 404, 405, 410, 501})
"""What an endpoint that was withdrawn may answer; many a gateway refuses whatever it does not know.
If it is about the credential after all, the credential's own answer says so."""
NOBODY = "onboarding-looks-whether-leaf-answers"
MISMATCH_WORDS = ("environment", "stage", "production", "client", "application")
PLAIN_REFUSALS = frozenset({401, 404, 409})
"""Refusals that are about our token, the Leaf user, or a credential that is there already."""


class Leaf:
    """One API owner's access to Leaf. Any number of threads may share it.

    Every method raises `UpstreamUnavailable` if Leaf can't do it now, `SignInRefused` if Leaf does
    not accept our username and password, and `UpstreamRejected` if it refuses.

    :ivar webhooks: where Leaf sends its alerts
    """

    def __init__(
        self,
        api_url: str,
        username: str,
        password: str,
        *,
        session: requests.Session | None = None,
        clock: Callable[[], float] = seconds,
        timeout: Timeout = TIMEOUT,
        turn: Turn | None = None,
    ) -> None:
        """Nothing is sent yet.

        :param api_url: Leaf's origin, without a trailing slash
        :param session: default: a new one with connections for 64 threads
        :param clock: seconds since 1970
        :param turn: what each request waits for; default: nothing
        """
        self._clock = clock
        self._api = Api(
            api_url,
            username,
            password,
            session=session or http.new_session(),
            timeout=timeout,
            clock=clock,
            turn=turn or AtOnce(),
        )
        self.webhooks = Webhooks(self._api)
        self._lock = threading.Lock()
        self._status_gone = Span()

    def with_turn(self, turn: Turn) -> Self:
        """The same client, whose requests wait for other turns."""
        other = copy(self)
        other._api = self._api.with_turn(turn)
        return other

    def sign_in(self) -> None:
        """Sign in now, whether or not there is a token; for checks."""
        self._api.sign_in()

    def look(self) -> None:
        """Ask for as little as possible, to see whether Leaf answers: a user that is not there."""
        self._api.call(
            "GET",
            USERS,
            action="look whether it answers",
            params={"externalId": NOBODY, "size": 1},
        )

    def users(self, *, external_id: str) -> Iterator[LeafUser]:
        """The users with exactly this external id, in Leaf's order, fetched while iterating.

        `GET /users?externalId=`: whether Leaf matches exactly or in part, and whether it allows
        two users with one external id, is not documented.

        :raise UpstreamUnavailable: also, at the end, if one of them has no id that we can use: who
            takes it for none would create one more each time
        """
        action = "find the Leaf user"
        unusable = False
        for item in self._api.pages(USERS, action=action, params={"externalId": external_id}):
            if shapes.read_external_id(item) != external_id:
                continue
            if user := shapes.read_user(item):
                yield user
            else:
                unusable = True
        if unusable:
            raise UpstreamUnavailable(SERVICE, action, reason="a user has no usable id")

    def create_user(
        self, *, name: str, external_id: str, email: str | None = None, phone: str | None = None
    ) -> LeafUser:
        """`POST /users`. Leaf does not promise to refuse a second user of the same external id."""
        action = "create the Leaf user"
        body = {"name": name, "externalId": external_id, "email": email, "phone": phone}
        known = {key: value for key, value in body.items() if value}
        return _user_in(self._api.call("POST", USERS, action=action, json=known), action)

    def credential(
        self, leaf_user_id: str, *, refresh_token: str | None = None
    ) -> Credential | None:
        """`GET …/john-deere-credentials`; None if Leaf has none (or no such user).

        :param refresh_token: to learn whether it is this one that Leaf holds
        """
        action = "read the credential"
        answer = self._api.call("GET", _credentials(leaf_user_id), action=action, accept=(404,))
        if answer.status == 404:
            return None
        return shapes.read_credential(_object(answer, action), refresh_token=refresh_token)

    def attach(
        self,
        leaf_user_id: str,
        *,
        client_key: str,
        client_secret: str,
        refresh_token: str,
        environment: Environment,
    ) -> Credential:
        """`POST …/john-deere-credentials`: from here on the refresh token is Leaf's.

        Leaf may check the token now or later, so the health of what comes back is only a first
        word.

        :raise UpstreamRejected: with 404, whatever Leaf answers itself, if there is no such user
        :raise EnvironmentMismatch: the refusal speaks of the application or its environment
        """
        action = "create the credential"
        body = {
            "clientKey": client_key,
            "clientSecret": client_secret,
            "refreshToken": refresh_token,
            "clientEnvironment": environment.value,
        }
        try:
            answer = self._api.call(
                "POST",
                _credentials(leaf_user_id),
                action=action,
                json=body,
                secrets=(client_secret, refresh_token),
            )
        except SignInRefused:
            raise
        except UpstreamRejected as err:
            self._refuse_unknown_user(leaf_user_id, err)
            if not _smells_of_mismatch(err):
                raise
            raise EnvironmentMismatch(
                err.service, err.action, status=err.status, reason=err.reason
            ) from err
        return shapes.read_credential(_object(answer, action), refresh_token=refresh_token)

    def detach(self, leaf_user_id: str) -> bool:
        """`DELETE …/john-deere-credentials`; False if there was none. Its events go with it."""
        answer = self._api.call(
            "DELETE", _credentials(leaf_user_id), action="delete the credential", accept=(404,)
        )
        return answer.status != 404

    def health(self, leaf_user_id: str) -> Report | None:
        """Leaf's word on the credential; None if Leaf has none.

        `GET …/john-deere-credentials/status` is in the older documentation only. Where it is gone
        and yet there is a credential, the credential's own status counts, for a day.
        """
        if not self._status_gone.holds(self._clock()):
            answer = self._api.call(
                "GET",
                _credentials(leaf_user_id) + "/status",
                action="read the credential's status",
                accept=GONE,
            )
            if answer.status not in GONE:
                return shapes.read_status_answer(answer.body)
        credential = self.credential(leaf_user_id)
        if credential is None or credential.is_none:
            return None
        self._remember_status_gone()
        return Report(
            credential.health,
            credential.raw_status,
            credential_id=credential.id,
            created=credential.created,
            client_key=credential.client_key,
        )

    def events(self, leaf_user_id: str) -> Iterator[CredentialEvent]:
        """`GET …/john-deere-credentials/events`, newest first, fetched while iterating.

        Leaf keeps them for 30 days, and drops them with the credential.
        """
        for item in self._api.pages(
            _credentials(leaf_user_id) + "/events",
            action="read the credential's events",
            params={"sort": "createdDate,desc"},
        ):
            yield shapes.read_event(item)

    def organizations(self, leaf_user_id: str) -> LeafOrganizations:
        """`GET /users/{id}/organizations/JohnDeere`: what Leaf can and cannot read.

        :raise UpstreamUnavailable: also if the answer has neither list: who takes it for empty
            ones would call nothing shared
        """
        action = "read the organizations"
        answer = self._api.call(
            "GET", _user(leaf_user_id) + "/organizations/JohnDeere", action=action
        )
        found = shapes.read_organizations(_object(answer, action))
        if found is None:
            raise http.malformed(answer, service=SERVICE, action=action, missing="organizations")
        return found

    def sync_choices(self, leaf_user_id: str) -> tuple[OrganizationChoice, ...]:
        """`GET /users/{id}/JohnDeere/organizations`: what Leaf fetches of each organization."""
        items = self._api.pages(
            _user(leaf_user_id) + "/JohnDeere/organizations", action="read what Leaf fetches"
        )
        return tuple(filter(None, map(shapes.read_choice, items)))

    def set_sync_choice(self, leaf_user_id: str, organization_id: str, choice: SyncChoice) -> None:
        """`PATCH /users/{id}/JohnDeere/organizations/{id}/{status}`; `BLOCKED` can't be set."""
        organization = _segment(organization_id)
        self._api.call(
            "PATCH",
            f"{_user(leaf_user_id)}/JohnDeere/organizations/{organization}/{choice.value}",
            action="set what Leaf fetches",
        )

    def sync_organizations(self, leaf_user_id: str) -> None:
        """`POST /users/{id}/JohnDeere/organizations/sync`: Leaf looks at John Deere again."""
        self._api.call(
            "POST",
            _user(leaf_user_id) + "/JohnDeere/organizations/sync",
            action="sync the organizations",
        )

    def summary(self, leaf_user_id: str) -> Summary:
        """`GET /services/integrations/api/resources`: how much has come from John Deere so far."""
        action = "read the sync summary"
        answer = self._api.call(
            "GET",
            RESOURCES,
            action=action,
            params={"leafUserId": leaf_user_id, "provider": "JohnDeere"},
        )
        found = shapes.read_summary(_object(answer, action))
        if found is None:
            raise http.malformed(answer, service=SERVICE, action=action, missing="summaries")
        return found

    def configure(
        self, leaf_user_id: str, *, organization_data_sync: Literal["ALL", "SELECTED_ONLY"]
    ) -> None:
        """Set `organizationDataSync` for one user; must come before `attach` to have its effect.

        `GET /configs/{id}` answers 404 until something is stored; then POST creates, else PATCH
        updates.
        """
        path = f"{CONFIGS}/{_segment(leaf_user_id)}"
        stored = self._api.call("GET", path, action="read the configuration", accept=(404,))
        self._api.call(
            "POST" if stored.status == 404 else "PATCH",
            path,
            action="write the configuration",
            json={"organizationDataSync": organization_data_sync},
        )

    def _refuse_unknown_user(self, leaf_user_id: str, err: UpstreamRejected) -> None:
        """How Leaf refuses a credential for an unknown user is not documented: ask for the user.

        :raise UpstreamRejected: with 404, if there is none
        """
        if err.status in PLAIN_REFUSALS:
            return
        try:
            self._api.call("GET", _user(leaf_user_id), action="read the Leaf user")
        except UpstreamUnavailable:
            return
        except UpstreamRejected as found:
            if found.status == 404:
                raise found from err

    def _remember_status_gone(self) -> None:
        with self._lock:
            moment = self._clock()
            if not self._status_gone.holds(moment):
                self._status_gone = Span(moment, moment + STATUS_GONE_LASTS)


def _user(leaf_user_id: str) -> str:
    return f"{USERS}/{_segment(leaf_user_id)}"


def _credentials(leaf_user_id: str) -> str:
    return _user(leaf_user_id) + "/john-deere-credentials"


def _segment(identifier: str) -> str:
    """An id as one segment of a path. Dots alone would climb it, however they are quoted."""
    if identifier in {"", ".", ".."}:
        raise InputInvalid(f"{identifier!r} is not an id")
    return quote(identifier, safe="")


def _object(answer: Answer, action: str) -> Mapping[str, Any]:
    if not isinstance(answer.body, dict):
        raise http.malformed(answer, service=SERVICE, action=action, missing="JSON object")
    return answer.body


def _user_in(answer: Answer, action: str) -> LeafUser:
    user = shapes.read_user(answer.body)
    if user is None:
        raise http.malformed(answer, service=SERVICE, action=action, missing="id")
    return user


def _smells_of_mismatch(err: UpstreamRejected) -> bool:
    reason = err.reason.lower()
    return err.status not in PLAIN_REFUSALS and any(word in reason for word in MISMATCH_WORDS)
