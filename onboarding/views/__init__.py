"""The pages."""

from __future__ import annotations

from flask import Flask
from flask_wtf import CSRFProtect

from onboarding.views import api, doctor, errors, limits, open_link, renewal, staff, stop
from onboarding.views.alerts import bp as alerts
from onboarding.views.connect import bp as connect
from onboarding.views.deere import bp as deere
from onboarding.views.disconnect import bp as disconnect
from onboarding.views.embed import bp as embed
from onboarding.views.health import bp as health


def init_app(app: Flask) -> None:
    """Register every page, and what guards them."""
    csrf = CSRFProtect(app)
    csrf.exempt(alerts)  # it comes from a machine, and is signed
    limits.limiter.init_app(app)
    for blueprint in (
        connect,
        disconnect,
        deere,
        embed,
        doctor.bp,
        health,
        alerts,
        open_link.bp,
        renewal.bp,
        stop.bp,
    ):
        app.register_blueprint(blueprint)
    csrf.exempt(doctor.check)  # it comes from a portal's page, with no cookie
    # Its form asks for the token itself, once it is known who sends so much.
    csrf.exempt(staff.imports.import_file)
    csrf.exempt(stop.stop)
    # Its form asks for the token itself, and keeps what was typed when there is none.
    csrf.exempt(open_link.ask)
    csrf.exempt(api.bp)  # it comes from a program that has a key, and no cookie
    app.register_blueprint(api.bp)
    api.documents.init_app(app)
    api.writes.init_app(app)
    staff.init_app(app)
    errors.init_app(app)
