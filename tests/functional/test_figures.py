"""The worker counts, and the overview shows it."""

from __future__ import annotations

import requests

from onboarding.connections import pace
from onboarding.states import Role
from onboarding.views.staff.parts import COOKIE
from tests.support.desk import signed_in
from tests.support.people import People
from tests.support.stack import Stack
from tests.support.wait import wait_until


def test_worker_counts_a_grower_who_connects_and_one_who_declines(
    stack: Stack, people: People
) -> None:
    secret = signed_in(stack.installation.database, Role.VIEWER)

    def page(path: str) -> str:
        url = f"{stack.public_url}/staff/{path}"
        # The cookie is for https alone, and this is http on this machine.
        headers = {"Cookie": f"{COOKIE}={secret}"}
        return requests.get(url, headers=headers, timeout=10).text

    people.partner("counted", name="Counted Co-op")
    connected, declined = (people.invited(partner="counted") for _ in range(2))
    connected.connect("already-connected")
    connected.wait_for_code("connected")
    declined.open()
    declined.start()
    declined.sign_in("one-farm")
    declined.cancel()
    reference = declined.connection().reference
    partner = f"?partner={connected.connection().grower.partner.slug}"

    wait_until(lambda: "Declined" in page(partner), what="the worker has counted both", limit=240)
    overview = page(partner)
    assert "Data flows." in overview
    assert "connected in the same time" in overview
    wait_until(
        lambda: "in 30 days" in page(f"attempts{partner}"), what="attempts are counted", limit=240
    )
    assert reference in page(f"attempts{partner}")
    wait_until(lambda: _requests_to_leaf(stack), what="the worker tells how often it asks Leaf")


def _requests_to_leaf(stack: Stack) -> int:
    with stack.installation.database.reading() as session:
        return pace.standing(session)[1]
