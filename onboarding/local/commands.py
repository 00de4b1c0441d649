"""How each program is started on one machine; tests start them in the same way."""

from __future__ import annotations

import sys
from pathlib import Path

_PYTHON = (sys.executable, "-m")
_WEB_CONFIG = str(Path(__file__).resolve().parents[2] / "gunicorn.conf.py")
_SANDBOX_CONFIG = "python:onboarding.sandbox.gunicorn_conf"


def flask(*arguments: str) -> list[str]:
    """A command of the app, for example `db`, `upgrade`."""
    return [*_PYTHON, "flask", "--app", "wsgi", *arguments]


def world(residents: Path) -> list[str]:
    """Make the demo world, if nobody is there; the file is for the sandbox."""
    return [*_PYTHON, "onboarding.local.world", str(residents)]


def web(port: int) -> list[str]:
    """The web process, on loopback."""
    return [*_gunicorn(port, _WEB_CONFIG), "wsgi:app"]


def worker() -> list[str]:
    """The process that talks to Leaf."""
    return flask("worker")


def sandbox(port: int) -> list[str]:
    """The simulated John Deere and Leaf, on loopback."""
    return [*_gunicorn(port, _SANDBOX_CONFIG), "onboarding.sandbox:create_app()"]


def portal_key(slug: str, origin: str, file: Path) -> list[str]:
    """Let the sample portal show a partner's frames; the file gets its key."""
    return [*_PYTHON, "onboarding.local.portal", slug, origin, str(file)]


def portal(port: int) -> list[str]:
    """The sample portal of a partner's, on loopback."""
    return [*_gunicorn(port, _SANDBOX_CONFIG), "examples.portal:app"]


def _gunicorn(port: int, config: str) -> list[str]:
    return [*_PYTHON, "gunicorn", "--config", config, "--bind", f"127.0.0.1:{port}"]
