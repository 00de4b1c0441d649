"""Content Security Policy, as far as it decides about a frame and a script (CSP Level 3)."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from onboarding.urls import USUAL_PORTS

Directive = Literal["frame-src", "script-src"]
FALLBACKS: dict[Directive, tuple[str, ...]] = {
    "frame-src": ("frame-src", "child-src", "default-src"),
    "script-src": ("script-src-elem", "script-src", "default-src"),
}
"""The first of them that a policy has counts."""
SOURCE = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.-]*)://)?(?P<host>\*|(?:\*\.)?[a-z0-9.-]+|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}|\*))?(?P<path>/.*)?",
    re.IGNORECASE,
)
BY_MARK = re.compile(r"'(?:nonce-|sha(?:256|384|512)-).*'", re.IGNORECASE)
UPGRADES = {("http", "https")}


def directives(policy: str) -> dict[str, list[str]]:
    """Each directive with its sources; of two with the same name the first counts."""
    found: dict[str, list[str]] = {}
    for part in policy.split(";"):
        name, *sources = part.split() or [""]
        found.setdefault(name.lower(), sources)
    return found


def refused_by(policy: str, kind: Directive, url: str, page: str) -> str | None:
    """The directive that keeps a page from loading a URL; None: none does.

    :param page: origin of the page
    """
    found = directives(policy)
    name = next((one for one in FALLBACKS[kind] if one in found), None)
    if name is None:
        return None
    sources = found[name]
    strict = kind == "script-src" and "'strict-dynamic'" in [one.lower() for one in sources]
    if not strict and any(_matches(one, urlsplit(url), urlsplit(page)) for one in sources):
        return None
    return name


def goes_by_mark(policy: str, name: str) -> bool:
    """Whether a directive lets scripts in that carry a nonce or have a hash."""
    return any(BY_MARK.fullmatch(one) for one in directives(policy).get(name, ()))


def with_source(policy: str, kind: Directive, origin: str) -> str:
    """The directive that lets an origin in, and else what the policy let in before."""
    found = directives(policy)
    name = next((one for one in FALLBACKS[kind] if one in found), kind)
    sources = [one for one in found.get(name, ()) if one.lower() != "'none'"]
    # Of a policy for everything some words are for scripts and styles alone.
    of_frames = [one for one in sources if one[0] != "'" or one.lower() == "'self'"]
    kept = of_frames if kind == "frame-src" else sources
    # What falls back gets a directive of its own: `default-src` decides about more than this.
    return " ".join((kind if name == "default-src" else name, *kept, origin))


def _matches(source: str, url: SplitResult, page: SplitResult) -> bool:
    if source == "*":
        return url.scheme in USUAL_PORTS
    if source.lower() == "'self'":
        return (page.hostname, _port(page)) == (url.hostname, _port(url)) and _fits(
            page.scheme, url.scheme
        )
    if re.fullmatch(r"[a-z][a-z0-9+.-]*:", source, re.IGNORECASE):
        return _fits(source[:-1].lower(), url.scheme)
    found = SOURCE.fullmatch(source)
    return found is not None and all(
        (
            _fits((found["scheme"] or page.scheme).lower(), url.scheme),
            _is_host(found["host"].lower(), url.hostname or ""),
            _is_port(found["port"], url),
            _is_path(found["path"] or "", url.path),
        )
    )


def _fits(wanted: str, scheme: str) -> bool:
    return wanted == scheme or (wanted, scheme) in UPGRADES


def _port(url: SplitResult) -> int | None:
    return url.port or USUAL_PORTS.get(url.scheme)


def _is_host(pattern: str, host: str) -> bool:
    if pattern == "*":
        return True
    if pattern.startswith("*."):
        return host.endswith(pattern[1:])
    return pattern.strip("[]") == host


def _is_port(wanted: str | None, url: SplitResult) -> bool:
    if wanted == "*":
        return True
    if wanted is None:
        return _port(url) == USUAL_PORTS.get(url.scheme)
    return int(wanted) == _port(url) or (wanted == "80" and _port(url) == USUAL_PORTS["https"])


def _is_path(wanted: str, path: str) -> bool:
    if not wanted or wanted == "/":
        return True
    return path.startswith(wanted) if wanted.endswith("/") else path == wanted
