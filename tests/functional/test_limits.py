"""Who comes too often is asked to wait; nobody else notices.

Each of the two web processes counts for itself, so twice the limit is reached at the latest.
"""

from __future__ import annotations

from collections.abc import Callable

import requests
from limits import parse

from onboarding.views.limits import (
    CALLBACK_PER_ADDRESS,
    CALLBACK_PER_LINK,
    START_PER_ADDRESS,
    START_PER_LINK,
)
from tests.support.page import Page
from tests.support.people import People, Person

PROCESSES = 2
TOO_OFTEN = "That was a little too often"


def test_link_can_be_started_a_number_of_times_an_hour(people: People) -> None:
    grower = people.invited()
    limit = parse(START_PER_LINK).amount
    refused = _until_refused(_starting(grower), limit=limit)
    assert Page.of(refused).heading == TOO_OFTEN
    # Also from elsewhere: it is the link that is counted.
    phone = people.visitor(grower.link)
    _until_refused(_starting(phone), limit=limit, used=True)
    _assert_untouched(people, address=_address(grower))


def test_address_can_start_a_number_of_times_a_minute(people: People) -> None:
    growers = [people.invited()]
    growers += [_neighbour(people, _address(growers[0])) for _ in range(4)]
    starts = [_starting(grower) for grower in growers]
    turns = iter(starts * 1000)
    _until_refused(lambda: next(turns)(), limit=parse(START_PER_ADDRESS).amount)
    # Reading still works, and so does everybody else.
    assert growers[0].open().status == 200
    _assert_untouched(people, address=None)


def test_address_can_come_back_a_number_of_times_a_minute(people: People) -> None:
    grower = people.invited()
    origin = grower.link.partition("/c/")[0]

    def guess() -> requests.Response:
        return grower.session.get(f"{origin}/deere/callback?state=guessed&code=guessed")

    refused = _until_refused(guess, limit=parse(CALLBACK_PER_ADDRESS).amount)
    assert Page.of(refused).heading == TOO_OFTEN
    _assert_untouched(people, address=None)


def test_link_can_come_back_a_number_of_times_an_hour_from_wherever(people: People) -> None:
    grower = people.invited()
    callback = grower.until_callback("already-connected")
    grower.open(callback)
    grower.wait_for_code("connected")
    numbers = iter(range(1, 255))

    def reload() -> requests.Response:
        header = {"X-Forwarded-For": f"192.0.2.{next(numbers)}"}
        return grower.session.get(callback, headers=header, allow_redirects=False)

    refused = _until_refused(reload, limit=CALLBACK_PER_LINK.amount - 1)  # once above
    assert Page.of(refused).heading == TOO_OFTEN
    assert grower.open().heading == "Connected"
    _assert_untouched(people, address=None)


def _starting(grower: Person) -> Callable[[], requests.Response]:
    """What presses the button once more, without going to John Deere."""
    (form,) = [form for form in grower.open().forms if form.action.endswith("/start")][:1]
    sent = form.sent_by(form.buttons[0])
    return lambda: grower.session.post(form.action, data=sent, allow_redirects=False)


def _until_refused(
    ask: Callable[[], requests.Response], *, limit: int, used: bool = False
) -> requests.Response:
    """Ask until the answer is 429, which must not be before the limit and not long after it.

    :param used: whether the limit has been reached already in one of the processes
    :return: the refusal
    """
    for number in range(PROCESSES * limit + 1):
        answer = ask()
        if answer.status_code == 429:
            assert number >= limit or used, f"refused after {number} already"
            return answer
        assert answer.status_code < 500
    raise AssertionError(f"never refused in {PROCESSES * limit + 1} times")


def _address(grower: Person) -> str:
    return str(grower.session.headers["X-Forwarded-For"])


def _neighbour(people: People, address: str) -> Person:
    grower = people.invited()
    grower.session.headers["X-Forwarded-For"] = address
    return grower


def _assert_untouched(people: People, *, address: str | None) -> None:
    """Another grower walks all the way.

    :param address: where they come from; default: an address of their own
    """
    other = people.invited() if address is None else _neighbour(people, address)
    other.connect("already-connected")
    other.wait_for_code("connected")
