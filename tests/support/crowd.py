"""Many growers who connect at the same time."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.support.grower import Grower
from tests.support.stack import Stack
from tests.support.tokens import assert_delivered, assert_no_token_stored, handed_over, issued

AT_ONCE = 8


def connect_all(stack: Stack, names: Collection[str], account: str, **more: Any) -> None:
    """Invite growers, and let all of them walk at the same time.

    :param names: their external ids
    :param more: as for `Stack.invite`
    """
    growers = [Grower(stack.invite(name, **more)) for name in names]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for visit in [pool.submit(grower.connect, account) for grower in growers]:
            visit.result(timeout=90)


def assert_each_delivered(
    stack: Stack, names: Collection[str], account: str, *, limit: float = 180.0
) -> None:
    """Each of them, and nobody else, has one of the account's tokens at Leaf, and no two the same.

    :param limit: seconds to wait for each
    """
    for name in names:
        handed_over(stack, name, limit=limit)
    given = {name: stack.control.credentials(name)[0]["givenRefreshToken"] for name in names}
    assert sorted(given.values()) == sorted(issued(stack, account))
    for name in names:
        assert_delivered(stack, name, account, token=given[name])
    assert_no_token_stored(stack, account)
