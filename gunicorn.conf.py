"""How gunicorn serves the web process (`Procfile`, and `make run`)."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import Any

from onboarding import settings
from onboarding.errors import SettingsInvalid

environment = settings.read_environment()


def _number(name: str, default: int) -> int:
    text = environment.get(name, "").strip() or str(default)
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        sys.exit(f"\n{name} must be a whole number, 1 to 65535; {text!r} is not.\n")
    return int(text)


bind = f"0.0.0.0:{_number('PORT', 8000)}"

# Threads, since a request may wait seconds for John Deere's token endpoint; a sync worker would
# stand still meanwhile. Such a request holds a thread and nothing else (no database connection).
worker_class = "gthread"
workers = _number("WEB_CONCURRENCY", 2)
threads = _number("WEB_THREADS", 32)

# Off: every worker builds its own application, so no database connection or lock is ever shared
# through a fork, and a SIGHUP takes up new code and settings.
preload_app = False

# `timeout` is about the worker's heartbeat, not about a request: a slow upstream doesn't count.
timeout = 60
graceful_timeout = 30
# Longer than the 60 seconds that proxies commonly keep an idle connection, so that the proxy and
# not we close it; the other way round a request now and then meets a closing socket.
keepalive = 75
# Workers tell by a file that they live; on a disk, a slow write looks like a hung worker.
IN_MEMORY = "/dev/shm"  # noqa: S108 - gunicorn makes a file of a random name there, and unlinks it
if Path(IN_MEMORY).is_dir():
    worker_tmp_dir = IN_MEMORY

# The application itself believes as many proxies as TRUSTED_PROXIES says; gunicorn believes none.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}

# It would open a socket in $HOME through which workers can be managed. Nobody here uses it.
control_socket_disable = True

# The application logs its requests without link tokens and queries; an access log has both.
accesslog = None
errorlog = "-"

_QUERY = re.compile(r"\?\S*")
_LINK = re.compile(r"(/c/)[^/\s]+")


class WithoutSecrets(logging.Filter):
    """Keeps codes, states, link tokens and cookies out of what gunicorn itself has to report."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if text.startswith("Invalid request from"):
            # Its detail quotes the request line or a header as they were sent.
            kind = sys.exc_info()[0]
            text = f"Invalid request: {kind.__name__ if kind else 'unreadable'}"
        record.msg = _LINK.sub(r"\1…", _QUERY.sub("?…", text))
        record.args = ()
        return True


def on_starting(server: Any) -> None:
    """Runs in the master before it forks; the workers inherit the filter."""
    try:
        settings.load()
    except SettingsInvalid as err:
        sys.exit(f"\n{err}\n")  # else each worker would say it amid tracebacks
    server.log.error_log.addFilter(WithoutSecrets())
