"""An app of this process on a real port, for settings that the stack's web does not have."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from onboarding import create_app, settings
from tests.support.ports import free_port


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving(environment: Mapping[str, str], folder: Path) -> Iterator[str]:
    """The origin of a running app.

    :param environment: its settings; `PUBLIC_URL` is made to fit
    :param folder: of the default database
    """
    port = free_port()
    url = f"http://localhost:{port}"
    app = create_app(settings.load({**environment, "PUBLIC_URL": url}, instance=folder))
    with running(app, port):
        yield url
    app.extensions["onboarding"].database.engine.dispose()


@contextmanager
def running(app: Flask, port: int) -> Iterator[None]:
    """Serve an app on a port of this machine."""
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
