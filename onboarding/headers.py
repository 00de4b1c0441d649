"""The headers that every answer carries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from flask import Flask, Response, g, request

from onboarding.settings import Settings

YEAR_SECONDS = 365 * 24 * 3600
LOADER, LOADER_SECONDS = "embed.js", 3600
FOR_PORTALS = frozenset({LOADER, "embed-doctor.js"})
NOBODY = "'none'"
NO_REFERRER = frozenset({"deere.callback", "embed.frame"})
DEERE_PAGES = (
    "https://*.johndeere.com",
    "https://*.deere.com",
    "https://johndeerecustomer.okta.com",
)
"""Chromium applies `form-action` to every redirect that follows a posted form: the sign-in, its
tenant at Okta, and the page for organizations when consent is skipped."""


def init_app(app: Flask, settings: Settings) -> None:
    """Send the headers with every answer of the app."""
    usual = _targets(settings)
    policy = content_security_policy(usual)

    @app.after_request
    def add_headers(response: Response) -> Response:
        headers = response.headers
        frames, targets = g.get("frame_origins", ()), g.get("form_targets", ())
        headers["Content-Security-Policy"] = (
            content_security_policy([*usual, *targets], frames) if frames or targets else policy
        )
        if not frames:
            headers["X-Frame-Options"] = "DENY"
        headers["X-Content-Type-Options"] = "nosniff"
        headers["X-Robots-Tag"] = "noindex"
        headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=(), payment=()"
        # The callback's URL holds a code; nobody may learn it from a Referer.
        referrer = "no-referrer" if request.endpoint in NO_REFERRER else "same-origin"
        headers["Referrer-Policy"] = referrer
        if settings.public_url.startswith("https:"):
            # Only this host: below a partner's domain others may still be served by http.
            headers["Strict-Transport-Security"] = f"max-age={YEAR_SECONDS}"
        is_static = request.endpoint == "static"
        file = (request.view_args or {}).get("filename") if is_static else None
        if file in FOR_PORTALS:
            # Else a portal with Cross-Origin-Embedder-Policy learns nothing of what is refused.
            headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        if is_static and response.status_code < 400:
            if request.args.get("v"):
                headers["Cache-Control"] = f"public, max-age={YEAR_SECONDS}, immutable"
            elif file == LOADER:
                # Partners' pages name it without a version, and get a new one within the hour.
                headers["Cache-Control"] = f"public, max-age={LOADER_SECONDS}"
        else:
            headers.setdefault("Cache-Control", "no-store")
        return response


def _targets(settings: Settings) -> list[str]:
    """Where the forms lead by which an application's growers consent."""
    return [settings.deere_metadata_url, settings.deere_api_url]


def let_forms_lead_to(application: Settings) -> None:
    """Let the forms of the page that is being answered lead where this application's growers go."""
    g.form_targets = _targets(application)


def let_frame(origins: Sequence[str]) -> None:
    """Let these origins, and no other, frame the page that is being answered; it has no form."""
    g.frame_origins = tuple(origins)


def content_security_policy(targets: Iterable[str], frames: Iterable[str] = ()) -> str:
    """Only our own files; forms lead to us and on to John Deere.

    :param targets: addresses whose origins the page's forms may lead to as well
    :param frames: origins that may frame the page
    """
    pages = list(DEERE_PAGES)
    for url in targets:
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
            f"frame-ancestors {' '.join(frames) or NOBODY}",
        )
    )
