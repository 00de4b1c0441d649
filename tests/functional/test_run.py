"""`make run`: what a person sees who has nothing but a checkout."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
import requests

from onboarding.local.child import Child
from onboarding.local.plan import REAL_SERVICES
from tests.support.grower import Grower
from tests.support.page import Page
from tests.support.ports import free_ports
from tests.support.stack import INHERITED, ROOT
from tests.support.wait import wait_until

START_SECONDS = 120.0
STOP_SECONDS = 60.0
REAL = {
    "DEERE_CLIENT_KEY": "key",
    "DEERE_CLIENT_SECRET": "secret",
    "DEERE_ENVIRONMENT": "STAGE",
    "LEAF_USERNAME": "someone@example.com",
    "LEAF_PASSWORD": "password",
}
PUBLIC_URL = "https://connect.example"
Run = Callable[..., "Running"]


class Running:
    """`python -m onboarding.local` in a folder of its own."""

    def __init__(self, folder: Path, more: Mapping[str, str], arguments: tuple[str, ...]) -> None:
        self.port, self.sandbox_port, self.mail_port, self.portal_port = free_ports(4)
        self.lines: list[str] = []
        environ = {name: os.environ[name] for name in INHERITED if name in os.environ}
        environ |= {"PYTHONPATH": str(ROOT), "PORT": str(self.port), "EMPTY": "1"}
        environ |= {"SANDBOX_PORT": str(self.sandbox_port)}
        environ |= {"SANDBOX_MAIL_PORT": str(self.mail_port)}
        environ |= {"PORTAL_PORT": str(self.portal_port)}
        self.child = Child(
            "run",
            [sys.executable, "-m", "onboarding.local", *arguments],
            env=environ | dict(more),
            cwd=folder,
            sink=self.lines.append,
            stop_with=signal.SIGINT,
        )

    @property
    def output(self) -> str:
        """What it printed so far."""
        return "\n".join(self.lines)

    def wait_for(self, text: str) -> None:
        """Wait until it has printed a text."""

        def printed() -> bool:
            assert text in self.output or self.child.status is None, self.output
            return text in self.output

        wait_until(printed, what=f"{text!r} is printed", limit=START_SECONDS)

    def ended(self) -> int:
        """Wait until it has ended by itself; its exit status."""
        wait_until(lambda: self.child.status is not None, what="it ends", limit=START_SECONDS)
        self.child.last_output()
        assert self.child.status is not None
        return self.child.status


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """`run(*arguments, **settings)`: start it; it is ended after the test."""
    started: list[Running] = []

    def start(*arguments: str, **settings: str) -> Running:
        started.append(Running(tmp_path, settings, arguments))
        return started[-1]

    yield start
    for one in started:
        one.child.stop(STOP_SECONDS)


def commands_in(folder: Path) -> dict[int, str]:
    """The commands of processes that work in a folder, by their ids."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if Path(os.readlink(process / "cwd")) == folder:
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(process.name)] = command.decode().strip()
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue  # it has ended meanwhile, or it is not ours
    return found


def _wait_for_mail(inbox: str, subject: str) -> None:
    wait_until(
        lambda: subject in requests.get(inbox, timeout=30).text,
        what=f"a mail has come: {subject}",
    )


def _number(folder: Path, table: str) -> int:
    with closing(sqlite3.connect(folder / "instance" / "with-sandbox.sqlite")) as database:
        number: int = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - a table of ours
    return number


def _look_at_the_portal(running: Running) -> None:
    """It has a token for a frame, and the frame knows where the grower stands."""
    found = re.search(r"A partner's portal, with the frame: (http://\S+)", running.output)
    assert found is not None
    page = requests.get(found[1], timeout=30).text
    token = re.search(r'<connect-john-deere partner="heartland" token="([^"]+)"', page)
    assert token is not None
    app = f"http://localhost:{running.port}"
    frame = requests.get(f"{app}/embed/heartland", timeout=30)
    assert f"frame-ancestors https://portal.heartland-coop.example {found[1]};" in (
        f"{frame.headers['Content-Security-Policy']};"
    )
    bearer = {"Authorization": f"Bearer {token[1]}"}
    state = requests.get(f"{app}/embed/heartland/state", headers=bearer, timeout=30).json()
    assert (state["event"], state["comes_back"]) == ("ready", True)


