"""A portal's page, as it tells of itself, or as its developer has pasted it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from onboarding.errors import InputInvalid
from onboarding.urls import HOST_AND_PORT, USUAL_PORTS

FRAMES_MAX = 20
TEXT_MAX = 16_384
ADDRESS_MAX = 500
CLOCK_MAX = 1e11
"""Seconds since 1970; more is no clock."""
NO_ORIGIN = "null"
POLICY_HEADER = "content-security-policy"
OPENER, EMBEDDER = "cross-origin-opener-policy", "cross-origin-embedder-policy"
PERMISSIONS = "permissions-policy"
LOOKED_AT = frozenset({POLICY_HEADER, OPENER, EMBEDDER, PERMISSIONS})
ELEMENT = "connect-john-deere"
FRAME_PATH = re.compile(r"/embed/[^/?#]+")
LOADER_PATH = "/static/embed.js"
LOADER_URL = re.compile(re.escape(LOADER_PATH) + r"(?:[?#]|$)")

Address = Annotated[str, Field(max_length=ADDRESS_MAX)]
Text = Annotated[str, Field(max_length=TEXT_MAX)]


class Frame(BaseModel):
    """A frame of ours, or an element that has not made one.

    :ivar sandbox: of an `<iframe>`; None: it has none
    :ivar allow: of an `<iframe>` that the portal makes by itself; None: `embed.js` makes it
    :ivar answered: whether it has spoken; None: nobody has listened
    """

    model_config = ConfigDict(extra="forbid")

    sandbox: Text | None = None
    allow: Text | None = None
    answered: bool | None = None


class Page(BaseModel):
    """What is known of it.

    :ivar origin: as browsers write it; `null` in a sandbox, or of a file
    :ivar ancestors: origins of pages that frame it
    :ivar loader: origin that it has `embed.js` from; None: not known
    :ivar headers: of its answer, those of `LOOKED_AT`; None: not known
    :ivar policies: that stand in it as `<meta>`
    :ivar frames: of ours in it; None: not known
    :ivar clock: of its browser, in seconds since 1970; None: not known
    """

    model_config = ConfigDict(extra="forbid")

    origin: Address
    ancestors: Annotated[list[Address], Field(max_length=FRAMES_MAX)] = []
    loader: Address | None = None
    headers: dict[Address, Text] | None = None
    policies: Annotated[list[Text], Field(max_length=FRAMES_MAX)] = []
    frames: Annotated[list[Frame], Field(max_length=FRAMES_MAX)] | None = None
    clock: Annotated[float, Field(ge=0, le=CLOCK_MAX)] | None = None

    @field_validator("origin")
    @classmethod
    def _as_origin(cls, value: str) -> str:
        return origin_of(value) or NO_ORIGIN

    @field_validator("ancestors")
    @classmethod
    def _as_origins(cls, value: list[str]) -> list[str]:
        return [one for one in map(origin_of, value) if one]

    @field_validator("loader")
    @classmethod
    def _as_origin_or_none(cls, value: str | None) -> str | None:
        return origin_of(value) if value else None

    def header(self, name: str) -> str:
        """What a header says; empty: nothing, or not known."""
        return (self.headers or {}).get(name, "")

    def permission(self, name: str) -> str | None:
        """To whom its header gives a permission; None: it does not say."""
        pattern = rf"(?:^|,)\s*{re.escape(name)}=(\([^)]*\)|\*|self)"
        found = re.search(pattern, self.header(PERMISSIONS))
        return found[1] if found else None

    def header_policies(self) -> list[str]:
        """Those that its answer carries."""
        return [one for one in self.header(POLICY_HEADER).split(",") if one.strip()]

    def all_policies(self) -> list[str]:
        """Each has to allow what the page does."""
        return [*self.header_policies(), *(one for one in self.policies if one.strip())]


def origin_of(address: str) -> str | None:
    """The origin of an address, as browsers write it; None: it is no address of a page."""
    try:
        parts = urlsplit(address.strip())
        host, port = parts.hostname, parts.port
        host = host.encode("idna").decode() if host and not host.isascii() else host
    except ValueError:
        return None
    if parts.scheme not in USUAL_PORTS or not host:
        return None
    named = f"[{host}]" if ":" in host else host
    place = named if port in {None, USUAL_PORTS[parts.scheme]} else f"{named}:{port}"
    origin = f"{parts.scheme}://{place}"
    # A name may be longer as browsers write it than as it was typed.
    is_one = HOST_AND_PORT.fullmatch(place) and len(origin) <= ADDRESS_MAX
    return origin if is_one else None


def headers_in(text: str) -> dict[str, str]:
    """The headers that matter, of what `curl -sI` or a browser shows; the rest is passed over."""
    found: dict[str, list[str]] = {}
    waiting = ""
    for line in text.splitlines():
        name, _colon, value = line.strip().removeprefix("< ").partition(":")
        name, value = name.strip().lower(), value.strip()
        if waiting and line.strip():
            # Some browsers show the value in a line of its own.
            found.setdefault(waiting, []).append(line.strip())
            waiting = ""
        elif name in LOOKED_AT and value:
            found.setdefault(name, []).append(value)
        elif name in LOOKED_AT:
            waiting = name
    return {name: ", ".join(values) for name, values in found.items()}


def page_in(origin: str, headers: str, markup: str) -> tuple[Page, str]:
    """What a developer has pasted of a page, and the token that stands in it; empty: none.

    :param headers: empty: not known
    :param markup: its HTML, or the part with the frame; empty: not known
    :raise InputInvalid: if what matters of it is longer than any page's, or can't be read
    """
    reader = _Reader()
    try:
        # Python's parser stumbles over marked sections; to browsers they are comments.
        reader.feed(markup.replace("<![", "<! ["))
    except ValueError as err:  # a character's number that is longer than Python reads
        raise InputInvalid(
            "The HTML can’t be read: give only the part with the frame, the script and any meta "
            "element with a policy."
        ) from err
    try:
        page = Page.model_validate(
            {
                "origin": origin,
                "headers": headers_in(headers) if headers.strip() else None,
                "policies": reader.policies[:FRAMES_MAX],
                "frames": reader.frames[:FRAMES_MAX] if markup.strip() else None,
                "loader": reader.loader,
            }
        )
    except ValidationError as err:
        raise InputInvalid(
            f"A header, or an attribute of a frame, has more than {TEXT_MAX} characters, which no "
            "page needs: give it without that one."
        ) from err
    return page, reader.token


class _Reader(HTMLParser):
    """Reads what matters of a page's HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[dict[str, Any]] = []
        self.policies: list[str] = []
        self.token = ""
        self.loader: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """What a browser would make of it."""
        named = {name: value or "" for name, value in attrs}
        if tag == ELEMENT:
            self.frames.append({})
            self.token = self.token or named.get("token", "")
        elif tag == "iframe" and FRAME_PATH.search(named.get("src", "")):
            self.frames.append({"sandbox": named.get("sandbox"), "allow": named.get("allow", "")})
            self.token = self.token or unquote(named["src"].partition("#")[2])
        elif tag == "meta" and named.get("http-equiv", "").lower() == POLICY_HEADER:
            self.policies.append(named.get("content", ""))
        elif tag == "script" and LOADER_URL.search(named.get("src", "")):
            self.loader = origin_of(named["src"][:ADDRESS_MAX])


def without_token(markup: str, token: str) -> str:
    """The same HTML to be shown again: a token is a secret for as long as it lasts."""
    return markup.replace(token, "TOKEN") if token else markup
