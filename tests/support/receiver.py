"""A partner's server that takes webhooks, well or badly, on a real socket."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

INTERIM = b"HTTP/1.1 102 \r\n\r\n" * 4096
"""Answers that say that there will be one."""


@dataclass
class Taken:
    """One request."""

    path: str
    headers: dict[str, str]
    body: str
    answered: int

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def read(self, secret: str) -> dict[str, Any]:
        """What it says, if the library of receivers finds it signed with the secret."""
        said = Webhook(secret).verify(self.body, self.headers)
        assert isinstance(said, dict)
        return said


@dataclass
class Receiver:
    """What the server is to do, by path, and what has come."""

    url: str
    statuses: dict[str, int] = field(default_factory=dict)
    """By path; 204 if it is not among them."""
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    cut_off: list[str] = field(default_factory=list)
    """Paths of what was to be without end."""
    released: threading.Event = field(default_factory=threading.Event)
    """Ends what hangs."""

    def at(self, path: str) -> list[Taken]:
        return [one for one in self.taken if one.path == path]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A server on loopback: `/hang` never answers, `/huge` answers without end, `/begins` begins
    to without end, and `/goes-on`, once it is released, after its answer."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Else the second half of each answer waits for an acknowledgement.
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status = receiver.statuses.get(self.path, 204)
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.taken.append(Taken(self.path, headers, body, status))
            if self.path == "/hang":
                receiver.released.wait()
            if self.path == "/begins":
                self.flood(INTERIM)
                return
            self.send_response(status)
            for name, value in receiver.headers.get(self.path, {}).items():
                self.send_header(name, value)
            if self.path == "/huge":
                self.send_header("Connection", "close")
                self.end_headers()
                self.flood(b"x" * 65536)
                return
            text = b"" if status == 204 else b'{"detail": "no, because"}'
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            if self.path == "/goes-on":
                receiver.released.wait()
                self.flood(INTERIM)

        def flood(self, what: bytes) -> None:
            self.close_connection = True
            until = time.monotonic() + 30
            while time.monotonic() < until:
                try:
                    self.wfile.write(what)
                except OSError:
                    receiver.cut_off.append(self.path)
                    return

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        server.server_close()
