"""Logs: what was asked, how it ended and how long it took; never a link, a code or a token."""

from __future__ import annotations

import logging
import time

from flask import Flask, Response, g, request

from onboarding.deere import quiet_logs

NOT_MODIFIED = 304

logger = logging.getLogger("onboarding.request")


def configure() -> None:
    """Write log lines to standard error, and keep libraries from logging secrets."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    quiet_logs()
    # It announces the database and each migration; what fails it says at WARNING.
    logging.getLogger("dbos").setLevel(logging.WARNING)
    # It announces its own modules, seven lines before every command that looks at the tables.
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)


def init_app(app: Flask) -> None:
    """Log each request by its route: the path holds the link, and the query the code."""

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()

    @app.after_request
    def log(response: Response) -> Response:
        began = g.get("began")
        # Of the pages and frames that ask every second, those that learned nothing say nothing.
        is_quiet = request.endpoint == "static" or response.status_code == NOT_MODIFIED
        if not is_quiet and began is not None:
            took_ms = (time.perf_counter() - began) * 1000
            route = request.url_rule.rule if request.url_rule else "(no route)"
            logger.info("%s %s %d %.0f ms", request.method, route, response.status_code, took_ms)
        return response
