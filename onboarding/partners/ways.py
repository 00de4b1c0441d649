"""In the sandbox: what leads a connection to each status, and what else is to know of it."""

from __future__ import annotations

from typing import Any

from onboarding.connections import incidents
from onboarding.settings import Settings
from onboarding.states import Health, Outcome

OPEN = ("authorizing", "finishing")
"""The grower is at John Deere, or just back from there."""
ENDS = {
    "denied": Outcome.DENIED,
    "took_too_long": Outcome.EXPIRED,
    "interrupted": Outcome.INTERRUPTED,
    "code_refused": Outcome.CODE_REFUSED,
    "deere_unavailable": Outcome.DEERE_UNAVAILABLE,
    "application_refused": Outcome.APPLICATION_REFUSED,
}
"""How an attempt ends without a permission."""
SAYS = {
    "reconnect": Health.UNAUTHENTICATED.value,
    "refused_with_many": Health.UNAUTHENTICATED.value,
    "missing_permission": Health.MISSING_PERMISSION.value,
    "limited_with_many": Health.MISSING_PERMISSION.value,
    "temporarily_unavailable": Health.TEMPORARILY_UNAVAILABLE.value,
    "unknown_health": "SUSPENDED",
    "checking": "",
}
"""What Leaf says of the permission that it holds."""
WORKING = frozenset({"unconfirmed", "nothing_fetched"})
"""What only comes to a connection that works."""
SHARING = WORKING | (SAYS.keys() - {"reconnect", "refused_with_many"})
"""What is told while an organization is shared."""
ENDING = ("disconnecting", "disconnecting_late", "disconnecting_held_up", "disconnected")

OWN_FARM = {"id": "459901", "name": "Sandbox Farm"}
SHARED: dict[str, Any] = {"farms": [OWN_FARM | {"connected": True}]}
NOT_SHARED: dict[str, Any] = {"farms": [OWN_FARM]}
TERMS_URL = "https://operationscenter.deere.com/terms"
PEOPLE: dict[str, dict[str, Any]] = {
    "connected": SHARED,
    "choose_organizations": NOT_SHARED,
    "no_organization_chosen": NOT_SHARED,
    "no_organizations": {"farms": []},
    "wrong_account": {"farms": [OWN_FARM | {"member": False}]},
    "terms_not_accepted": NOT_SHARED | {"terms_url": TERMS_URL},
    "organizations_refused": NOT_SHARED,
    "organizations_unavailable": NOT_SHARED,
    "organizations_unknown": {"farms": []},
    "choice_unseen": NOT_SHARED | {"access_seconds": 0},
    "handing_over": SHARED,
    "handing_over_late": SHARED,
    "waiting_for_leaf": SHARED,
    "waiting_for_staff": SHARED,
    "failed": SHARED,
}
"""Whose consent leads there: an account of the connection's own."""
KNOWN_PEOPLE = {
    "permissions_too_low": "staff-refused",
    "no_refresh_token": "no-refresh-token",
}
"""The same, by an account of the sandbox's list."""
CHOSEN = frozenset({"no_organization_chosen", "choice_unseen"})
"""For which the grower also was at John Deere's page for organizations, and is back."""


def _answered(where: str, status: int, **more: Any) -> dict[str, Any]:
    return {"where": where, "kind": "status", "status": status, **more}


TAKES = "leaf.credentials.create"
LISTS, SHOWS = "leaf.organizations", "leaf.credentials.get"
DEERE_LISTS = "deere.organizations"
OUT_OF_SCOPE = {"errors": [{"message": "Insufficient scope"}]}
FAULTS: dict[str, tuple[dict[str, Any], ...]] = {
    "handing_over": ({"where": TAKES, "kind": "latency", "seconds": 15.0, "times": 1},),
    "failed": (_answered(TAKES, 400, times=1),),
    "waiting_for_leaf": (_answered(TAKES, 503),),
    "organizations_refused": (_answered(DEERE_LISTS, 403, body=OUT_OF_SCOPE),),
    "organizations_unavailable": (_answered(DEERE_LISTS, 503), _answered(LISTS, 503)),
    "organizations_unknown": ({"where": DEERE_LISTS, "kind": "json", "body": {"links": []}},),
    "choice_unseen": (_answered(LISTS, 503),),
    "unconfirmed": (_answered("leaf.status", 503),),
    "nothing_fetched": (_answered("leaf.choices.set", 403),),
    "disconnecting": (_answered(SHOWS, 503),),
    "disconnecting_late": (_answered(SHOWS, 503),),
    "disconnecting_held_up": (_answered("leaf.credentials.delete", 403),),
}
"""What goes wrong meanwhile, for this connection alone, until it is moved on."""

CODES = (
    *("invited", *OPEN, *ENDS, *PEOPLE, *KNOWN_PEOPLE, *SAYS),
    *("unconfirmed", "nothing_fetched", "credential_missing", *ENDING),
)
"""All that a connection can be brought to."""

_LASTED = "It is told once it has lasted for 20 seconds."
_CLOCK = "the sandbox’s control page can move the clock."
_MANY = (
    "It is told once it is so of many: move at least {least} connections, and {share} percent of "
    "those that Leaf was asked about within {minutes} minutes. Until then it is `%s`."
)
HINTS = {
    "finishing": "It lasts for a minute at most; then the grower counts as cut off.",
    "handing_over": "It lasts for 15 seconds, then Leaf has taken the permission.",
    "handing_over_late": (
        "It is told after 20 seconds, and lasts until two minutes are over: by then Leaf can’t "
        "take the first permission any more."
    ),
    "waiting_for_leaf": _LASTED,
    "disconnecting_late": _LASTED,
    "temporarily_unavailable": f"It is told once it has lasted for a quarter of an hour; {_CLOCK}",
    "unconfirmed": f"It is told after two days without a word of Leaf; {_CLOCK}",
    "refused_with_many": _MANY % "reconnect",
    "limited_with_many": _MANY % "missing_permission",
}


def hint(code: str, settings: Settings) -> str:
    """What else is to know, where the status does not come within a second or two; empty: nothing.

    :param settings: say when trouble is of many
    """
    return HINTS.get(code, "").format(
        least=incidents.LEAST,
        share=settings.incident_share_percent,
        minutes=settings.incident_within_minutes,
    )
