"""The pages."""

from __future__ import annotations

from flask import Flask
from flask_wtf import CSRFProtect

from onboarding.views import errors, limits
from onboarding.views.connect import bp as connect
from onboarding.views.deere import bp as deere
from onboarding.views.disconnect import bp as disconnect
from onboarding.views.health import bp as health


def init_app(app: Flask) -> None:
    """Register every page, and what guards them."""
    CSRFProtect(app)
    limits.limiter.init_app(app)
    for blueprint in (connect, disconnect, deere, health):
        app.register_blueprint(blueprint)
    errors.init_app(app)
