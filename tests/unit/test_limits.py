"""Who counts as one where requests are counted: a household may have very many addresses."""

from __future__ import annotations

import pytest
from flask import Flask
from limits import parse

from onboarding.views.limits import CALLBACK_PER_ADDRESS

LIMIT = parse(CALLBACK_PER_ADDRESS).amount
TOO_MANY = 429


def statuses(app: Flask, addresses: list[str]) -> list[int]:
    """What who comes from these addresses is answered, one after the other."""
    browser = app.test_client()
    guess = "/deere/callback?state=guessed&code=guessed"
    return [browser.get(guess, environ_base={"REMOTE_ADDR": one}).status_code for one in addresses]


@pytest.mark.parametrize(
    ("household", "neighbours"),
    [
        ("2001:db8:7:1::{:x}", ["2001:db8:7:2::1", "2001:db8:7::1"]),
        ("2001:db8:7:1:{:x}::", ["2001:db8:7:2::1"]),
        ("::ffff:192.0.2.7", ["::ffff:192.0.2.8", "192.0.2.8", "::ffff:0:1"]),
        ("192.0.2.7", ["192.0.2.8", "::ffff:192.0.2.8"]),
    ],
)
def test_all_addresses_of_a_household_count_as_one_and_its_neighbours_do_not(
    app: Flask, household: str, neighbours: list[str]
) -> None:
    met = statuses(app, [household.format(number) for number in range(LIMIT + 1)])
    assert TOO_MANY not in met[:-1]
    assert met[-1] == TOO_MANY
    assert TOO_MANY not in statuses(app, neighbours)


def test_an_ipv4_address_is_the_same_in_both_its_forms(app: Flask) -> None:
    statuses(app, ["192.0.2.7"] * LIMIT)
    assert statuses(app, ["::ffff:192.0.2.7"]) == [TOO_MANY]
