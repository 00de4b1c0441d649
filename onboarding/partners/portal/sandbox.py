"""What a sandbox around the frame, or around the portal's whole page, takes away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from onboarding.i18n import gettext as _
from onboarding.partners.portal.policy import directives
from onboarding.partners.portal.visit import Finding, Kind, Visit

SCRIPTS, ORIGIN, FORMS, POPUPS = (
    "allow-scripts",
    "allow-same-origin",
    "allow-forms",
    "allow-popups",
)
ESCAPE = "allow-popups-to-escape-sandbox"
TOP = "allow-top-navigation-by-user-activation"
NEEDED = (SCRIPTS, ORIGIN, FORMS, POPUPS, ESCAPE, TOP)
"""As docs/partners.md asks for."""


class Place(NamedTuple):
    """Where a sandbox is written.

    :ivar code: of what is found of it
    :ivar value: how it is written there, around what it allows
    """

    code: str
    value: str


FRAME = Place("sandbox", 'sandbox="{}"')
POLICY = Place("page-sandbox", "sandbox {}")


def sandboxes(visit: Visit) -> Iterator[Finding]:
    """Of each frame, and of the page itself; `<meta>` can make none."""
    for policy in visit.page.header_policies():
        given = directives(policy).get("sandbox")
        if given is not None:
            yield _finding(POLICY, given)
    for frame in visit.page.frames or ():
        if frame.sandbox is not None:
            yield _finding(FRAME, frame.sandbox.split())


def _finding(place: Place, given: list[str]) -> Finding:
    allowed = {one.lower() for one in given}
    missing = [one for one in NEEDED if one not in allowed]
    kind, what = _loss(set(missing))
    if not missing:
        return Finding("fine", place.code, _("The sandbox around the frame allows what it needs."))
    text = _("The sandbox around the frame lacks %(missing)s. %(what)s Leave it off, or write:")
    values = {"missing": ", ".join(missing), "what": what}
    return Finding(kind, place.code, text % values, place.value.format(" ".join(NEEDED)))


def _loss(missing: set[str]) -> tuple[Kind, str]:
    """How bad it is, and what does not work."""
    if SCRIPTS in missing:
        return "wrong", _("So it can show nothing.")
    if POPUPS in missing:
        return "wrong", _("So it can open no window for the sign-in at John Deere.")
    if ESCAPE in missing and missing & {FORMS, ORIGIN}:
        return "wrong", _("The window of the sign-in inherits that, and can’t work so.")
    if ESCAPE in missing:
        return "note", _("John Deere’s own pages inherit that, which may not suit them.")
    if TOP in missing:
        return "note", _("Where no window can open, growers can’t go on in this one.")
    return "note", _("It works all the same.")
