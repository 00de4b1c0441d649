"""Many growers in the same minute."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from onboarding.states import Health, Stage
from tests.support.people import People, Person
from tests.support.wait import wait_until

GROWERS = 16
ACCOUNTS = ("one-farm", "three-farms", "already-connected", "many-farms")
SECONDS = 60.0


def test_sixteen_growers_at_once_all_arrive_each_with_one_good_credential(people: People) -> None:
    growers = [people.invited(name=f"Farm {number}") for number in range(GROWERS)]
    with ThreadPoolExecutor(GROWERS) as pool:
        list(pool.map(_walk, growers, ACCOUNTS * (GROWERS // len(ACCOUNTS))))
    for number, grower in enumerate(growers):
        wait_until(
            lambda one=grower: _has_arrived(one),  # type: ignore[misc]
            what=f"grower {number} is connected",
            limit=SECONDS,
        )
        assert grower.open().heading == "Connected"
        assert f"Farm {number}" in grower.page.text
    held = [grower.at_leaf() for grower in growers]
    assert [[one["live"] for one in credentials] for credentials in held] == [[True]] * GROWERS
    assert len({credentials[0]["refreshToken"] for credentials in held}) == GROWERS
    assert len({credentials[0]["leafUserId"] for credentials in held}) == GROWERS


def _walk(grower: Person, account: str) -> None:
    grower.connect(account)
    assert [one.status_code for one in grower.answers if one.status_code >= 400] == []


def _has_arrived(grower: Person) -> bool:
    row = grower.connection()
    return (row.stage, row.health, row.refresh_token) == (Stage.CONNECTED, Health.OK, None)
