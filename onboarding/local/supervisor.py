"""Starts programs, waits for them, and ends all of them together."""

from __future__ import annotations

import http.client
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from urllib.parse import urlsplit

from onboarding.errors import OnboardingError
from onboarding.local.child import STOP_SECONDS, Child

POLL_SECONDS = 0.1
COMMAND_SECONDS = 120.0
"""How long a single command, such as a migration, may take."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ProgramEnded(OnboardingError):
    """A program ended, or a command failed; the message says which and shows its last output."""


class StopAsked(OnboardingError):
    """Somebody pressed Ctrl-C or sent SIGTERM."""


class Supervisor:
    """The programs of one run. Use it as a context; on leaving, all of them are ended."""

    def __init__(self, environ: Mapping[str, str], say: Callable[[str, str], None]) -> None:
        """
        :param environ: the whole environment of every program
        :param say: called with a program's name and a line of its output, from any thread
        """
        self._environ = environ
        self._say = say
        self._children: list[Child] = []
        self._stop_asked = threading.Event()

    def __enter__(self) -> Supervisor:
        for number in SIGNALS:
            signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for child in self._children:
                child.ask_to_stop()
            deadline = time.monotonic() + STOP_SECONDS
            for child in self._children:
                child.stop(max(0.0, deadline - time.monotonic()))
        finally:  # also when asked a second time
            for child in self._children:
                child.kill()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._stop_asked.is_set():
            raise KeyboardInterrupt  # asked twice: wait for nothing any more
        self._stop_asked.set()

    def start(
        self, name: str, command: Sequence[str], environ: Mapping[str, str] | None = None
    ) -> None:
        """Start a program that is to run until the end.

        :param environ: its whole environment; None: that of every program
        """

        def sink(line: str) -> None:
            self._say(name, line)

        own = self._environ if environ is None else environ
        self._children.append(Child(name, command, env=own, sink=sink))

    def command(self, name: str, command: Sequence[str]) -> str:
        """Run a command to its end.

        :return: what it printed on standard output
        :raise ProgramEnded: if it fails
        :raise StopAsked: if that was asked meanwhile; the command was not interrupted
        """
        done = subprocess.run(  # noqa: S603 - commands of our own
            command,
            env=dict(self._environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            start_new_session=True,
            check=False,
        )
        if done.returncode:
            raise ProgramEnded(_ended(name, done.returncode, done.stdout + done.stderr))
        self._look()
        return done.stdout

    def wait_until(self, ready: Callable[[], bool], *, limit: float, what: str) -> None:
        """Wait for something that the started programs do.

        :param limit: seconds
        :raise ProgramEnded: as soon as one of them ends, or at the limit
        :raise StopAsked: as soon as that is asked
        """
        deadline = time.monotonic() + limit
        while not ready():
            self._look()
            if time.monotonic() > deadline:
                raise ProgramEnded(f"Waited {limit:.0f} seconds in vain for {what}.")
            self._stop_asked.wait(POLL_SECONDS)
        self._look()

    def watch(self) -> None:
        """Wait until somebody asks to stop, or a program ends.

        :raise ProgramEnded: if a program ended
        :raise StopAsked: when asked to stop
        """
        while True:
            self._look()
            self._stop_asked.wait(POLL_SECONDS)

    def _look(self) -> None:
        if self._stop_asked.is_set():
            raise StopAsked
        for child in self._children:
            if child.status is not None:
                raise ProgramEnded(_ended(child.name, child.status, child.last_output()))


def answers(url: str, *, host: str | None = None) -> bool:
    """Whether a GET of a URL on this machine is answered with 200.

    :param host: what to send as `Host`, if the name in the URL is not the one it is known by
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    try:
        connection.request("GET", parts.path, headers={"Host": host} if host else {})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _ended(name: str, status: int, output: str) -> str:
    how = f"exit status {status}" if status >= 0 else signal.Signals(-status).name
    return f"{output.rstrip()}\n\n{name} ended ({how}); its last output is above."
