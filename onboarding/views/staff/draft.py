"""What somebody typed and sent when their sign-in, or its confirmation, had just run out.

It waits in the browser, in a cookie that only we can read, while they sign in; then a page offers
to send it. Nothing is done without that click. Secrets do not wait, they are typed again.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import asdict, dataclass
from uuid import UUID

from flask import Response, flash, g, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from onboarding.clock import Span, seconds
from onboarding.errors import TokenUnreadable
from onboarding.i18n import gettext as _
from onboarding.staff import sessions
from onboarding.states import Role
from onboarding.views.parts import installation
from onboarding.views.staff.forms import Button
from onboarding.views.staff.parts import (
    COOKIE,
    DRAFT_COOKIE,
    bp,
    member,
    page_before,
    staff_only,
)

PLACE = "cookie staff-draft"
KEPT_SECONDS = 3600
LONGEST = 3800
"""Characters of the cookie; browsers take 4,096 with its name and attributes."""
LONGEST_TEXT = 200_000
SECRET = re.compile(r"secret|password|csrf_token", re.IGNORECASE)


@dataclass(frozen=True)
class Draft:
    """A form that was sent in vain."""

    path: str
    page: str
    """Where it was filled in."""
    fields: list[list[str]]
    begun: float
    had_secret: bool
    staff_id: str
    """Whose it is: it is offered to nobody else."""

    @classmethod
    def of_request(cls, staff_id: UUID) -> Draft:
        """The one that is being sent."""
        given = list(request.form.items(multi=True))
        kept = [[name, value] for name, value in given if not SECRET.search(name)]
        had_secret = any(
            value for name, value in given if SECRET.search(name) and name != "csrf_token"
        )
        return cls(request.path, page_before(), kept, seconds(), had_secret, str(staff_id))

    def sealed(self) -> str | None:
        """As the cookie holds it; None: it is too long for one."""
        text = zlib.compress(json.dumps(asdict(self)).encode(), 9)
        packed = base64.b85encode(text).decode()
        stored = installation().vault.encrypt(packed, place=PLACE)
        found = base64.urlsafe_b64encode(stored).decode()
        return found if len(found) <= LONGEST else None

    @classmethod
    def opened(cls, text: str) -> Draft | None:
        """What `sealed` gave, if it is not too old; None for anything else."""
        try:
            packed = installation().vault.decrypt(base64.urlsafe_b64decode(text), place=PLACE)
            unpacked = zlib.decompressobj().decompress(base64.b85decode(packed), LONGEST_TEXT)
            found = cls(**json.loads(unpacked))
        except (ValueError, TokenUnreadable, zlib.error):
            return None
        return found if Span(found.begun, found.begun + KEPT_SECONDS).holds(seconds()) else None


@bp.after_request
def keep_what_was_sent(response: Response) -> Response:
    """Let it wait in the browser, if there is anything to keep and room for it."""
    if request.method != "POST":
        return response
    if not g.get("staff_sent_away"):
        waiting = Draft.opened(request.cookies.get(DRAFT_COOKIE, ""))
        was_sent = waiting is not None and waiting.path == request.path
        # Refused as a whole, by a page that was too old: it is sent once more.
        return _forget(response) if was_sent and response.status_code != 400 else response
    if any(file.filename for file in request.files.values()):
        flash(_("The file could not be kept meanwhile. Choose it again."), "error")
        return response
    staff_id = _who_sent()
    if staff_id is None:
        return response
    draft = Draft.of_request(staff_id)
    if not any(value for _name, value in draft.fields):
        return response
    sealed = draft.sealed()
    if sealed is None:
        flash(_("What you sent was too long to be kept meanwhile. Go back to find it."), "error")
    else:
        response.set_cookie(
            DRAFT_COOKIE,
            sealed,
            max_age=KEPT_SECONDS,
            secure=True,
            httponly=True,
            samesite="Lax",
            path="/",
        )
    return response


@bp.get("/draft", endpoint="draft")
@staff_only(Role.VIEWER)
def offer() -> ResponseReturnValue:
    """Offer to send it; it waits until it is sent, or left."""
    draft = Draft.opened(request.cookies.get(DRAFT_COOKIE, ""))
    if draft is None or draft.staff_id != str(member().id):
        return _forget(make_response(redirect(url_for("staff.home"), 303)))
    if "leave" in request.args:
        return _forget(make_response(redirect(draft.page, 303)))
    return render_template("staff/draft.html", draft=draft, form=Button(formdata=None))


def _who_sent() -> UUID | None:
    """Who is signed in, or was so until a moment ago."""
    if g.staff_member is not None:
        return member().id
    with installation().database.reading() as session:
        return sessions.whose(session, request.cookies.get(COOKIE))


def _forget(response: Response) -> Response:
    response.delete_cookie(DRAFT_COOKIE, path="/", secure=True, httponly=True, samesite="Lax")
    return response
