"""A production start: the processes of `Procfile`."""

from __future__ import annotations

import base64
import logging
import os
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.stack import ROOT

SECONDS = 60.0
REQUIRED = (
    "SECRET_KEY",
    "ENCRYPTION_KEYS",
    "PUBLIC_URL",
    "DEERE_CLIENT_KEY",
    "DEERE_CLIENT_SECRET",
    "DEERE_ENVIRONMENT",
    "LEAF_USERNAME",
    "LEAF_PASSWORD",
)
PROCESSES = dict(
    line.split(": ", maxsplit=1) for line in (ROOT / "Procfile").read_text().splitlines()
)


def test_the_processes_are_release_web_and_worker() -> None:
    assert list(PROCESSES) == ["release", "web", "worker"]


@pytest.mark.parametrize("name", PROCESSES)
def test_without_settings_it_names_all_of_them_at_once_and_ends(name: str, tmp_path: Path) -> None:
    python, *arguments = shlex.split(PROCESSES[name])
    assert python == "python"
    (tmp_path / "gunicorn.conf.py").symlink_to(ROOT / "gunicorn.conf.py")
    done = subprocess.run(
        [sys.executable, *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PORT": str(free_port())},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    message = next(line for line in done.stderr.splitlines() if "Missing settings:" in line)
    assert {one.strip() for one in message.partition(":")[2].split(",")} == set(REQUIRED)
    assert "Traceback" not in done.stderr
    assert "sandbox" not in (done.stdout + done.stderr).lower()


@pytest.mark.parametrize("name", PROCESSES)
def test_clock_that_can_be_moved_is_refused(name: str, tmp_path: Path) -> None:
    _, *arguments = shlex.split(PROCESSES[name])
    (tmp_path / "gunicorn.conf.py").symlink_to(ROOT / "gunicorn.conf.py")
    clock = tmp_path / "sandbox.clock"
    clock.write_text("86400\n")
    complete = {
        "SECRET_KEY": "s" * 40,
        "ENCRYPTION_KEYS": base64.urlsafe_b64encode(b"k" * 32).decode(),
        "PUBLIC_URL": "https://connect.example",
        "DEERE_CLIENT_KEY": "key",
        "DEERE_CLIENT_SECRET": "secret",
        "DEERE_ENVIRONMENT": "PRODUCTION",
        "LEAF_USERNAME": "someone@example.com",
        "LEAF_PASSWORD": "password",
        "SANDBOX_CLOCK": str(clock),
    }
    done = subprocess.run(
        [sys.executable, *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PORT": str(free_port())}
        | complete,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "SANDBOX_CLOCK moves the time and is for the sandbox alone" in done.stderr
    assert "Traceback" not in done.stderr


class TestGunicornsOwnLog:
    """gunicorn reports a broken request with its whole address."""

    @pytest.fixture
    def log(self, caplog: pytest.LogCaptureFixture) -> Iterator[logging.Logger]:
        without_secrets = runpy.run_path(str(ROOT / "gunicorn.conf.py"))["WithoutSecrets"]
        logger = logging.getLogger("tests.gunicorn")
        one = without_secrets()
        logger.addFilter(one)
        with caplog.at_level(logging.INFO, logger.name):
            yield logger
        logger.removeFilter(one)

    def test_an_error_names_the_way_but_no_link_code_or_state(
        self, log: logging.Logger, caplog: pytest.LogCaptureFixture
    ) -> None:
        log.error("Error handling request %s %s", "GET", "/deere/callback?code=c0de&state=st4te")
        log.error("Error handling request %s %s", "POST", "/c/l1nk.s1gn/start")
        assert caplog.messages == [
            "Error handling request GET /deere/callback?…",
            "Error handling request POST /c/…/start",
        ]

    def test_an_unreadable_request_is_not_quoted(
        self, log: logging.Logger, caplog: pytest.LogCaptureFixture
    ) -> None:
        try:
            raise ValueError("Cookie: s3cret")
        except ValueError as err:
            log.warning("Invalid request from ip=%s: %s", "203.0.113.5", err)
        assert caplog.messages == ["Invalid request: ValueError"]
