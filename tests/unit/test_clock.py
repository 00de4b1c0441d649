"""The clock: the machine's, or ahead of it by what a file says that the sandbox alone writes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from onboarding import clock, create_app
from onboarding.app import DatedSessions
from onboarding.clock import Span
from onboarding.connections import pace
from onboarding.connections.pace import NotNow, Rank, Turns
from onboarding.connections.pace.closing import FAILURES_OF_AN_OUTAGE
from onboarding.db import Database
from onboarding.errors import InputInvalid, SettingsInvalid, UpstreamUnavailable
from onboarding.links import Links
from onboarding.sandbox.clock import FARTHEST, Clock
from tests.unit.conftest import SettingsFor
from tests.unit.failures import Server

DAY = timedelta(days=1)
DAY_SECONDS = 86_400
A_MOMENT = timedelta(minutes=1)
"""No test takes so long between two looks at the clock."""


@pytest.fixture(autouse=True)
def real_again() -> Iterator[None]:
    yield
    clock.follow(None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "sandbox.clock"


def is_ahead_by(expected: timedelta) -> bool:
    """Whether everything that tells the time agrees."""
    real = clock.real()
    told = (clock.now(), datetime.fromtimestamp(clock.seconds(), UTC), clock.as_shown(real))
    return all(abs(moment - real - expected) < A_MOMENT for moment in told)


def test_time_is_the_machines_unless_told_otherwise() -> None:
    assert is_ahead_by(timedelta(0))
    assert abs(clock.real() - datetime.now(UTC)) < A_MOMENT


def test_clock_that_is_followed_moves_at_once_and_adds_up(file: Path) -> None:
    sandbox = Clock(file)
    assert is_ahead_by(timedelta(0))
    for days in range(1, 4):
        sandbox.move(DAY_SECONDS)
        assert is_ahead_by(days * DAY)
        assert abs(clock.real() - datetime.now(UTC)) < A_MOMENT
    assert sandbox.shown()["seconds_ahead"] == 3 * DAY_SECONDS


def test_restart_of_the_sandbox_leaves_the_clock_where_it_was(file: Path) -> None:
    Clock(file).move(DAY_SECONDS)
    clock.follow(None)
    Clock(file)
    assert is_ahead_by(DAY)


def test_clock_that_is_reset_is_the_machines_again(file: Path) -> None:
    sandbox = Clock(file)
    sandbox.move(DAY_SECONDS)
    sandbox.reset()
    assert is_ahead_by(timedelta(0))


def test_clock_whose_sandbox_has_never_run_is_the_machines(file: Path) -> None:
    clock.follow(file)
    assert is_ahead_by(timedelta(0))


@pytest.mark.parametrize("content", ["", "soon", "1.5.2", "9" * 400])
def test_file_that_is_no_clock_is_refused_at_the_start(file: Path, content: str) -> None:
    file.parent.mkdir()
    file.write_text(content)
    with pytest.raises(SettingsInvalid, match=r"SANDBOX_CLOCK: .*sandbox\.clock is no clock"):
        clock.follow(file)


def test_file_that_is_spoilt_while_it_is_followed_leaves_the_time_as_it_was(file: Path) -> None:
    Clock(file).move(DAY_SECONDS)
    assert is_ahead_by(DAY)
    file.write_text("soon")
    assert is_ahead_by(DAY)


def test_file_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(SettingsInvalid, match="SANDBOX_CLOCK"):
        Clock(tmp_path / "taken" / "sandbox.clock")


@pytest.mark.parametrize(
    ("seconds", "why"),
    [
        (-1, "only goes ahead, never back. Forget everything puts it back"),
        (int(FARTHEST.total_seconds()) + 1, "at most 3650 days ahead"),
        (1.5, "a whole number"),
        ("60", "a whole number"),
        (None, "a whole number"),
        (True, "a whole number"),
    ],
)
def test_move_that_cannot_be_is_refused_and_changes_nothing(
    file: Path, seconds: object, why: str
) -> None:
    sandbox = Clock(file)
    with pytest.raises(InputInvalid, match=why):
        sandbox.move(seconds)
    assert is_ahead_by(timedelta(0))


def test_clock_without_a_file_cannot_be_moved_and_says_what_to_set() -> None:
    sandbox = Clock(None)
    with pytest.raises(InputInvalid, match="set SANDBOX_CLOCK to the same file"):
        sandbox.move(DAY_SECONDS)
    sandbox.reset()
    assert is_ahead_by(timedelta(0))


@pytest.fixture
def threads_take_turns_often() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("threads_take_turns_often")
def test_threads_that_look_while_it_moves_never_see_it_go_back(file: Path) -> None:
    sandbox = Clock(file)
    stopped = threading.Event()
    steps_back: list[timedelta] = []

    def look() -> None:
        latest = timedelta(0)
        while not stopped.is_set():
            ahead = clock.ahead()
            if ahead < latest:
                steps_back.append(latest - ahead)
            latest = ahead

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        sandbox.move(1)
        assert clock.ahead() == timedelta(seconds=sandbox.shown()["seconds_ahead"])
    stopped.set()
    for thread in threads:
        thread.join()
    assert clock.ahead() == timedelta(seconds=200)
    assert steps_back == []


def test_cookie_of_a_browser_ages_with_the_clock(file: Path) -> None:
    links, identity = Links("a-secret-key-for-tests-of-32-chars"), uuid4()
    sandbox = Clock(file)
    value = links.browser_value(identity)
    sandbox.move(89 * DAY_SECONDS)
    assert links.is_browser_of(identity, value)
    sandbox.move(2 * DAY_SECONDS)
    assert not links.is_browser_of(identity, value)


def test_session_of_a_browser_ages_with_the_clock(
    server: Server, settings_for: SettingsFor, file: Path
) -> None:
    database_url = f"sqlite:///{file.with_name('test.sqlite')}"
    app = create_app(settings_for(server.http, database_url=database_url, sandbox_clock=file))
    sandbox, sessions = Clock(file), app.session_interface
    assert isinstance(sessions, DatedSessions)
    serializer = sessions.get_signing_serializer(app)
    assert serializer is not None
    cookie = f"__Host-session={serializer.dumps({'csrf_token': 'kept'})}"

    def session_now() -> dict[str, str]:
        with app.test_request_context(headers={"Cookie": cookie}) as context:
            return dict(context.session)

    sandbox.move(30 * DAY_SECONDS)
    assert session_now() == {"csrf_token": "kept"}
    sandbox.move(2 * DAY_SECONDS)
    assert session_now() == {}
    app.extensions["onboarding"].database.engine.dispose()


def test_app_without_the_setting_does_not_follow(
    server: Server, settings_for: SettingsFor, file: Path
) -> None:
    Clock(file).move(DAY_SECONDS)
    database_url = f"sqlite:///{file.with_name('test.sqlite')}"
    app = create_app(settings_for(server.http, database_url=database_url))
    assert is_ahead_by(timedelta(0))
    app.extensions["onboarding"].database.engine.dispose()


def test_outage_lasts_its_real_time_and_is_shown_beside_the_dates_of_the_clock(
    fresh_database: Database, file: Path
) -> None:
    turns = Turns(fresh_database, per_minute=60)
    for _ in range(FAILURES_OF_AN_OUTAGE):
        turns.tell(UpstreamUnavailable("Leaf", "ask", status=503))
    Clock(file).move(30 * DAY_SECONDS)
    with pytest.raises(NotNow):
        turns.take(Rank.ROUTINE, can_wait=True)
    with fresh_database.reading() as session:
        since = pace.word(session).down_since
    assert since is not None
    assert abs(clock.now() - since) < A_MOMENT


@pytest.mark.parametrize(
    ("moment", "holds"), [(9.9, False), (10.0, True), (19.9, True), (20.0, False)]
)
def test_span_ends_on_both_sides(moment: float, holds: bool) -> None:
    assert Span(10.0, 20.0).holds(moment) is holds
    assert not Span().holds(moment)
