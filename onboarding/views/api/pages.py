"""Lists come in pages: what stands in `next`, and is handed back as `after`."""

from __future__ import annotations

import base64
import binascii
from typing import NoReturn

from flask import abort
from pydantic import Field

from onboarding.views.api.parts import Model, invalid
from onboarding.views.api.values import row_number

LONGEST = 1200
"""Characters: an external id of the longest, all of them large."""


class Page(Model):
    """Which page."""

    after: str | None = Field(
        default=None, max_length=LONGEST, description="What the last page had in `next`."
    )
    limit: int = Field(default=50, ge=1, le=200, description="So many on a page, at most.")


def mark(place: str) -> str:
    """The place at which the next page begins, in letters that an address takes as they are."""
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def place(after: str) -> str:
    """What was marked so, or an answer that it is no such mark."""
    try:
        found = base64.b64decode(after + "=" * (-len(after) % 4), b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        unusable()
    if "\0" in found or mark(found) != after:
        unusable()
    return found


def number(after: str | None) -> int | None:
    """The number of the row after which a page goes on; None: the first page is asked for."""
    if after is None:
        return None
    found = row_number(after)
    return unusable() if found is None else found


def unusable() -> NoReturn:
    """Answer that `after` is no mark of ours."""
    abort(invalid("after", "must be as the last page had it in `next`"))
