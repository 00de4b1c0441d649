"""The sandbox's John Deere accounts: each makes one case happen.

This table is the only list of them. The sign-in page, the control page and
`GET /control/accounts` show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from onboarding.states import Health

ACCESS_SECONDS = 43200
PASSWORD = "sandbox"  # noqa: S105 - shown on the sign-in page; nothing real stands behind it


class Listing(StrEnum):
    """How `GET /platform/organizations` answers for an account."""

    NORMAL = "normal"
    WITHOUT_VALUES = "without_values"
    FORBIDDEN = "forbidden"


@dataclass(frozen=True, kw_only=True)
class Farm:
    """A John Deere organization as one account sees it."""

    id: str
    name: str
    member: bool = True
    """False: seen through a partnership, the account is not on its staff."""
    can_share: bool = True
    """Whether the account may connect it to software."""
    connected: bool = False
    """Whether it is connected before the first visit."""
    permitted: bool = True
    """Whether its connection allows at once all that the application asks for."""
    fields: int = 12
    """So many of it Leaf fetches."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """A person who can sign in at the simulated John Deere."""

    name: str
    does: str
    farms: tuple[Farm, ...] = ()
    refused: bool = False
    """Consent ends with `access_denied`, though nobody pressed Cancel."""
    withheld_scopes: frozenset[str] = frozenset()
    gives_refresh_token: bool = True
    access_seconds: int = ACCESS_SECONDS
    """So long an access token lives; 0: it is over at once, as any is after half a day."""
    listing: Listing = Listing.NORMAL
    terms_url: str | None = None
    """Sent as `X-Deere-Terms-Location` with a 403 until the terms are accepted."""
    application_full: bool = False
    """Saving on the connections page is refused: five organizations are connected already."""
    hidden_reads: int = 0
    """How often the API still shows the old connections after Save."""
    leaf_status: Health = Health.OK
    """What Leaf finds out about the credential, if no permission is missing."""


def _farm(id: str, name: str) -> tuple[Farm, ...]:
    return (Farm(id=id, name=name),)


_TABLE = (
    Account(
        name="one-farm",
        does="One organization, not connected yet. The plain good case.",
        farms=_farm("450101", "Smith Farms"),
    ),
    Account(
        name="three-farms",
        does="Three organizations; tick one, two or all.",
        farms=(
            Farm(id="450201", name="Miller Creek Farm"),
            Farm(id="450202", name="Prairie View Acres"),
            Farm(id="450203", name="Oak Hollow"),
        ),
    ),
    Account(
        name="many-farms",
        does="23 organizations on three pages of the API, none connected.",
        farms=tuple(
            Farm(id=f"4503{number:02}", name=f"Valley Station {number:02}")
            for number in range(1, 24)
        ),
    ),
    Account(
        name="already-connected",
        does="Two organizations, the first is connected already.",
        farms=(
            Farm(id="450401", name="Harper Grain", connected=True),
            Farm(id="450402", name="Harper Livestock"),
        ),
    ),
    Account(name="no-organization", does="The account has no organization at all."),
    Account(
        name="staff-cannot-share",
        does="On the staff with too low rights: the organization is listed, its box is disabled.",
        farms=(Farm(id="450501", name="Big Bend Farms", can_share=False),),
    ),
    Account(
        name="staff-sees-nothing",
        does="On the staff with too low rights: the organization is missing from the list.",
    ),
    Account(
        name="staff-refused",
        does="On the staff with too low rights: the list itself is refused (403 Access Denied).",
        farms=(Farm(id="450503", name="Big Bend South", can_share=False),),
        listing=Listing.FORBIDDEN,
    ),
    Account(
        name="partners-only",
        does="Sees two partners' organizations only (member is false).",
        farms=(
            Farm(id="450601", name="Nelson Agronomy Client A", member=False),
            Farm(id="450602", name="Nelson Agronomy Client B", member=False),
        ),
    ),
    Account(
        name="terms-not-accepted",
        does="403 until John Deere's terms are accepted (on the control page).",
        farms=_farm("450701", "Cedar Ridge"),
        terms_url="https://operationscenter.deere.com/terms",
    ),
    Account(
        name="foreign-terms",
        does="As above, but the address of the terms is not John Deere's.",
        farms=_farm("450702", "Cedar Flats"),
        terms_url="https://deere.com.terms.example.net/accept",
    ),
    Account(
        name="fewer-scopes",
        does="Grants less than asked for: ag3 and files are missing from the token.",
        farms=_farm("450801", "Lone Tree Ranch"),
        withheld_scopes=frozenset({"ag3", "files"}),
    ),
    Account(
        name="no-refresh-token",
        does="The token answer has no refresh token.",
        farms=_farm("450802", "Stone Bridge Farm"),
        gives_refresh_token=False,
    ),
    Account(
        name="application-refused",
        does="John Deere refuses our application: access_denied without anyone pressing Cancel.",
        farms=_farm("450803", "North Fork Farm"),
        refused=True,
    ),
    Account(
        name="stage-full",
        does="The STAGE application has its 5 organizations: saving is refused.",
        farms=_farm("450901", "Sixth Farm"),
        application_full=True,
    ),
    Account(
        name="slow-to-appear",
        does="A saved organization appears in the API only after two more reads.",
        farms=_farm("450902", "Long Lane Farm"),
        hidden_reads=2,
    ),
    Account(
        name="missing-values",
        does="The organizations answer has no values field at all.",
        farms=_farm("450903", "Blank Acres"),
        listing=Listing.WITHOUT_VALUES,
    ),
    Account(
        name="missing-permission",
        does="Leaf finds the permissions too low (MISSING_PERMISSION), until more is allowed on "
        "the organization’s own page.",
        farms=(Farm(id="451001", name="Low Meadow Farm", permitted=False),),
    ),
    Account(
        name="leaf-cannot-reach",
        does="Leaf can't reach John Deere for this account (TEMPORARILY_UNAVAILABLE).",
        farms=_farm("451002", "Far Field Farm"),
        leaf_status=Health.TEMPORARILY_UNAVAILABLE,
    ),
    Account(
        name="dealer",
        does="A dealer's employee sign-in: it has no customer organization.",
    ),
)

ACCOUNTS = {account.name: account for account in _TABLE}
