"""Which URLs in John Deere's answers are followed or shown."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from onboarding.urls import USUAL_PORTS

DEERE_DOMAINS = ("deere.com", "johndeere.com")


def is_deere(url: str) -> bool:
    """Whether it is https and on deere.com, johndeere.com or below."""
    parts = _split(url)
    if parts is None or _origin(parts) != ("https", parts.hostname, 443):
        return False
    host = parts.hostname or ""
    return any(host == domain or host.endswith("." + domain) for domain in DEERE_DOMAINS)


def has_origin_of(url: str, other: str) -> bool:
    """Whether scheme, host and port of two URLs are the same (RFC 6454)."""
    parts, others = _split(url), _split(other)
    return parts is not None and others is not None and _origin(parts) == _origin(others)


def _split(url: str) -> SplitResult | None:
    """A URL that every browser reads as Python does: `\\` and `@` are read differently."""
    if any(c in "\\@" or c.isspace() or not c.isprintable() for c in url):
        return None
    try:
        parts = urlsplit(url)
        return parts if parts.hostname and _origin(parts) else None
    except ValueError:  # brackets, or a port that is no number
        return None


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or USUAL_PORTS.get(parts.scheme)
