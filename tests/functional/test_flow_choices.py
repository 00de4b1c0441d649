"""What Leaf's documentation leaves open: whichever way it goes, the walk comes to a good end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from onboarding import describe
from onboarding.states import Cause, Health
from tests.support.control import Control
from tests.support.people import People, Person
from tests.support.stack import PARTNER, WEB, WORKER, Stack
from tests.support.wait import wait_until

ACCOUNT = "already-connected"
WAYS = pytest.mark.parametrize("way", ["refused", "found_later"])


@pytest.fixture
def wrong_environment(stack: Stack) -> Iterator[None]:
    """Web and worker take the application for one in PRODUCTION, which it is not."""
    right = stack.environment["DEERE_ENVIRONMENT"]
    try:
        _restart(stack, "PRODUCTION")
        yield
    finally:
        _restart(stack, right)


@pytest.mark.parametrize("way", ["contains", "exact"])
def test_grower_gets_the_leaf_user_of_that_very_id(
    people: People, control: Control, way: str
) -> None:
    control.set_policies(leaf_external_id_filter=way)
    other = people.invited()
    grower = people.invited(other.external_id[:-1])
    for one in (other, grower):
        one.connect(ACCOUNT)
        one.wait_for_code("connected")
    assert [len(one.at_leaf()) for one in (other, grower)] == [1, 1]
    user = grower.connection().grower.leaf_user_id
    assert user != other.connection().grower.leaf_user_id
    _connect_again(grower)
    assert grower.connection().grower.leaf_user_id == user


@WAYS
def test_wrong_client_secret_is_mended_by_staff_or_by_connecting_again(
    people: People, control: Control, stack: Stack, way: str
) -> None:
    control.set_policies(leaf_wrong_client=way)
    grower = people.invited()
    control.add_fault("leaf.users.list", "hang", match={"external_id": grower.external_id})
    grower.connect(ACCOUNT)
    control.wait_for(lambda entry: entry["fault"] == "hang", what="Leaf is being asked")
    control.set_policies(deere_client="refused")  # somebody made a new secret meanwhile
    control.clear_faults()
    if way == "refused":
        grower.wait_for_code("failed")
        assert grower.connection().cause is Cause.ENVIRONMENT_MISMATCH
        assert "invalid_client" in describe.for_staff(grower.connection())
        control.set_policies(deere_client="accepted")
        stack.cli("connection", "retry", grower.connection().reference)
    else:
        grower.wait_for_code("reconnect")
        assert grower.connection().health is Health.UNAUTHENTICATED
        control.set_policies(deere_client="accepted")
        _connect_again(grower)
    grower.wait_for_code("connected")
    assert [one["live"] for one in grower.at_leaf()] == [True]


@WAYS
@pytest.mark.usefixtures("wrong_environment")
def test_wrong_environment_is_told_to_staff_or_shows_in_the_health(
    people: People, control: Control, way: str
) -> None:
    control.set_policies(leaf_wrong_environment=way)
    grower = people.invited()
    grower.connect(ACCOUNT)
    if way == "refused":
        grower.wait_for_code("failed")
        assert grower.connection().cause is Cause.ENVIRONMENT_MISMATCH
        assert grower.at_leaf() == []
    else:
        page = grower.wait_for_code("reconnect")
        assert page.heading != "Connected"
        assert [one["clientEnvironment"] for one in grower.at_leaf()] == ["PRODUCTION"]


@pytest.mark.parametrize("way", ["not_found", "bad_request"])
def test_leaf_user_that_somebody_deleted_is_replaced_by_staff(
    people: People, control: Control, stack: Stack, way: str
) -> None:
    control.set_policies(leaf_unknown_user=way)
    grower = people.invited()
    grower.connect(ACCOUNT)
    grower.wait_for_code("connected")
    _delete_user(stack, grower)
    grower.start(other_account=True)
    grower.sign_in(ACCOUNT)
    grower.wait_for_code("failed")
    assert grower.connection().cause is Cause.LEAF_USER_MISSING
    name, external_id = "Maple Farm", grower.external_id
    new = stack.installation.leaf().create_user(name=name, external_id=external_id)
    who = ["--external-id", external_id, "--name", name]
    stack.cli("link", PARTNER, *who, "--leaf-user", new.id)
    stack.cli("connection", "retry", grower.connection().reference)
    grower.wait_for_code("connected")
    assert [one["leafUserId"] for one in grower.at_leaf()] == [new.id]


def test_limit_on_requests_is_waited_for_and_nobody_is_lost(
    people: People, control: Control
) -> None:
    seen = control.last_seq()
    control.set_policies(leaf_requests_per_minute=3)  # a hand-over needs four or more
    growers = [people.invited() for _ in range(3)]
    for grower in growers:
        grower.connect(ACCOUNT)
    wait_until(lambda: any(map(_waits, growers)), what="somebody waits for Leaf", limit=60)
    waiting = next(filter(_waits, growers))
    assert "HTTP 429: Request limit exceeded" in waiting.connection().detail
    control.set_policies(leaf_requests_per_minute=1000)
    for grower in growers:
        grower.wait_for_code("connected", limit=60)
        assert [one["live"] for one in grower.at_leaf()] == [True]
    made = control.journal(after=seen, point="leaf.credentials.create", status=201)
    assert len(made) == len(growers)


def _waits(grower: Person) -> bool:
    return grower.connection().waiting_since is not None


def _connect_again(grower: Person) -> None:
    received = grower.connection().token_received_at
    grower.open()
    grower.start(other_account=grower.page.form_to("/start") is None)
    if grower.page.find(ACCOUNT):
        grower.sign_in(ACCOUNT)
    assert grower.connection().token_received_at != received
    grower.wait_for_code("connected")


def _delete_user(stack: Stack, grower: Person) -> None:
    """As somebody with the same Leaf account may do it, past us."""
    owner = {name: stack.environment[f"LEAF_{name.upper()}"] for name in ("username", "password")}
    url = stack.sandbox_url
    token = requests.post(f"{url}/api/authenticate", json=owner, timeout=10).json()["id_token"]
    path = f"/services/usermanagement/api/users/{grower.connection().grower.leaf_user_id}"
    header = {"Authorization": f"Bearer {token}"}
    assert requests.delete(url + path, headers=header, timeout=10).status_code == 204


def _restart(stack: Stack, environment: str) -> None:
    stack.environment["DEERE_ENVIRONMENT"] = environment
    for name, start in ((WEB, stack.start_web), (WORKER, stack.start_worker)):
        stack.kill(name)
        start()
