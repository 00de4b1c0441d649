"""Links and cookies: only what this installation signed for this purpose is believed."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from onboarding.errors import LinkInvalid
from onboarding.links import (
    ATTEMPT_COOKIES_KEPT,
    GROWER_COOKIES_KEPT,
    Links,
    attempt_cookie,
    connection_ids,
    digest,
    grower_cookie,
    matches,
    new_secret,
    surplus_cookies,
)

SECRET_KEY = "signing-key-of-these-tests-0123456789"
LINKS = Links(SECRET_KEY)
ELSEWHERE = Links("signing-key-of-another-installation-1")
BASE64URL = frozenset(string.ascii_letters + string.digits + "-_")
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@given(st.uuids())
def test_a_link_leads_back_to_its_id(link_id: UUID) -> None:
    assert LINKS.link_id(LINKS.token(link_id)) == link_id


@given(st.uuids())
def test_a_links_text_survives_mail_and_telephone_keyboards(link_id: UUID) -> None:
    token = LINKS.token(link_id)

    assert set(token) <= BASE64URL | {"."}
    assert token[-1] != "."
    assert len(token) < 70


def test_a_link_never_changes_so_that_it_can_be_shown_again() -> None:
    link_id = uuid4()

    assert LINKS.token(link_id) == Links(SECRET_KEY).token(link_id)


@given(st.text(max_size=90))
def test_text_that_nobody_signed_is_no_link(text: str) -> None:
    with pytest.raises(LinkInvalid):
        LINKS.link_id(text)


def test_a_link_of_another_installation_is_no_link() -> None:
    with pytest.raises(LinkInvalid):
        LINKS.link_id(ELSEWHERE.token(uuid4()))


def test_a_link_cut_off_anywhere_is_no_link() -> None:
    token = LINKS.token(uuid4())

    for length in range(len(token)):
        with pytest.raises(LinkInvalid):
            LINKS.link_id(token[:length])


def test_a_link_with_one_character_changed_is_no_link() -> None:
    """The last one, too: it has bits to spare, and two spellings would double every limit."""
    token = LINKS.token(UUID(int=7))

    for position, present in enumerate(token):
        for other in sorted(BASE64URL | {".", "!"} - {present}):
            changed = token[:position] + other + token[position + 1 :]
            if changed != token:
                with pytest.raises(LinkInvalid):
                    LINKS.link_id(changed)


@pytest.mark.parametrize("surplus", ["=", "==", "A", ".", "!", " ", "\n", "%3D", "/"])
def test_a_link_with_something_added_is_no_link(surplus: str) -> None:
    token = LINKS.token(uuid4())

    for changed in (token + surplus, surplus + token, token.replace(".", surplus + ".")):
        with pytest.raises(LinkInvalid):
            LINKS.link_id(changed)


def test_a_signature_moved_to_another_link_is_worthless() -> None:
    one, other = LINKS.token(uuid4()), LINKS.token(uuid4())

    with pytest.raises(LinkInvalid):
        LINKS.link_id(one.partition(".")[0] + "." + other.partition(".")[2])


def test_what_was_signed_for_a_browser_opens_no_link() -> None:
    identity = uuid4()
    value = LINKS.browser_value(identity)
    packed, moment, signature = value.split(".")

    for forged in (value, f"{packed}.{signature}", f"{packed}.{moment}"):
        with pytest.raises(LinkInvalid):
            LINKS.link_id(forged)


def test_what_was_signed_for_a_link_is_no_browsers_cookie() -> None:
    identity = uuid4()

    assert not LINKS.is_browser_of(identity, LINKS.token(identity))


def test_a_browser_keeps_its_own_connection_only() -> None:
    mine, other = uuid4(), uuid4()
    value = LINKS.browser_value(mine)

    assert LINKS.is_browser_of(mine, value)
    assert not LINKS.is_browser_of(other, value)
    assert not LINKS.is_browser_of(mine, ELSEWHERE.browser_value(mine))
    assert not LINKS.is_browser_of(mine, value[:-2])


@given(st.none() | st.text(max_size=90))
def test_a_cookie_that_nobody_signed_is_not_believed(value: str | None) -> None:
    assert not LINKS.is_browser_of(UUID(int=7), value)


@pytest.mark.parametrize(
    ("age", "believed"),
    [
        (timedelta(0), True),
        (timedelta(days=89, hours=23), True),
        (timedelta(days=90), True),
        (timedelta(days=90, seconds=1), False),
        (timedelta(days=400), False),
        (timedelta(hours=-1), False),
    ],
)
def test_a_browser_keeps_its_access_for_ninety_days(age: timedelta, believed: bool) -> None:
    identity = uuid4()
    with time_machine.travel(NOON, tick=False):
        value = LINKS.browser_value(identity)

    with time_machine.travel(NOON + age, tick=False):
        assert LINKS.is_browser_of(identity, value) is believed


def test_a_cookies_date_cannot_be_changed() -> None:
    identity = uuid4()
    with time_machine.travel(NOON - timedelta(days=200), tick=False):
        packed, _, signature = LINKS.browser_value(identity).split(".")
    fresh = LINKS.browser_value(uuid4()).split(".")[1]

    assert not LINKS.is_browser_of(identity, f"{packed}.{fresh}.{signature}")


def test_a_secret_has_256_random_bits_and_only_letters_that_okta_allows() -> None:
    secrets = {new_secret() for _ in range(200)}

    assert len(secrets) == 200
    assert all(len(secret) == 43 and set(secret) <= BASE64URL for secret in secrets)


@given(st.text(max_size=50), st.text(max_size=50))
def test_only_the_same_secret_matches_what_was_stored(one: str, other: str) -> None:
    assert matches(one, digest(one))
    assert matches(other, digest(one)) is (one == other)


def test_every_length_of_a_wrong_secret_is_compared_with_the_same_number_of_bytes() -> None:
    """Digests are compared, and not secrets: there is no prefix to feel one's way along."""
    secret = new_secret()
    stored = digest(secret)

    assert len(stored) == 32
    for wrong in ("", "x", secret[:-1], secret + "x", "x" * 10_000):
        assert len(digest(wrong)) == len(stored)
        assert not matches(wrong, stored)
    assert not matches(secret, b"")


