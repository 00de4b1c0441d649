"""How each program is started on one machine; tests start them in the same way."""

from __future__ import annotations

import sys
from pathlib import Path

_PYTHON = (sys.executable, "-m")
_CONFIG = str(Path(__file__).resolve().parents[2] / "gunicorn.conf.py")


def flask(*arguments: str) -> list[str]:
    """A command of the app, for example `db`, `upgrade`."""
    return [*_PYTHON, "flask", "--app", "wsgi", *arguments]


def web(port: int) -> list[str]:
    """The web process, on loopback."""
    return [*_gunicorn(port), "wsgi:app"]


def worker() -> list[str]:
    """The process that talks to Leaf."""
    return flask("worker")


def sandbox(port: int) -> list[str]:
    """The simulated John Deere and Leaf: one process, since it keeps its faults in memory."""
    return [
        *_gunicorn(port),
        "--workers",
        "1",
        "--threads",
        "64",
        "onboarding.sandbox:create_app()",
    ]


def _gunicorn(port: int) -> list[str]:
    return [*_PYTHON, "gunicorn", "--config", _CONFIG, "--bind", f"127.0.0.1:{port}"]
