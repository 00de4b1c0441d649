"""The headers that every answer carries."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Response, g, request

from onboarding.settings import Settings

YEAR_SECONDS = 365 * 24 * 3600
DEERE_PAGES = (
    "https://*.johndeere.com",
    "https://*.deere.com",
    "https://johndeerecustomer.okta.com",
)
"""Chromium applies `form-action` to every redirect that follows a posted form: the sign-in, its
tenant at Okta, and the page for organizations when consent is skipped."""


def init_app(app: Flask, settings: Settings) -> None:
    """Send the headers with every answer of the app."""
    policy = content_security_policy(settings)

    @app.after_request
    def add_headers(response: Response) -> Response:
        headers = response.headers
        application = g.get("form_application")
        headers["Content-Security-Policy"] = (
            content_security_policy(settings, application) if application else policy
        )
        headers["X-Frame-Options"] = "DENY"
        headers["X-Content-Type-Options"] = "nosniff"
        headers["X-Robots-Tag"] = "noindex"
        headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=(), payment=()"
        # The callback's URL holds a code; nobody may learn it from a Referer.
        referrer = "no-referrer" if request.endpoint == "deere.callback" else "same-origin"
        headers["Referrer-Policy"] = referrer
        if settings.public_url.startswith("https:"):
            # Only this host: below a partner's domain others may still be served by http.
            headers["Strict-Transport-Security"] = f"max-age={YEAR_SECONDS}"
        if request.endpoint == "static" and response.status_code < 400:
            if request.args.get("v"):
                headers["Cache-Control"] = f"public, max-age={YEAR_SECONDS}, immutable"
        else:
            headers.setdefault("Cache-Control", "no-store")
        return response


def let_forms_lead_to(application: Settings) -> None:
    """Let the forms of the page that is being answered lead where this application's growers go."""
    g.form_application = application


def content_security_policy(*settings: Settings) -> str:
    """Only our own files; forms lead to us and on to John Deere.

    :param settings: those of each application that the page's forms may lead to
    """
    pages = list(DEERE_PAGES)
    for url in (url for one in settings for url in (one.deere_metadata_url, one.deere_api_url)):
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in pages:
            pages.append(origin)
    return "; ".join(
        (
            "default-src 'none'",
            "style-src 'self'",
            "script-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            f"form-action 'self' {' '.join(pages)}",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )
