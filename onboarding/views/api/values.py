"""Kinds of values that come in: names, addresses, lines of text, moments, numbers of rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from onboarding.connections import accepted
from onboarding.errors import InputInvalid

NOT_IN_NAMES = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069]")
"""What breaks a line, or turns the writing of what follows around."""
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
YEARS = range(1970, 3000)
"""Others are no moment in UTC, or none in the database."""
LONGEST_NUMBER = 18
"""Digits; no row has a number with more."""


def _by(check: Callable[[str], str | None]) -> AfterValidator:
    """What the rest of the product takes, told as what is wrong with this value."""

    def taken(given: str | None) -> str | None:
        try:
            return given and check(given)
        except InputInvalid as err:
            raise ValueError(str(err)) from err

    return AfterValidator(taken)


def _without_controls(name: str) -> str:
    if NOT_IN_NAMES.search(name):
        raise ValueError("must be one line, without control characters")
    return name


def _in_one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line")
    return text


def _written_as_moment(given: Any) -> Any:
    if not isinstance(given, str) or not RFC_3339.fullmatch(given):
        raise ValueError(
            "must be a moment as in RFC 3339, such as 2026-05-01T08:00:00Z; a + in an address is "
            "written %2B"
        )
    return given


def in_our_time(moment: datetime) -> datetime:
    """A moment that the database can hold.

    :raise ValueError: if it can't
    """
    if moment.year not in YEARS:
        raise ValueError(f"must be within {YEARS[0]} and {YEARS[-1]}")
    return moment


def row_number(text: str) -> int | None:
    """The number of a row; None: it is none."""
    is_one = text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER
    return int(text) if is_one else None


Name = Annotated[str, AfterValidator(_without_controls)]
Email = Annotated[str | None, _by(accepted.email)]
Phone = Annotated[str | None, _by(accepted.phone)]
Line = Annotated[str, AfterValidator(_in_one_line)]
Moment = Annotated[AwareDatetime, BeforeValidator(_written_as_moment), AfterValidator(in_our_time)]
