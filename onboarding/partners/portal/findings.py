"""What is found of a portal: a line each, in words that say what to change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from onboarding.i18n import gettext as _
from onboarding.i18n import mark
from onboarding.partners.portal import headers, places
from onboarding.partners.portal.sandbox import sandboxes
from onboarding.partners.portal.tokens import Fault
from onboarding.partners.portal.visit import Finding, Visit

CLOCK_OFF = timedelta(minutes=1)
FAULTS: dict[Fault, str] = {
    "missing": mark(
        "There is no token. Have your backend ask for one for each view of the page: "
        "POST /api/v1/growers/…/embed-tokens"
    ),
    "key": mark(
        "This is a key of the API, and whoever opens your page can read it. Replace the key at "
        "once, keep it on your backend, and put an embed token into the page."
    ),
    "invalid": mark(
        "This token is none of ours, or a part of it is missing. Put the answer’s `token` into the "
        "page as it came, and ask the same installation for it that the page is loaded from."
    ),
    "not_for_frames": mark(
        "This is the token of a link to send to growers, which frames do not take. Ask for one "
        "with POST /api/v1/growers/…/embed-tokens"
    ),
    "of_another": mark(
        "This token is another partner’s. Use the slug of the partner whose key made it."
    ),
    "expired": mark(
        "The token is over: it expired at %(time)s UTC, or was revoked. Make one for each view of "
        "the page, and keep no page with a token in a cache."
    ),
}


def examine(visit: Visit) -> list[Finding]:
    """Each thing that was looked at, in the order in which it is best put right."""
    if visit.registered is None:
        return list(places.partner(visit))
    found = [one for rule in RULES for one in rule(visit)]
    return found + list(_silence(visit, found))


def _token(visit: Visit) -> Iterator[Finding]:
    token = visit.token
    time = f"{token.expires_at:%H:%M}" if token.expires_at else ""
    if token.fault is None:
        yield Finding("fine", "token", _("The token is good until %(time)s UTC.") % {"time": time})
    elif token.fault == "missing" and visit.page.frames is None:
        yield Finding("note", "token", _("Not looked at: the token is not known."))
    else:
        yield Finding("wrong", "token", _(FAULTS[token.fault]) % {"time": time})


def _clock(visit: Visit) -> Iterator[Finding]:
    if visit.page.clock is None:
        return
    off = visit.page.clock - visit.moment.timestamp()
    if abs(off) < CLOCK_OFF.total_seconds():
        return
    how = _("fast") if off > 0 else _("slow")
    yield Finding(
        "note",
        "clock",
        _(
            "The clock of this machine is %(minutes)d min %(how)s. The frame does not go by it, "
            "but a backend with such a clock takes fresh tokens for old ones. Set it by the "
            "network."
        )
        % {"minutes": round(abs(off) / 60), "how": how},
    )


def _silence(visit: Visit, found: list[Finding]) -> Iterator[Finding]:
    """A frame that says nothing, unless something else explains it."""
    heard = [one.answered for one in visit.page.frames or () if one.answered is not None]
    if heard and all(heard):
        yield Finding("fine", "answered", _("The frame is there, and answers."))
    elif heard and all(one.kind != "wrong" or one.code in {"token", "clock"} for one in found):
        yield Finding(
            "wrong",
            "answered",
            _(
                "The frame did not answer, though nothing else is wrong. Open its address by "
                "itself: if that does not come either, it is the network, an extension of the "
                "browser, or a proxy that adds headers to our pages."
            ),
            f"{visit.public_url}/embed/{visit.slug}",
        )


RULES: tuple[Callable[[Visit], Iterator[Finding]], ...] = (
    places.partner,
    places.origin_of_page,
    places.loader,
    places.mixed,
    headers.policies,
    sandboxes,
    headers.windows,
    headers.clipboard,
    _token,
    _clock,
)
