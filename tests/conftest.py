"""What all tests share. Tests that need a server or a browser name the fixture."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from onboarding import clock
from tests.support import browser as browsers
from tests.support import network
from tests.support.control import Control
from tests.support.postgres import Cluster, programs
from tests.support.receiver import Receiver, receiving
from tests.support.stack import ROOT, Stack

IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}
QUIETED = ("authlib", "dbos", "urllib3")
LOG_CHARS = 4000
NOT_RUN = "not run"


def pytest_configure() -> None:
    """Before anything else: no test reaches another machine."""
    network.allow_loopback_only()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Judge what could not run, and show the processes' output beside a failure."""
    report = yield
    _judge_skipped(report)
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and isinstance(stack, Stack):
        report.sections += [(f"{name}.log", log[-LOG_CHARS:]) for name, log in stack.logs().items()]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Judge the files that could not run."""
    report = yield
    _judge_skipped(report)
    return report


def _judge_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    place = report.longrepr
    reason = place[2] if isinstance(place, tuple) else str(place)
    reason = reason.removeprefix("Skipped: ")
    # In the report: the process that runs a test is not always the one that sums up.
    report.sections.append((NOT_RUN, reason))
    if IN_CI:
        report.outcome = "failed"
        report.longrepr = f"Could not run, which with CI=true is a failure: {reason}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what could not run, and why."""
    reasons: dict[str, set[str]] = {}
    for category in ("skipped", "failed", "error"):
        for report in terminalreporter.getreports(category):
            for kind, reason in report.sections:
                if kind == NOT_RUN:
                    reasons.setdefault(reason, set()).add(report.nodeid)
    for reason, tests in reasons.items():
        terminalreporter.section(NOT_RUN, red=True)
        terminalreporter.line(f"{len(tests)} could not run: {reason}", red=True)


@pytest.fixture(scope="module", autouse=True)
def loggers() -> Iterator[None]:
    """Apps that a file's tests make set the levels of loggers; the next file has them as before."""
    levels = {name: logging.getLogger(name).level for name in QUIETED}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL server of this test run; `new_database()` gives the URL of an empty one."""
    folder = programs()
    if folder is None:
        pytest.skip("PostgreSQL is not installed (as root `make test` installs it)")
    cluster = Cluster(folder)
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of an empty database: everything that asks for it runs on both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('database')}/test.sqlite"
    cluster: Cluster = request.getfixturevalue("postgres")
    return cluster.new_database()


@pytest.fixture(scope="session")
def running_stack(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Sandbox, web and worker on one kind of database, started once. Ask for `stack` instead."""
    stack = Stack(tmp_path_factory.mktemp("stack"), database)
    try:
        stack.start()
        yield stack
    finally:
        stack.close()


@pytest.fixture
def stack(running_stack: Stack) -> Iterator[Stack]:
    """Sandbox as new, web and worker `w1`, all running; a test may kill them.

    The app's database still holds the growers of earlier tests: use a new `external_id`.
    """
    running_stack.restore()
    clock.follow(running_stack.clock)  # so that what a test does itself happens at the same time
    yield running_stack
    clock.follow(None)


@pytest.fixture
def control(stack: Stack) -> Control:
    """The control API of the stack's sandbox."""
    return stack.control


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A partner's server that takes webhooks."""
    with receiving() as found:
        yield found


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Chromium without a window; `tests.support.browser.visitor` makes people of it."""
    if reason := browsers.missing():
        pytest.skip(f"{reason} (as root `make test` installs what is needed)")
    with sync_playwright() as playwright:
        browser = browsers.launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """The folder for screenshots and reports; git ignores it."""
    folder = ROOT / "artifacts"
    folder.mkdir(exist_ok=True)
    return folder
