"""A partner's developer brings connections of the sandbox to every status, and back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import requests

from onboarding.connections import partnership
from onboarding.partners import keys, moves
from onboarding.states import ApiScope
from tests.support.control import Control
from tests.support.stack import PARTNER, Stack
from tests.support.wait import wait_until

ROUND = (
    *("no_refresh_token", "permissions_too_low", "wrong_account"),
    *("no_organizations", "terms_not_accepted", "choose_organizations", "no_organization_chosen"),
    *("failed", "connected", "missing_permission", "unknown_health", "connected", "reconnect"),
    *("connected", "temporarily_unavailable", "credential_missing", "waiting_for_leaf"),
    *("connected", "disconnecting", "disconnecting_late", "disconnected", "authorizing"),
    *("connected", "disconnecting_held_up", "disconnected"),
)
"""One connection's way through all that it can come to."""
TIME_HAS_TO_PASS = {
    "disconnecting_late": ("disconnect_waits", timedelta(seconds=30)),
    "temporarily_unavailable": ("status_changed", timedelta(minutes=16)),
    "waiting_for_leaf": ("hand_over_waits", timedelta(seconds=30)),
}
"""After what has happened, and how much."""
NOT_AT_LEAF = {"failed", "no_refresh_token", "waiting_for_leaf"}


class Developer:
    """Calls the API of a running installation."""

    def __init__(self, stack: Stack) -> None:
        stack.invite(f"farm-{uuid4().hex[:12]}")  # so that there is the partner
        with stack.installation.database.transaction() as session:
            partner = session.scalars(partnership.partner_named(PARTNER)).one()
            _made, key = keys.make(session, partner, name="a test", scopes=list(ApiScope))
        self._url = f"{stack.public_url}/api/v1"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {key}"

    def call(self, method: str, path: str, body: Any = None) -> requests.Response:
        once = {"Idempotency-Key": uuid4().hex} if body is not None else {}
        return self._session.request(method, self._url + path, json=body, headers=once, timeout=60)

    def grower(self) -> str:
        """The path of a new grower's connection."""
        made = self.call("PUT", f"/growers/farm-{uuid4().hex[:12]}", {"name": "Maple Farm"})
        return f"/connections/{made.json()['connection']}"

    def move(self, path: str, state: str) -> requests.Response:
        return self.call("POST", f"/sandbox{path}/state", {"state": state})

    def wait_for(self, path: str, state: str) -> None:
        """Until it stands so, and Leaf has taken what it was to take."""

        def stands() -> bool:
            told = self.call("GET", path).json()
            is_there = told["status"]["code"] == state
            at_leaf = state in {*moves.PEOPLE, *moves.KNOWN_PEOPLE} - NOT_AT_LEAF
            return is_there and (told["health"] == "OK" or not at_leaf)

        wait_until(stands, what=f"the connection is {state}", limit=60)

    def wait_for_event(self, path: str, kind: str) -> None:
        """Until this is the last that happened."""

        def has_happened() -> bool:
            events = self.call("GET", f"{path}/history?limit=1").json()["events"]
            return bool(events[0]["type"] == kind)

        wait_until(has_happened, what=kind, limit=60)


def test_connection_is_brought_to_every_status_and_back(stack: Stack, control: Control) -> None:
    developer = Developer(stack)
    for state in ("authorizing", *moves.ENDS):
        path = developer.grower()
        moved = developer.move(path, state)
        assert (moved.status_code, moved.json()["status"]["code"]) == (202, state), moved.text
    path = developer.grower()
    early = developer.move(path, "reconnect")
    assert early.status_code == 409
    assert "move it to `connected`" in early.json()["detail"]
    for state in ROUND:
        moved = developer.move(path, state)
        assert moved.status_code == 202, moved.text
        if state in TIME_HAS_TO_PASS:
            kind, by = TIME_HAS_TO_PASS[state]
            assert moved.json()["hint"]
            developer.wait_for_event(path, kind)
            control.move_clock(by)
        developer.wait_for(path, state)
    assert set(moves.REACHED) == {*moves.ENDS, *ROUND}
    assert control.faults() == [], "nothing of it stays"
    told = developer.call("GET", f"{path}/history?limit=200").json()["events"]
    assert {one["by"] for one in told} == {"grower", "partner", "system"}
    assert "repaired" in {one["type"] for one in told}
