"""The table of connections: what can be asked of it, and how an address says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode

from onboarding.connections import spelling
from onboarding.errors import InputInvalid
from onboarding.i18n import gettext as _
from onboarding.staff.words import WORDS
from onboarding.states import Environment, Health, Turn

SIZES = (25, 50, 100)
USUAL_SIZE = 50
AGES = (1, 7, 30, 90)
"""Days in the same status."""
SEARCH_MAX = 200

Kind = TypeVar("Kind", bound=StrEnum)


class Sort(StrEnum):
    """By what rows are in order; `-` before it turns it round."""

    SINCE = "since"
    NAME = "name"
    CHECKED = "checked"
    CREATED = "created"


@dataclass(frozen=True)
class Filter:
    """Which connections are asked for, and in what order. Its fields are those of the address."""

    q: str = ""
    status: str = ""
    turn: Turn | None = None
    health: Health | None = None
    partner: str = ""
    """Its slug."""
    environment: Environment | None = None
    older: int | None = None
    """Days for which the status has been the same at least."""
    unopened: bool = False
    sort: Sort = Sort.SINCE
    descending: bool = True
    size: int = USUAL_SIZE

    @classmethod
    def parse(cls, asked: Mapping[str, str]) -> Filter:
        """What the arguments of an address ask for.

        :raise InputInvalid: if one can't be meant; nothing is left out, since more would match
        """
        given = {name: value.strip() for name, value in asked.items()}
        order = given.get("sort") or "-since"
        return cls(
            q=_search(given.get("q", "")),
            status=_status(given.get("status", "")),
            turn=_word(Turn, given.get("turn", ""), _("whose turn it is")),
            health=_word(Health, given.get("health", ""), _("health")),
            partner=given.get("partner", ""),
            environment=_word(Environment, given.get("environment", ""), _("environment")),
            older=_number(given.get("older", ""), AGES, _("age of the status")),
            unopened=bool(given.get("unopened")),
            sort=_word(Sort, order.removeprefix("-"), _("order")) or Sort.SINCE,
            descending=order.startswith("-"),
            size=_number(given.get("size", ""), SIZES, _("rows")) or USUAL_SIZE,
        )

    @classmethod
    def parse_query(cls, query: str) -> Filter:
        """What the query of an address asks for, as `query` writes it.

        :raise InputInvalid: if it can't be meant
        """
        return cls.parse(dict(parse_qsl(query)))

    def arguments(self) -> dict[str, str]:
        """What an address needs to ask for the same: nothing that goes without saying."""
        order = f"{'-' if self.descending else ''}{self.sort.value}"
        values: dict[str, Any] = {
            one.name: getattr(self, one.name) for one in fields(self) if one.name != "descending"
        }
        values |= {
            "unopened": "1" if self.unopened else "",
            "sort": "" if order == "-since" else order,
            "size": "" if self.size == USUAL_SIZE else self.size,
        }
        return {name: str(value) for name, value in values.items() if value}

    def query(self) -> str:
        """The same as the query of an address."""
        return urlencode(self.arguments())

    @property
    def narrows(self) -> dict[str, str]:
        """The arguments that leave something out."""
        return {
            name: value for name, value in self.arguments().items() if name not in {"sort", "size"}
        }

    def sorted_by(self, sort: Sort) -> Filter:
        """The same by another order; by the same once more: turned round."""
        if sort is self.sort:
            return replace(self, descending=not self.descending)
        return replace(self, sort=sort, descending=sort is not Sort.NAME)

    @property
    def terms(self) -> list[str]:
        """The words that are searched for."""
        return spelling.terms(self.q)

    def before(self, moment: datetime) -> datetime | None:
        """Since when the status has to be the same, if that is asked for."""
        return None if self.older is None else moment - timedelta(days=self.older)


def _search(text: str) -> str:
    found = spelling.terms(text)
    if len(text) > SEARCH_MAX:
        raise InputInvalid(
            _("A search has at most %(number)d characters. Leave some out.")
            % {"number": SEARCH_MAX}
        )
    if text and not any(len(term) >= spelling.SHORTEST for term in found):
        raise InputInvalid(
            _("Search for a word of at least %(number)d characters; shorter ones only beside it.")
            % {"number": spelling.SHORTEST}
        )
    return text


def _status(code: str) -> str:
    if code and code not in WORDS:
        raise _unknown(code, _("status"))
    return code


def _word(kind: type[Kind], value: str, what: str) -> Kind | None:
    if not value:
        return None
    try:
        return kind(value)
    except ValueError:
        raise _unknown(value, what) from None


def _number(value: str, known: tuple[int, ...], what: str) -> int | None:
    if not value:
        return None
    if value not in map(str, known):
        raise _unknown(value, what)
    return int(value)


def _unknown(value: str, what: str) -> InputInvalid:
    return InputInvalid(
        _("“%(value)s” is no %(what)s that can be asked for. Choose one below.")
        % {"value": value[:40], "what": what}
    )
