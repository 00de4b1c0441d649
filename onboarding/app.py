"""Puts the web application together."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, g
from flask import request as flask_request
from flask.sessions import SecureCookieSessionInterface
from flask_compress import Compress
from itsdangerous import URLSafeTimedSerializer
from jinja2 import StrictUndefined
from werkzeug.middleware.proxy_fix import ProxyFix

from onboarding import cli, headers, i18n, logs, typesetting, views
from onboarding import settings as settings_module
from onboarding.errors import SettingsInvalid
from onboarding.installation import Installation, assemble
from onboarding.links import DatedSigner
from onboarding.models import new_reference
from onboarding.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
MAX_REQUEST_BYTES = 64 * 1024
COMPRESSED_BY = ["br", "gzip"]


class DatedSessions(SecureCookieSessionInterface):
    """Flask's sessions in signed cookies, dated by our clock."""

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        """What signs and reads them."""
        serializer = super().get_signing_serializer(app)
        if serializer is not None:
            serializer.signer = DatedSigner
        return serializer


class Onboarding(Flask):
    """Flask, with a log line for a crash that holds no link."""

    session_interface = DatedSessions()

    def log_exception(self, exc_info: Any) -> None:
        """Name the route instead of the path, which holds the grower's link.

        The page shows the same reference, so that staff find this line when a grower calls.
        """
        g.crash_reference = f"E-{new_reference()}"
        rule = flask_request.url_rule
        self.logger.error(
            "Unhandled error %s in %s %s",
            g.crash_reference,
            flask_request.method,
            rule.rule if rule else "(no route)",
            exc_info=exc_info,
        )


def build(settings: Settings | None = None) -> Flask:
    """The web application; see `onboarding.create_app`."""
    logs.configure()
    try:
        settings = settings or settings_module.load()
    except SettingsInvalid as err:
        if os.environ.get("FLASK_RUN_FROM_CLI") != "true":
            raise
        return _app_without_settings(err)
    app = Onboarding(__name__, template_folder=ROOT / "templates", static_folder=ROOT / "static")
    installation = assemble(settings)
    app.extensions["onboarding"] = installation
    _configure(app, settings)
    _configure_templates(app, installation)
    logs.init_app(app)
    headers.init_app(app, settings)
    Compress(app)
    views.init_app(app)
    cli.init_app(app)
    return app


def _app_without_settings(err: SettingsInvalid) -> Flask:
    app = Flask(__name__, static_folder=None)
    app.extensions["onboarding"] = err
    cli.init_app(app)

    @app.before_request
    def refuse() -> None:
        raise err

    return app


def _configure(app: Flask, settings: Settings) -> None:
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SESSION_COOKIE_NAME="__Host-session",
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=MAX_REQUEST_BYTES,
        # Some browsers and extensions drop the Referer. What it would protect against, a sibling
        # domain that plants a cookie, the cookie's `__Host-` prefix prevents.
        WTF_CSRF_SSL_STRICT=False,
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session: growers leave pages open for hours
        COMPRESS_MIN_SIZE=400,
        COMPRESS_ALGORITHM=COMPRESSED_BY,
        COMPRESS_ALGORITHM_STREAMING=COMPRESSED_BY,  # static files
    )
    wsgi: Any = PublicOrigin(app.wsgi_app, settings.public_url)
    if settings.trusted_proxies:
        wsgi = ProxyFix(wsgi, x_for=settings.trusted_proxies, x_proto=0, x_host=0)
    # Flask's own way to add middleware, which types can't say of a method.
    app.wsgi_app = wsgi  # type: ignore[method-assign]


class PublicOrigin:
    """Middleware: scheme and host are those of `PUBLIC_URL`, whatever the request claims."""

    def __init__(self, app: Callable[..., Iterable[bytes]], public_url: str) -> None:
        self._app = app
        parts = urlsplit(public_url)
        self._scheme, self._host = parts.scheme, parts.netloc

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["wsgi.url_scheme"] = self._scheme
        environ["HTTP_HOST"] = self._host
        return self._app(environ, start_response)


def _configure_templates(app: Flask, installation: Installation) -> None:
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.add_extension("jinja2.ext.i18n")
    # The extension has put this method there; types can't see that.
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]
        i18n.gettext, i18n.ngettext, newstyle=True
    )
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters["date"] = i18n.date
    app.jinja_env.filters["ago"] = i18n.ago
    app.jinja_env.filters["together"] = typesetting.together
    app.jinja_env.globals["connections_page"] = installation.deere.connections_page
    app.jinja_env.globals["banner"] = _banner(installation.settings)
    app.jinja_env.globals["static_version"] = _static_version(ROOT / "static")


def _banner(settings: Settings) -> str | None:
    """Which world this is, if it is not simply the real one."""
    if settings.is_sandbox:
        return "sandbox"
    if settings.is_local:
        return "local"
    if settings.deere_environment == "STAGE":
        return "stage"
    return None


def _static_version(folder: Path) -> str:
    """Changes whenever a static file does, so that browsers may keep them for a year."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()[:10]
