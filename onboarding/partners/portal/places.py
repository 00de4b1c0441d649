"""Where the portal is, where our files come from, and whether browsers bring the two together."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from onboarding.i18n import gettext as _
from onboarding.partners.portal.page import LOADER_PATH, NO_ORIGIN
from onboarding.partners.portal.visit import Finding, Visit
from onboarding.urls import is_loopback


def partner(visit: Visit) -> Iterator[Finding]:
    """Whether the slug is one of a partner."""
    if visit.registered is None:
        yield Finding(
            "wrong",
            "partner",
            _("There is no partner “%(slug)s” here. Write your own slug; it is said with your key.")
            % {"slug": visit.slug},
        )
    else:
        known = _("The partner “%(slug)s” is known.")
        yield Finding("fine", "partner", known % {"slug": visit.slug})


def origin_of_page(visit: Visit) -> Iterator[Finding]:
    """Whether the page, and each around it, may frame ours; what else is registered is not told."""
    origin = visit.page.origin
    if origin == NO_ORIGIN:
        yield Finding(
            "wrong",
            "origin",
            _(
                "Your page has no origin: it is a file, or stands in a sandbox without "
                "allow-same-origin. Serve it from a web server, and outside of such a sandbox."
            ),
        )
    elif origin in (visit.registered or ()):
        yield Finding("fine", "origin", _("%(origin)s is registered.") % {"origin": origin})
    else:
        yield _not_registered(visit, origin)
    for one in visit.page.ancestors:
        if one != origin and one not in (visit.registered or ()):
            yield Finding(
                "wrong",
                "ancestor",
                _(
                    "Your page is itself framed by %(origin)s. Have that registered as well: "
                    "browsers ask for each page around the frame."
                )
                % {"origin": one},
                one,
            )


def _not_registered(visit: Visit, origin: str) -> Finding:
    if is_loopback(origin) and not visit.is_sandbox:
        why = _(
            "%(origin)s is on your own machine, which this installation lets in nowhere: it is a "
            "real one. Develop with the sandbox."
        )
        return Finding("wrong", "origin", why % {"origin": origin})
    if urlsplit(origin).scheme == "http" and not is_loopback(origin):
        why = _("%(origin)s can’t be registered. Serve your portal by https, then register it.")
        value = origin.replace("http:", "https:", 1)
        return Finding("wrong", "origin", why % {"origin": origin}, value)
    why = _(
        "%(origin)s is not registered for “%(slug)s”, so browsers refuse the frame. Have it "
        "registered exactly so; another scheme, host or port is another origin, also localhost and "
        "127.0.0.1."
    )
    return Finding("wrong", "origin", why % {"origin": origin, "slug": visit.slug}, origin)


def loader(visit: Visit) -> Iterator[Finding]:
    """Whether `embed.js` comes from here: it asks where it came from."""
    loader = visit.page.loader
    if loader and loader != visit.public_url:
        yield Finding(
            "wrong",
            "loader",
            _("Your page has embed.js from %(loader)s. Take it from where this service is.")
            % {"loader": loader},
            f'<script src="{visit.public_url}{LOADER_PATH}"></script>',
        )


def mixed(visit: Visit) -> Iterator[Finding]:
    """Whether a page with https would hold a frame without."""
    here = urlsplit(visit.public_url).scheme
    if urlsplit(visit.page.origin).scheme != "https" or here == "https":
        return
    if is_loopback(visit.public_url):
        yield Finding(
            "note",
            "mixed",
            _(
                "Your portal has https and this service has not. Safari refuses that also on your "
                "own machine: develop with http, or in another browser."
            ),
        )
    else:
        yield Finding(
            "wrong",
            "mixed",
            _(
                "Your portal has https and this service has not, so browsers refuse the frame. Ask "
                "whoever runs this service to set PUBLIC_URL to an https address."
            ),
        )
