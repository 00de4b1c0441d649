"""What leaves this package, and how it is read from Leaf's JSON.

Leaf's documentation exists in an older and a newer version, and neither says which fields are
always there, so every reader takes what it knows and tolerates the absence of the rest.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from onboarding.redaction import identifier, one_line, redact
from onboarding.states import Environment, Health, SyncChoice

RAW_STATUS_LIMIT = 64
"""Characters of a status that we don't know which are kept for staff."""
EVENT_BODY_LIMIT = 1000
"""Characters of what John Deere answered to Leaf which are kept for staff."""
LARGEST_COUNT = 2**31 - 1
_DATE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:?\d\d)?")
CREDENTIALS = "Credentials"
"""So end the names of a user's fields that hold them; one for each provider, empty if none."""
_HIDDEN = frozenset("*•…")


@dataclass(frozen=True)
class LeafUser:
    """A grower at Leaf."""

    id: str
    external_id: str | None
    name: str
    is_connected: bool = False
    """Whether they have a credential of any provider."""


@dataclass(frozen=True)
class Report:
    """What Leaf says about a credential's health."""

    health: Health
    raw_status: str
    """Leaf's own word, at most 64 characters; empty if Leaf gave none."""
    credential_id: str | None = None
    """Of the credential that it is about; None where Leaf does not say."""
    created: datetime | None = field(default=None, compare=False)
    """When that was made, as far as Leaf says."""
    client_key: str | None = field(default=None, compare=False)
    """Of the application that it was made with."""


@dataclass(frozen=True)
class Credential:
    """The John Deere credential of a Leaf user."""

    id: str | None
    """What Leaf's alerts call `credentialId`; None in the older form of the answer."""
    health: Health
    raw_status: str
    created: datetime | None
    scopes: frozenset[str]
    environment: Environment | None
    client_key: str | None
    """Of the application that it was made with; None if Leaf does not show it."""
    holds_token: bool | None
    """Whether it holds the refresh token that was asked about. None: Leaf did not show one, or
    nothing was asked. False can also mean that John Deere has replaced the token since."""

    @property
    def shows_itself(self) -> bool:
        """Whether it has what only a credential has, so that nothing else can be meant.

        Every documented form has both. An id or a status may as well be those of a request that a
        gateway has queued.
        """
        return self.holds_token is not None or self.environment is not None

    @property
    def is_evident(self) -> bool:
        """Whether an answer to "which credential is there" speaks of one."""
        return self.shows_itself or self.created is not None or self.health is not Health.UNKNOWN

    @property
    def is_none(self) -> bool:
        """Whether such an answer speaks of none: Leaf shows that as `{}` in its users."""
        return not self.is_evident and self.id is None and self.raw_status == ""


@dataclass(frozen=True)
class CredentialEvent:
    """One call that Leaf made to John Deere with the credential."""

    id: str
    status_code: int | None
    created: datetime | None
    body: str
    """What John Deere answered, redacted, at most 1000 characters."""


@dataclass(frozen=True)
class LeafOrganization:
    """A John Deere organization as Leaf sees it."""

    id: str
    name: str
    management_uri: str | None
    """John Deere's page to connect or manage it, as Leaf gave it; not checked."""


@dataclass(frozen=True)
class LeafOrganizations:
    """The organizations that Leaf can and cannot read."""

    connected: tuple[LeafOrganization, ...]
    not_connected: tuple[LeafOrganization, ...]


@dataclass(frozen=True)
class OrganizationChoice:
    """An organization and what Leaf fetches of it."""

    id: str
    name: str
    choice: SyncChoice | None
    """None: a word that we don't know."""
    management_uri: str | None


@dataclass(frozen=True)
class Summary:
    """How much of a grower's data has come from John Deere to Leaf so far."""

    growers: int
    farms: int
    fields: int


def read_user(body: Any) -> LeafUser | None:
    """A user, or None if it has no id."""
    user = _mapping(body)
    if not (user_id := identifier(user.get("id"))):
        return None
    return LeafUser(
        user_id,
        external_id=read_external_id(user),
        name=one_line(_text(user.get("name"))),
        is_connected=any(held for name, held in user.items() if name.endswith(CREDENTIALS)),
    )


def read_external_id(body: Any) -> str | None:
    """Our id of a user, whether or not the user has an id of Leaf's."""
    return _text(_mapping(body).get("externalId")) or None


def read_report(status: Any) -> Report:
    """Leaf's status word, which is only a health if it is exactly one that we know."""
    raw = redact(_text(status), limit=RAW_STATUS_LIMIT)
    known = raw in set(Health) and raw != Health.UNKNOWN
    return Report(Health(raw) if known else Health.UNKNOWN, raw)


