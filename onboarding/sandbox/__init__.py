"""The sandbox: simulated John Deere, Leaf and a company’s sign-in, for demos and tests.

One WSGI app on its own origin. Nothing outside this package imports it; it shares only the words
of `errors`, `states` and `settings` with the product.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flask import Flask, Response, make_response, redirect, send_file
from jinja2 import StrictUndefined

from onboarding.sandbox import company, control, deere, gate, leaf, mail_pages, oauth, pages, smtp
from onboarding.sandbox import config as configuration
from onboarding.sandbox.alerts import Alerts
from onboarding.sandbox.clock import Clock
from onboarding.sandbox.faults import Faults
from onboarding.sandbox.grants import Grants
from onboarding.sandbox.journal import Journal
from onboarding.sandbox.leaf import credentials
from onboarding.sandbox.mailbox import Mailbox
from onboarding.sandbox.pace import Pace
from onboarding.sandbox.policies import Policies
from onboarding.sandbox.residents import Residents
from onboarding.sandbox.runtime import Sandbox
from onboarding.sandbox.store import Store

ROOT = Path(__file__).resolve().parents[2]
STYLESHEET_SECONDS = 300


def create_app(environ: Mapping[str, str] | None = None) -> Flask:
    """The sandbox's WSGI app.

    :param environ: settings (see `config.load`); default: the process's environment
    :raise SettingsInvalid: if they are missing or wrong
    """
    app = Flask(__name__, template_folder=str(ROOT / "templates"), static_folder=None)
    app.jinja_env.undefined = StrictUndefined
    for part in (deere, pages, leaf, company, control, mail_pages):
        app.register_blueprint(part.bp)
    app.add_url_rule("/", view_func=front)
    app.add_url_rule("/favicon.ico", view_func=no_icon)
    app.add_url_rule("/sandbox.css", view_func=stylesheet)
    app.extensions["sandbox"] = _open(configuration.load(environ), app)
    oauth.init_app(app)
    company.init_app(app)
    gate.init_app(app)
    _let_leaf_look(app)
    return app


def _let_leaf_look(app: Flask) -> None:
    """Leaf's "background processing": it looks at its credentials, and sends its alerts."""

    def look() -> None:
        with app.app_context():
            credentials.look()

    app.extensions["sandbox"].alerts.start(look)


def front() -> Response:
    """Whoever opens the origin wants the control page."""
    return make_response(redirect("/control", 303))


def no_icon() -> Response:
    """Browsers ask for it unasked; an empty answer keeps their consoles free of errors."""
    return Response(status=204)


def stylesheet() -> Response:
    """The pages' one stylesheet."""
    return send_file(ROOT / "static" / "sandbox.css", max_age=STYLESHEET_SECONDS)


def _open(config: configuration.Config, app: Flask) -> Sandbox:
    clock = Clock(config.clock)
    store = Store(config.database)
    policies = Policies(store)
    residents = Residents(store, config)
    residents.settle()
    faults = Faults(store, gate.points(app) | smtp.POINTS)
    mailbox = Mailbox(store)
    port = config.mail_port
    return Sandbox(
        config=config,
        clock=clock,
        store=store,
        policies=policies,
        residents=residents,
        grants=Grants(store, policies, residents),
        faults=faults,
        journal=Journal(store),
        pace=Pace(),
        alerts=Alerts(store, policies),
        mailbox=mailbox,
        mail_server=None if port is None else smtp.Sink(port, mailbox, faults),
    )
