"""John Deere's organizations, and the page where a grower chooses among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from onboarding.redaction import identifier, one_line

CONNECT_REL = "connections"
MANAGE_RELS = ("manage_connections", "manage_connection")
"""The specification has the first; the second was seen in a public integration."""


@dataclass(frozen=True)
class Organization:
    """A John Deere organization that the grower's account can see."""

    id: str
    name: str
    member: bool
    """Whether the grower is on its staff; else it is a partner's."""
    connected: bool
    """Whether it is shared with our application."""
    manage_uri: str | None
    """John Deere's page to change or end the sharing, as given; not checked."""
    connect_uri: str | None
    """John Deere's page to share it, as given; not checked."""


def read_organization(body: Any) -> Organization | None:
    """One of `values`, or None if it has no id that we can use.

    John Deere's rule: a `connections` link means that the organization is not connected yet.
    One that has no link but its own says nothing, and is not taken for connected.
    """
    if not isinstance(body, dict) or not (organization_id := identifier(body.get("id"))):
        return None
    links = read_links(body)
    usable = {rel for rel, uri in links.items() if uri.isprintable()}
    name = body.get("name")
    return Organization(
        id=organization_id,
        name=one_line(name) if isinstance(name, str) else "",
        member=body.get("member") is not False,
        connected=CONNECT_REL not in links and bool(links.keys() - {"self"}),
        manage_uri=next((links[rel] for rel in MANAGE_RELS if rel in usable), None),
        connect_uri=links[CONNECT_REL] if CONNECT_REL in usable else None,
    )


def read_links(body: Mapping[str, Any]) -> dict[str, str]:
    """The URIs in `links` by their `rel`."""
    links = body.get("links")
    return {
        link["rel"]: link["uri"]
        for link in (links if isinstance(links, list) else [])
        if isinstance(link, dict)
        and isinstance(link.get("rel"), str)
        and isinstance(link.get("uri"), str)
    }


def pages_to_choose(
    organizations: Iterable[Organization], organization_id: str | None
) -> list[str]:
    """URIs of pages to choose organizations on, the best first.

    For one organization: its own. For all: one that connects, the grower's own organizations
    before their partners', else one that manages.
    """
    found = [o for o in organizations if organization_id in {None, o.id}]
    found.sort(key=lambda organization: not organization.member)
    connect = [o.connect_uri for o in found if o.connect_uri]
    return connect + [o.manage_uri for o in found if o.manage_uri]


def with_redirect(uri: str, redirect_uri: str) -> str:
    """The URI with `redirect_uri` in its query, whatever else is there."""
    parts = urlsplit(uri)
    query = [
        pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != "redirect_uri"
    ]
    query.append(("redirect_uri", redirect_uri))
    return urlunsplit(parts._replace(query=urlencode(query)))
