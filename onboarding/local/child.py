"""A program that this process started, together with everything which that program started."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

TAIL_LINES = 25
"""How much of a program's last output is kept, to tell why it ended."""
STOP_SECONDS = 8.0
"""How long a program may take to end by itself."""
REAP_SECONDS = 5.0
"""How long a killed program may take to be gone, and its output to be read."""


class Child:
    """A running program in a process group of its own, so that Ctrl-C reaches only us.

    Start it from the main thread: where Linux allows it, the program is told to stop when the
    thread that started it is gone, however that came about.

    :ivar name: what people call it
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        sink: Callable[[str], None],
        cwd: Path | None = None,
        stop_with: signal.Signals = signal.SIGTERM,
    ) -> None:
        """Start it.

        :param sink: called with each line of its output, from a thread of its own
        :param stop_with: the signal that asks this program to end
        """
        self.name = name
        self._stop_with = stop_with
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._process = subprocess.Popen(  # noqa: S603 - commands of our own
            [*_bound_to_us(stop_with), *command],
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(sink,), daemon=True)
        self._reader.start()

    def _read(self, sink: Callable[[str], None]) -> None:
        output = self._process.stdout
        for line in output or ():
            self._tail.append(line.rstrip("\n"))
            sink(line.rstrip("\n"))
        if output:
            output.close()

    @property
    def pid(self) -> int:
        """Its process id, which is also the id of its process group."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status (negative: the signal that ended it), or None while it runs."""
        return self._process.poll()

    def last_output(self) -> str:
        """The last lines of an ended program; waits until they have been read."""
        self._reader.join(REAP_SECONDS)
        return "\n".join(self._tail)

    def ask_to_stop(self) -> None:
        """Ask it to end; does not wait. Its own children are its own affair."""
        if self.status is None:
            self._process.send_signal(self._stop_with)

    def stop(self, limit: float = STOP_SECONDS) -> int:
        """Ask it to end, then end it with all that it started.

        :param limit: seconds until it is killed
        :return: its exit status
        """
        self.ask_to_stop()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(limit)
        return self.kill()

    def kill(self) -> int:
        """End it and all that it started at once, as a power cut would (`kill -9`).

        :return: its exit status
        """
        with suppress(ProcessLookupError):  # all of them have ended
            os.killpg(self.pid, signal.SIGKILL)
        status = self._process.wait(REAP_SECONDS)
        self._reader.join(REAP_SECONDS)
        return status


def _bound_to_us(stop_with: signal.Signals) -> list[str]:
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", stop_with.name.removeprefix("SIG"), "--"] if setpriv else []
