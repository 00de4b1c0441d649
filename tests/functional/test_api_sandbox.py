"""A partner's developer brings connections of the sandbox to every status, and back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import requests

from onboarding.connections import incidents
from onboarding.connections.tries import STRAY_LIVES
from onboarding.partners import keys, repeats, ways
from onboarding.staff import partners
from onboarding.states import ApiScope
from tests.support.control import Control, hold, wait_for_held
from tests.support.stack import PARTNER, WEB, Stack
from tests.support.wait import wait_until

ROUND = (
    *("no_refresh_token", "permissions_too_low", "wrong_account"),
    *("no_organizations", "terms_not_accepted", "choose_organizations", "no_organization_chosen"),
    *("organizations_refused", "organizations_unknown", "organizations_unavailable"),
    *("choice_unseen", "waiting_for_staff", "failed", "connected", "checking"),
    *("missing_permission", "unknown_health", "connected", "nothing_fetched", "connected"),
    *("reconnect", "connected", "temporarily_unavailable", "connected", "unconfirmed"),
    *("credential_missing", "waiting_for_leaf", "connected", "waiting_for_leaf"),
    *("handing_over_late", "connected", "disconnecting", "disconnecting_late", "disconnected"),
    *("authorizing", "connected", "disconnecting_held_up", "disconnected"),
)
"""One connection's way through all that it can come to."""
OF_NEW_GROWERS = ("invited", *ways.OPEN, *ways.ENDS, "handing_over")
OF_MANY = {"refused_with_many": "reconnect", "limited_with_many": "missing_permission"}
"""And what is told of it as long as they are few."""
TIME_HAS_TO_PASS = {
    "disconnecting_late": ("disconnect_waits", timedelta(seconds=30)),
    "handing_over_late": ("organization_shared", timedelta(seconds=30)),
    "temporarily_unavailable": ("status_changed", timedelta(minutes=16)),
    "unconfirmed": ("status_changed", timedelta(hours=49)),
    "waiting_for_leaf": ("hand_over_waits", timedelta(seconds=30)),
}
"""After what has happened, and how much."""
NOT_AT_LEAF = {
    *("failed", "no_refresh_token", "waiting_for_leaf", "waiting_for_staff"),
    *("handing_over", "handing_over_late"),
}
OTHER = "other-demo"


class Developer:
    """Calls the API of a running installation."""

    def __init__(self, stack: Stack, slug: str = PARTNER) -> None:
        stack.invite(f"farm-{uuid4().hex[:12]}", partner=slug)  # so that there is the partner
        with stack.installation.database.transaction() as session:
            partner = partners.named(session, slug)
            _made, key = keys.make(session, partner, name="a test", scopes=list(ApiScope))
        self._url = f"{stack.public_url}/api/v1"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {key}"

    def call(self, method: str, path: str, body: Any = None, *, key: str = "") -> requests.Response:
        once = {"Idempotency-Key": key or uuid4().hex} if body is not None else {}
        return self._session.request(method, self._url + path, json=body, headers=once, timeout=60)

    def grower(self, external_id: str = "") -> str:
        """The path of a new grower's connection."""
        external_id = external_id or f"farm-{uuid4().hex[:12]}"
        made = self.call("PUT", f"/growers/{external_id}", {"name": "Maple Farm"})
        return f"/connections/{made.json()['connection']}"

    def move(self, path: str, state: str, *, key: str = "") -> requests.Response:
        return self.call("POST", f"/sandbox{path}/state", {"state": state}, key=key)

    def bring(self, path: str, state: str) -> None:
        moved = self.move(path, state)
        assert moved.status_code == 202, moved.text
        self.wait_for(path, state)

    def happened(self, path: str) -> list[str]:
        """What, the newest first."""
        events = self.call("GET", f"{path}/history?limit=200").json()["events"]
        return [one["type"] for one in events]

    def wait_for(self, path: str, state: str) -> None:
        """Until it stands so, and Leaf has taken what it was to take."""

        def stands() -> bool:
            told = self.call("GET", path).json()
            is_there = told["status"]["code"] == state
            at_leaf = state in {*ways.PEOPLE, *ways.KNOWN_PEOPLE} - NOT_AT_LEAF
            return is_there and (told["health"] == "OK" or not at_leaf)

        # What may yet arrive of a request without an answer is waited for first.
        limit = 60 + STRAY_LIVES.total_seconds()
        wait_until(stands, what=f"the connection is {state}", limit=limit)

    def wait_for_event(self, path: str, kind: str) -> None:
        """Until this is the last that happened."""

        def has_happened() -> bool:
            events = self.call("GET", f"{path}/history?limit=1").json()["events"]
            return bool(events[0]["type"] == kind)

        wait_until(has_happened, what=kind, limit=60)


