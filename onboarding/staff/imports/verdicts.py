"""What each row of a file comes to, as the world is now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding.connections import accepted
from onboarding.connections.accepted import EMAIL, EMAIL_MAX, NAME_MAX
from onboarding.connections.growers import EXTERNAL_ID_MAX, LEAF_USER
from onboarding.errors import InputInvalid
from onboarding.i18n import gettext as _
from onboarding.mail.address import on_the_wire
from onboarding.models import Grower
from onboarding.staff.imports.file import UNSHOWN, Line, values
from onboarding.states import RowVerdict

ASKED_AT_ONCE = 500


@dataclass
class Judged:
    """A row, and what it comes to.

    :ivar notes: what is wrong and what to change, or what is changed
    :ivar grower: who it is about, if they are known
    """

    line: Line
    verdict: RowVerdict = RowVerdict.NEW
    notes: list[str] = field(default_factory=list)
    grower: Grower | None = None


@dataclass(frozen=True)
class _World:
    growers: dict[str, Grower]
    """Of the partner, by external id."""
    leaf_users: dict[str, tuple[UUID, str]]
    """Of all: partner and external id of who has it."""


def judge(session: Session, partner_id: UUID, lines: Sequence[Line]) -> list[Judged]:
    """What each row comes to. Writes nothing."""
    world = _world(session, partner_id, lines)
    seen: dict[tuple[str, str], int] = {}
    return [_judge(line, partner_id, world, seen) for line in lines]


def _judge(line: Line, partner_id: UUID, world: _World, seen: dict[tuple[str, str], int]) -> Judged:
    grower = world.growers.get(line.external_id)
    wrong = [*_form(line), *_repeated(line, seen), *_leaf_user(line, partner_id, grower, world)]
    if wrong:
        return Judged(line, RowVerdict.WRONG, wrong, grower)
    if grower is None:
        return Judged(line)
    changes = list(_changes(line, grower))
    return Judged(line, RowVerdict.CHANGED if changes else RowVerdict.SAME, changes, grower)


def _form(line: Line) -> Iterator[str]:
    """What is wrong with the row by itself."""
    for text, limit, missing, long in (
        (
            line.external_id,
            EXTERNAL_ID_MAX,
            _("The external id is missing: fill it in."),
            _("The external id is too long: at most %(limit)d characters."),
        ),
        (
            line.name,
            NAME_MAX,
            _("The name is missing: fill it in."),
            _("The name is too long: at most %(limit)d characters."),
        ),
    ):
        if not text:
            yield missing
        elif len(text) > limit:
            yield long % {"limit": limit}
    if any(UNSHOWN in text for text in values(line)):
        yield _("There are characters in it that can’t be shown: type it anew.")
    if line.email and not _is_address(line.email):
        yield _("%(text)s is not an e-mail address.") % {"text": line.email[:80]}
    if line.phone:
        try:
            accepted.phone(line.phone)
        except InputInvalid:
            text = _("%(text)s is not a telephone number: digits, spaces and + ( ) / . - only.")
            yield text % {"text": line.phone[:80]}
    if line.leaf_user_id and not LEAF_USER.fullmatch(line.leaf_user_id):
        text = _("%(text)s is not the id of a Leaf user: copy it from Leaf.")
        yield text % {"text": line.leaf_user_id[:80]}


def _is_address(text: str) -> bool:
    is_one = len(text) <= EMAIL_MAX and EMAIL.fullmatch(text) is not None
    return is_one and on_the_wire(text) is not None


def _repeated(line: Line, seen: dict[tuple[str, str], int]) -> Iterator[str]:
    """What an earlier row has already."""
    for what, text, message in (
        ("id", line.external_id, _("Line %(number)d has the same external id: keep one of them.")),
        ("leaf", line.leaf_user_id, _("Line %(number)d has the same Leaf user.")),
    ):
        if not text:
            continue
        first = seen.setdefault((what, text), line.line)
        if first != line.line:
            yield message % {"number": first}


def _leaf_user(line: Line, partner_id: UUID, grower: Grower | None, world: _World) -> Iterator[str]:
    """What keeps the grower from getting the Leaf user."""
    wanted = line.leaf_user_id
    if not wanted or (grower is not None and grower.leaf_user_id == wanted):
        return
    if wanted in world.leaf_users:
        owner, external_id = world.leaf_users[wanted]
        if owner == partner_id:
            text = _("Leaf user %(user)s belongs to grower %(grower)s: two can’t share one.")
            yield text % {"user": wanted, "grower": external_id}
        else:  # whose is not for everybody to know
            text = _("Leaf user %(user)s belongs to another grower: two can’t share one.")
            yield text % {"user": wanted}
    elif grower is not None and grower.leaf_user_id:
        yield _("The grower has another Leaf user already: empty the cell, or mend it by hand.")


def _changes(line: Line, grower: Grower) -> Iterator[str]:
    """What would be another than it is. An empty cell changes nothing."""
    for label, new, old in (
        (_("name"), line.name, grower.name),
        (_("e-mail"), line.email, grower.email),
        (_("phone"), line.phone, grower.phone),
        (_("Leaf user"), line.leaf_user_id, grower.leaf_user_id),
    ):
        if new and new != old:
            text = _("%(field)s: %(old)s → %(new)s")
            yield text % {"field": label, "old": old or _("empty"), "new": new}


def _world(session: Session, partner_id: UUID, lines: Sequence[Line]) -> _World:
    growers: dict[str, Grower] = {}
    for part in _parts(lines, lambda line: line.external_id):
        query = sa.select(Grower).where(
            Grower.partner_id == partner_id, Grower.external_id.in_(part)
        )
        growers |= {one.external_id: one for one in session.scalars(query)}
    users: dict[str, tuple[UUID, str]] = {}
    for part in _parts(lines, lambda line: line.leaf_user_id):
        owners = sa.select(Grower.leaf_user_id, Grower.partner_id, Grower.external_id).where(
            Grower.leaf_user_id.in_(part)
        )
        users |= {user or "": (owner, key) for user, owner, key in session.execute(owners)}
    return _World(growers, users)


def _parts(lines: Iterable[Line], of: Callable[[Line], str]) -> Iterator[list[str]]:
    """What the rows hold, so many at once as a query takes."""
    texts = sorted({of(line) for line in lines} - {""})
    for start in range(0, len(texts), ASKED_AT_ONCE):
        yield texts[start : start + ASKED_AT_ONCE]