def test_without_settings_the_sandbox_starts_and_a_grower_can_connect(
    run: Run, tmp_path: Path
) -> None:
    running = run(EMPTY="")
    running.wait_for("Stop: Ctrl-C")
    assert "SANDBOX: NOTHING HERE REACHES JOHN DEERE OR LEAF" in running.output
    assert re.search(r"^ +one-farm +One organization", running.output, re.MULTILINE)
    link = re.search(r"A grower's link: +(http://\S+/c/\S+)", running.output)
    assert link is not None
    inbox = re.search(r"Mails to growers: (http://\S+/mail)", running.output)
    assert inbox is not None
    _wait_for_mail(inbox[1], "Heartland Grain Co-op asks for your John Deere data")
    grower = Grower(link[1])
    grower.connect("one-farm")
    grower.wait_for(lambda page: page.main["data-polling"] == "false", what="the hand-over is done")
    assert grower.page.heading == "Connected"
    grower.close()
    _wait_for_mail(inbox[1], "Heartland Grain Co-op: John Deere is connected")
    for kept in ("local-keys.env", "portal-key"):
        assert (tmp_path / "instance" / kept).stat().st_mode & 0o777 == 0o600
    _look_at_the_portal(running)

    assert running.child.stop(STOP_SECONDS) == 0
    assert "Stopped." in running.output
    wait_until(lambda: commands_in(tmp_path) == {}, what="all have ended", limit=STOP_SECONDS)
    assert (_number(tmp_path, "partner"), _number(tmp_path, "grower")) == (3, 2002)

    printed = re.search(r"admin@sandbox.example +(\S+) +administrator", running.output)
    assert printed is not None
    again = run(EMPTY="")
    again.wait_for("Stop: Ctrl-C")
    assert printed[1] not in again.output
    assert (_number(tmp_path, "partner"), _number(tmp_path, "grower")) == (3, 2002)


def test_the_sandbox_starts_empty_if_it_is_asked_to(run: Run, tmp_path: Path) -> None:
    running = run()
    running.wait_for("Stop: Ctrl-C")
    inbox = re.search(r"Mails to growers: (http://\S+/mail)", running.output)
    assert inbox is not None
    _wait_for_mail(inbox[1], "Demo Co-op asks for your John Deere data")
    assert (_number(tmp_path, "partner"), _number(tmp_path, "grower")) == (1, 1)