def test_connection_is_brought_to_every_status_and_back(stack: Stack, control: Control) -> None:
    developer = Developer(stack)
    for state in OF_NEW_GROWERS:
        path = developer.grower()
        moved = developer.move(path, state)
        assert (moved.status_code, moved.json()["status"]["code"]) == (202, state), moved.text
    developer.wait_for(path, "connected")
    developer.bring(path, "disconnected")
    path = developer.grower()
    for state, why in (
        ("reconnect", "move it to `connected`"),
        ("nothing_fetched", "move it to `connected`"),
        ("handing_over_late", "move it to `waiting_for_leaf`"),
        ("disconnecting", "There is nothing to end"),
    ):
        early = developer.move(path, state)
        assert early.status_code == 409
        assert why in early.json()["detail"]
    assert developer.happened(path) == []
    for state in ROUND:
        moved = developer.move(path, state)
        assert moved.status_code == 202, moved.text
        if state in TIME_HAS_TO_PASS:
            kind, by = TIME_HAS_TO_PASS[state]
            assert moved.json()["hint"]
            developer.wait_for_event(path, kind)
            control.move_clock(by)
        developer.wait_for(path, state)
        if state == "handing_over_late":
            consents = developer.happened(path).count("token_received")
            assert developer.move(path, "connected").status_code == 202
            control.move_clock(timedelta(minutes=2))
            developer.wait_for(path, "connected")
            assert developer.happened(path).count("token_received") == consents
    assert developer.move(path, "invited").status_code == 409
    assert set(ways.CODES) == {*OF_NEW_GROWERS, *ROUND, *OF_MANY}
    assert control.faults() == [], "nothing of it stays"
    told = developer.call("GET", f"{path}/history?limit=200").json()["events"]
    assert {one["by"] for one in told} == {"grower", "partner", "system"}
    assert "repaired" in {one["type"] for one in told}


def test_what_is_told_of_many_at_once_comes_once_they_are_many(stack: Stack) -> None:
    developer = Developer(stack)
    paths = [developer.grower() for _ in range(incidents.LEAST)]
    for state, alone in OF_MANY.items():
        for path in paths:
            developer.bring(path, "connected")
        moved = developer.move(paths[0], state)
        assert f"`{alone}`" in moved.json()["hint"]
        within = stack.installation.settings.incident_within_minutes
        assert f"within {within} minutes" in moved.json()["hint"]
        developer.wait_for(paths[0], alone)
        for path in paths[1:]:
            developer.move(path, state)
        for path in paths:
            developer.wait_for(path, state)


def test_one_partners_moves_are_no_others_though_their_growers_have_the_same_id(
    stack: Stack, control: Control
) -> None:
    developers = [Developer(stack), Developer(stack, OTHER)]
    external_id = f"shared-{uuid4().hex[:12]}"
    mine, theirs = (one.grower(external_id) for one in developers)
    me, they = developers
    for one, path in zip(developers, (mine, theirs), strict=True):
        one.bring(path, "connected")
    me.bring(mine, "disconnecting_held_up")
    they.bring(theirs, "disconnected")
    they.bring(theirs, "connected")
    assert len(control.faults()) == 1, "what is in my way stays"
    assert me.call("GET", mine).json()["status"]["code"] == "disconnecting_held_up"
    assert me.move(theirs, "disconnected").status_code == 404
    me.bring(mine, "disconnected")
    assert they.call("GET", theirs).json()["status"]["code"] == "connected"


def test_grower_of_a_program_is_not_taken_for_whom_leaf_knows_by_the_same_id(stack: Stack) -> None:
    developer, external_id = Developer(stack), f"farm-{uuid4().hex[:12]}"
    leaf = stack.installation.leaf()
    known = leaf.create_user(name="Somebody Else", external_id=external_id)
    path = developer.grower(external_id)
    developer.bring(path, "connected")
    own = developer.call("GET", path).json()["leaf_user_id"]
    assert own != known.id
    assert leaf.credential(known.id) is None
    assert {one.id for one in leaf.users(external_id=external_id)} == {known.id, own}


def test_move_that_the_sandbox_does_not_answer_ends_as_an_interrupted_one(
    stack: Stack, control: Control
) -> None:
    developer = Developer(stack)
    path = developer.grower()
    control.add_fault("deere.token", "status", status=503)
    assert developer.move(path, "connected").status_code == 503
    assert developer.call("GET", path).json()["status"]["code"] == "interrupted"
    assert developer.happened(path)[0] == "attempt_interrupted"
    control.clear_faults()
    developer.bring(path, "connected")


def test_move_that_was_cut_off_is_carried_out_once(stack: Stack, control: Control) -> None:
    developer = Developer(stack)
    path = developer.grower()
    hold(control, "deere.token")
    with ThreadPoolExecutor(1) as pool:
        cut_off = pool.submit(developer.move, path, "connected", key="one")
        wait_for_held(control, "deere.token")
        stack.kill(WEB)
        with pytest.raises(requests.ConnectionError):
            cut_off.result()
    control.clear_faults()
    stack.start_web()
    assert developer.move(path, "connected", key="one").status_code == 409, "it may still run"
    control.move_clock(repeats.RUNS_AT_MOST + timedelta(seconds=1))
    done = developer.move(path, "connected", key="one")
    assert done.status_code == 202, done.text
    developer.wait_for(path, "connected")
    developer.bring(path, "reconnect")
    again = developer.move(path, "connected", key="one")
    assert (again.status_code, again.content) == (202, done.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert developer.call("GET", path).json()["status"]["code"] == "reconnect"
    assert developer.happened(path).count("token_received") == 1