@given(
    st.lists(
        st.datetimes(
            min_value=datetime(2020, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
            max_value=datetime(2090, 1, 1),  # noqa: DTZ001
            timezones=st.just(UTC),
        ),
        max_size=40,
        unique_by=lambda moment: int(moment.timestamp()),
    )
)
def test_cookies_names_sort_by_the_attempts_age(moments: list[datetime]) -> None:
    names = {attempt_cookie(uuid4(), moment): moment for moment in moments}

    assert [names[name] for name in sorted(names)] == sorted(moments)


def test_a_cookies_name_is_the_same_after_the_database_cut_the_moment_short() -> None:
    attempt_id, moment = uuid4(), datetime(2026, 11, 22, 12, 0, 0, 999_999, tzinfo=UTC)
    elsewhere = moment.astimezone(tz=None)

    assert attempt_cookie(attempt_id, moment) == attempt_cookie(attempt_id, elsewhere)
    assert attempt_cookie(attempt_id, moment).startswith("__Host-attempt-")
    assert set(attempt_cookie(attempt_id, moment)) <= BASE64URL


def test_attempts_of_one_second_have_cookies_of_their_own() -> None:
    assert len({attempt_cookie(uuid4(), NOON) for _ in range(50)}) == 50


@pytest.mark.parametrize("count", [0, 1, ATTEMPT_COOKIES_KEPT])
def test_a_few_attempts_cost_no_cookie(count: int) -> None:
    names = [attempt_cookie(uuid4(), NOON + timedelta(seconds=i)) for i in range(count)]

    assert surplus_cookies(names) == []


def test_the_oldest_attempts_cookies_go_first_and_no_others() -> None:
    names = [
        attempt_cookie(uuid4(), NOON + timedelta(seconds=i))
        for i in range(ATTEMPT_COOKIES_KEPT + 3)
    ]
    others = [grower_cookie(uuid4()), "__Host-session", "another", ""]

    assert surplus_cookies([*reversed(names), *others]) == names[:3]


def browsers(count: int) -> dict[str, str]:
    """The cookies of a browser that connected one grower a minute, the oldest first."""
    cookies = {}
    for minute in range(count):
        identity = uuid4()
        with time_machine.travel(NOON + timedelta(minutes=minute), tick=False):
            cookies[grower_cookie(identity)] = LINKS.browser_value(identity)
    return cookies


@pytest.mark.parametrize("count", [0, 1, GROWER_COOKIES_KEPT])
def test_a_few_growers_cost_no_cookie(count: int) -> None:
    assert LINKS.surplus_browsers(browsers(count)) == []


def test_the_growers_of_long_ago_are_forgotten_first_and_forged_ones_before() -> None:
    cookies = browsers(GROWER_COOKIES_KEPT + 1)
    forged = {grower_cookie(uuid4()): "forged", grower_cookie(uuid4()): ""}
    others = {attempt_cookie(uuid4(), NOON): "secret", "__Host-session": "x"}

    surplus = LINKS.surplus_browsers(dict(reversed(cookies.items())) | forged | others)

    assert set(surplus[:2]) == set(forged)
    assert surplus[2:] == list(cookies)[:1]


def test_a_browsers_connections_are_read_from_its_cookies_names() -> None:
    mine, second = uuid4(), uuid4()
    names = [
        grower_cookie(mine),
        "__Host-grower-",
        "__Host-grower-not-an-id",
        "__Host-grower-" + "z" * 32,
        "__Host-session",
        attempt_cookie(uuid4(), NOON),
        grower_cookie(second),
    ]

    assert connection_ids(names) == [mine, second]
