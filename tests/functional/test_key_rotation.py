"""Keys are rotated while web, workers and growers go on, and nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from onboarding.vault import new_key
from tests.support.control import Control
from tests.support.crowd import assert_each_delivered, connect_all
from tests.support.stack import WEB, WORKER, Stack
from tests.support.tokens import POST, connection_of

KEYS = "ENCRYPTION_KEYS"


@pytest.fixture
def old_key(stack: Stack) -> Iterator[str]:
    """The key that the stack has; it has it again afterwards."""
    key = stack.environment[KEYS]
    yield key
    set_keys(stack, key, WEB, WORKER)


def set_keys(stack: Stack, keys: str, *processes: str) -> None:
    """Start processes anew with these keys, as a deployment does."""
    stack.environment[KEYS] = keys
    for name in processes:
        if stack.is_running(name):
            stack.stop(name)
    stack.start()


def test_keys_are_rotated_while_growers_connect_and_hand_overs_wait_and_run(
    stack: Stack, control: Control, old_key: str
) -> None:
    new = new_key()
    before, between, meanwhile = (
        [f"{when}-{n}" for n in range(6)] for when in ("before", "between", "meanwhile")
    )
    control.add_fault(POST, "status", status=503)
    connect_all(stack, before, "one-farm")
    set_keys(stack, f"{old_key},{new}", WEB, WORKER)
    # Web already encrypts with the new key, which the worker can read by now.
    set_keys(stack, f"{new},{old_key}", WEB)
    connect_all(stack, between, "one-farm")
    set_keys(stack, f"{new},{old_key}", WORKER)
    assert connection_of(stack, before[0]).refresh_token is not None
    with ThreadPoolExecutor(1) as pool:
        growers = pool.submit(connect_all, stack, meanwhile, "one-farm")
        assert "Encrypted anew with the first key: " in stack.cli("keys", "rotate").stdout
        control.clear_faults()
        while not growers.done():
            stack.cli("keys", "rotate")
        growers.result()
    again = stack.cli("keys", "rotate").stdout
    assert again == "Encrypted anew with the first key: 0.\n", "nothing was left to the old key"
    set_keys(stack, new, WEB, WORKER)
    assert_each_delivered(stack, [*before, *between, *meanwhile], "one-farm", limit=90)
