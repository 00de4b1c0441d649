"""The shapes in which people are told something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tone = Literal["ok", "wait", "act", "problem", "quiet"]
Who = Literal["grower", "staff", "nobody"]


@dataclass(frozen=True)
class Action:
    """A next step as a button or link.

    kind: `start` and `start_other` begin an attempt (the second asks John Deere for another
    sign-in), `new_link` has a new link mailed, `organizations` leads to John Deere's page for
    choosing them, `connections` to its page of all connections of an account, `page` is a path of
    ours, `link` an https page of somebody else.
    """

    kind: Literal[
        "start", "start_other", "new_link", "organizations", "connections", "page", "link"
    ]
    label: str
    url: str | None = None
    organization_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Told:
    """What happened, whether anything was shared, the one next step and whose turn it is."""

    code: str
    """Stable, for machines."""
    tone: Tone
    label: str
    """Two or three words for a badge."""
    title: str
    sentences: tuple[str, ...] = ()
    whether_shared: str = ""
    who: Who
    action: Action | None = None
    others: tuple[Action, ...] = ()
    reference: str | None = None
    show_contact: bool = False

    @property
    def in_full(self) -> str:
        """The title and the sentences, as one text."""
        return " ".join((self.title + ".", *self.sentences))


@dataclass(frozen=True)
class Step:
    """One of the three steps of the grower's page."""

    name: str
    state: Literal["done", "now", "wait", "todo", "problem"]
    text: str


@dataclass(frozen=True)
class Org:
    """An organization by its name."""

    id: str
    name: str
    connected: bool