def read_status_answer(body: Any) -> Report:
    """The answer of `/status`, "a JSON containing the status", of which no sample exists."""
    if isinstance(body, dict):
        return read_report(body.get("status", body.get("message")))
    return read_report(body)


def read_credential(body: Mapping[str, Any], *, refresh_token: str | None = None) -> Credential:
    """A credential, in the older form (2022) or the newer.

    :param refresh_token: what to compare the credential's own with
    """
    report = read_report(body.get("status"))
    metadata = _mapping(body.get("tokenMetadata"))
    environment = _text(body.get("clientEnvironment"))
    return Credential(
        id=identifier(body.get("id")) or None,
        health=report.health,
        raw_status=report.raw_status,
        created=read_date(body.get("createdTime")),
        scopes=_words(metadata.get("scopes", body.get("scopes"))),
        environment=Environment(environment) if environment in set(Environment) else None,
        client_key=_shown(body.get("clientKey")),
        holds_token=_holds(body.get("refreshToken"), refresh_token),
    )


def read_event(body: Any) -> CredentialEvent:
    """An event; `statusCode` is a number or a string."""
    event = _mapping(body)
    status_code = _text(event.get("statusCode"))
    return CredentialEvent(
        id=_text(event.get("id")),
        status_code=int(status_code) if re.fullmatch(r"[1-5][0-9]{2}", status_code) else None,
        created=read_date(event.get("createdDate")),
        body=redact(_text(event.get("body")), limit=EVENT_BODY_LIMIT),
    )


def read_organizations(body: Mapping[str, Any]) -> LeafOrganizations | None:
    """Both lists; one that is missing is empty. None if both are."""
    lists = (body.get("connectedOrganizations"), body.get("notConnectedOrganizations"))
    if not any(isinstance(entries, list) for entries in lists):
        return None
    return LeafOrganizations(
        connected=_organizations(body.get("connectedOrganizations")),
        not_connected=_organizations(body.get("notConnectedOrganizations")),
    )


def read_choice(body: Any) -> OrganizationChoice | None:
    """An organization and its choice, or None if it has no id."""
    organization = _mapping(body)
    if not (organization_id := identifier(organization.get("providerOrgId"))):
        return None
    status = _text(organization.get("status"))
    return OrganizationChoice(
        id=organization_id,
        name=one_line(_text(organization.get("providerOrgName"))),
        choice=SyncChoice(status) if status in set(SyncChoice) else None,
        management_uri=_uri(organization.get("managementUri")),
    )


def read_summary(body: Mapping[str, Any]) -> Summary | None:
    """John Deere's part of a sync summary, all zero if there is none; None if it is no summary."""
    if not isinstance(summaries := body.get("summaries"), list):
        return None
    ours = [
        summary
        for summary in map(_mapping, summaries)
        if _text(summary.get("provider")).casefold() in {"", "johndeere"}
    ]
    return Summary(
        growers=sum(_count(summary.get("growers")) for summary in ours),
        farms=sum(_count(summary.get("farms")) for summary in ours),
        fields=sum(_count(summary.get("fields")) for summary in ours),
    )


def read_date(value: Any) -> datetime | None:
    """An instant in any form that Leaf uses: 0 to 9 fractional digits, with or without a zone.

    Without a zone it is taken as UTC. What is not a date is None.
    """
    match = _DATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    seconds, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{seconds}.{(fraction or '0')[:6]:0<6}{zone or 'Z'}")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):  # a 13th month, or beyond all years
        return None


def _organizations(values: Any) -> tuple[LeafOrganization, ...]:
    entries = [_mapping(value) for value in values] if isinstance(values, list) else []
    return tuple(
        LeafOrganization(
            id=organization_id,
            name=one_line(_text(entry.get("name"))),
            management_uri=_uri(entry.get("managementUri")),
        )
        for entry in entries
        if (organization_id := identifier(entry.get("id")))
    )


def _shown(value: Any) -> str | None:
    """A text, unless it is empty or starred out."""
    text = _text(value)
    return None if _HIDDEN & set(text) else text or None


def _holds(value: Any, asked: str | None) -> bool | None:
    if not asked or (shown := _shown(value)) is None:
        return None
    # JSON can hold half of a surrogate pair, which is no text; it must not end in an exception.
    return hmac.compare_digest(shown.encode(errors="surrogatepass"), asked.encode())


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    """Text or a number as text; anything else is nothing."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value)


def _count(value: Any) -> int:
    """A number of things; anything else, also more than a table holds, is none."""
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return value if is_count and 0 <= value <= LARGEST_COUNT else 0


def _uri(value: Any) -> str | None:
    uri = _text(value)
    return uri if uri and uri.isprintable() else None


def _words(value: Any) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset(value.split())
    return frozenset(filter(None, map(_text, value))) if isinstance(value, list) else frozenset()