def test_commands_that_it_shows_do_what_they_say_as_typed(run: Run, tmp_path: Path) -> None:
    running = run()
    running.wait_for("Stop: Ctrl-C")
    command = re.search(r"^ +(.* link) SLUG", running.output, re.MULTILINE)
    assert command is not None
    made = subprocess.run(
        ["bash", "-c", f"{command[1]} demo --external-id 7 --name 'Oak Hollow'"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert made.stdout.startswith(f"http://localhost:{running.port}/c/"), made.stderr
    grower = Grower(made.stdout.strip())
    assert grower.open().status == 200
    grower.close()


def test_everything_that_it_started_follows_the_clock_of_the_sandbox(
    run: Run, tmp_path: Path
) -> None:
    running = run()
    running.wait_for("Stop: Ctrl-C")
    link = re.search(r"A grower's link: +(http://\S+/c/\S+)", running.output)
    assert link is not None
    moved = requests.post(
        f"http://127.0.0.1:{running.sandbox_port}/control/clock",
        json={"seconds": 15 * 86_400},
        timeout=30,
    )
    assert moved.status_code == 200
    grower = Grower(link[1])
    assert grower.open().heading == "This link has expired"
    grower.close()
    assert int((tmp_path / "instance" / "sandbox.clock").read_text()) == 15 * 86_400

    assert running.child.stop(STOP_SECONDS) == 0
    with_real_services = run(**REAL | {"SANDBOX_CLOCK": "instance/sandbox.clock"})
    assert with_real_services.ended() == 2
    assert "SANDBOX_CLOCK moves the time" in with_real_services.output


def test_when_a_program_ends_everything_stops_and_says_which(run: Run, tmp_path: Path) -> None:
    running = run()
    running.wait_for("Stop: Ctrl-C")
    (worker,) = (
        pid for pid, command in commands_in(tmp_path).items() if command.endswith("wsgi worker")
    )
    os.kill(worker, signal.SIGKILL)
    assert running.ended() == 1
    assert "worker ended (SIGKILL)" in running.output
    wait_until(lambda: commands_in(tmp_path) == {}, what="all have ended", limit=STOP_SECONDS)


def test_when_it_is_killed_nothing_is_left_behind(run: Run, tmp_path: Path) -> None:
    running = run()
    running.wait_for("Stop: Ctrl-C")
    running.child.kill()
    wait_until(lambda: commands_in(tmp_path) == {}, what="all end", limit=STOP_SECONDS)


def test_with_all_settings_the_real_services_are_used_and_no_sandbox_starts(run: Run) -> None:
    running = run(**REAL)
    running.wait_for("Stop: Ctrl-C")
    assert "THE REAL JOHN DEERE (STAGE) AND THE REAL LEAF" in running.output
    assert "/deere/organizations" in running.output
    assert "sandbox" not in running.output.lower()


def test_with_real_services_every_page_says_so_even_in_production_behind_https(run: Run) -> None:
    running = run(**REAL | {"DEERE_ENVIRONMENT": "PRODUCTION", "PUBLIC_URL": PUBLIC_URL})
    running.wait_for("Stop: Ctrl-C")
    assert "THE REAL JOHN DEERE (PRODUCTION) AND THE REAL LEAF" in running.output
    page = Page.of(requests.get(f"http://127.0.0.1:{running.port}/nothing", timeout=30))
    assert "Local run against the real John Deere and Leaf." in " ".join(page.text.split())


@pytest.mark.parametrize("name", ["DEERE_API_URL", "LEAF_API_URL"])
def test_a_real_and_a_simulated_service_at_once_are_refused(run: Run, name: str) -> None:
    running = run(**REAL | {name: "http://127.0.0.1:9/"})
    assert running.ended() == 2
    assert f"{name}: on this machine, but not DEERE_METADATA_URL" in running.output


def test_with_some_settings_it_names_the_missing_ones_and_starts_nothing(run: Run) -> None:
    running = run(LEAF_USERNAME="someone@example.com", DEERE_CLIENT_KEY="key")
    assert running.ended() == 2
    named = running.output.splitlines()[0].partition(": ")[2].split(", ")
    assert named == [
        one for one in REAL_SERVICES if one not in {"LEAF_USERNAME", "DEERE_CLIENT_KEY"}
    ]


def test_settings_come_from_a_file_too(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LEAF_USERNAME=someone@example.com\nLEAF_PASSWORD=\n")
    running = run()
    assert running.ended() == 2
    assert "LEAF_PASSWORD" in running.output.splitlines()[0]


@pytest.mark.parametrize("name", ["PORT", "SANDBOX_PORT", "SANDBOX_MAIL_PORT", "PORTAL_PORT"])
def test_a_busy_port_is_named_with_the_way_out(run: Run, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        running = run(**{name: str(port)})
        assert running.ended() == 2
    assert f"Port {port} can't be used" in running.output
    assert f"make run {name}={port + 10}" in running.output
    assert "Traceback" not in running.output


def test_commands_run_with_the_same_settings(run: Run, tmp_path: Path) -> None:
    assert run("db", "upgrade").ended() == 0
    assert run("partner", "add", "prairie", "--name", "Prairie Co-op").ended() == 0
    made = run("link", "prairie", "--external-id", "7", "--name", "Oak Hollow")
    assert made.ended() == 0
    assert re.search(r"^http://localhost:\d+/c/\S+$", made.output, re.MULTILINE)
