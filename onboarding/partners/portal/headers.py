"""What the headers of the portal's page, and its policies in `<meta>`, keep from working."""

from __future__ import annotations

from collections.abc import Iterator

from onboarding.i18n import gettext as _
from onboarding.partners.portal import policy
from onboarding.partners.portal.page import EMBEDDER, LOADER_PATH, OPENER
from onboarding.partners.portal.visit import Finding, Visit

CLIPBOARD = "clipboard-write"
SEVERS = frozenset({"same-origin", "noopener-allow-popups"})


def policies(visit: Visit) -> Iterator[Finding]:
    """Whether each Content Security Policy lets the frame in, and its script."""
    page, policies = visit.page, visit.page.all_policies()
    if page.headers is None and not policies:
        yield Finding("note", "policy", _("Not looked at: your page’s headers are not known."))
        return
    frame, refused = f"{visit.public_url}/embed/{visit.slug}", False
    for one in policies:
        if name := policy.refused_by(one, "frame-src", frame, page.origin):
            refused = True
            yield Finding(
                "wrong",
                "frame-src",
                _(
                    "Your Content-Security-Policy lets no frame of %(here)s in (%(name)s). Write "
                    "into it:"
                )
                % {"here": visit.public_url, "name": name},
                policy.with_source(one, "frame-src", visit.public_url),
            )
        for finding in _script_policy(visit, one):
            refused = True
            yield finding
    if not refused:
        yield Finding("fine", "policy", _("Your Content-Security-Policy lets the frame in."))


def _script_policy(visit: Visit, one: str) -> Iterator[Finding]:
    if visit.page.clock is not None:
        return  # Who tells this has been loaded by it.
    url = f"{visit.public_url}{LOADER_PATH}"
    name = policy.refused_by(one, "script-src", url, visit.page.origin)
    if name is not None and policy.goes_by_mark(one, name):
        why = _("Your %(name)s goes by nonces or hashes. Give the script yours:")
        value = f'<script nonce="…" src="{url}"></script>'
        yield Finding("note", "script-src", why % {"name": name}, value)
    elif name is not None:
        why = _("Your Content-Security-Policy lets no script of %(here)s in (%(name)s). Write:")
        value = policy.with_source(one, "script-src", visit.public_url)
        yield Finding("wrong", "script-src", why % {"here": visit.public_url, "name": name}, value)


def windows(visit: Visit) -> Iterator[Finding]:
    """What the page says of windows that it opens, and of what others send into it."""
    opener = visit.page.header(OPENER).partition(";")[0].strip().lower()
    if opener in SEVERS:
        yield Finding(
            "note",
            "opener",
            _(
                "Your page sends Cross-Origin-Opener-Policy: %(value)s, which cuts it off from the "
                "windows that it opens. It may stay: the frame asks our server what happened there."
            )
            % {"value": opener},
        )
    if visit.page.header(EMBEDDER).partition(";")[0].strip().lower() == "require-corp":
        yield Finding(
            "wrong",
            "embedder",
            _(
                "Your page sends Cross-Origin-Embedder-Policy: require-corp, so browsers refuse "
                "frames of others. Leave that header off this page."
            ),
        )


def clipboard(visit: Visit) -> Iterator[Finding]:
    """Whether the frame may copy the link, one of the ways where no window opens."""
    given = visit.page.permission(CLIPBOARD)
    if given is not None and given != "*" and f'"{visit.public_url}"' not in given:
        yield Finding(
            "note",
            "permissions",
            _("Your Permissions-Policy keeps the frame from copying the link. If it is to:"),
            f'{CLIPBOARD}=(self "{visit.public_url}")',
        )
    by_hand = [one for one in visit.page.frames or () if one.allow is not None]
    if any(CLIPBOARD not in (one.allow or "") for one in by_hand):
        yield Finding(
            "note",
            "allow",
            _("Your frame may not copy the link for the grower. If it is to, give it:"),
            f'allow="{CLIPBOARD}"',
        )
