"""Trouble that many connections have at once, told once."""

from __future__ import annotations

from onboarding.describe.told import Told
from onboarding.i18n import gettext as _
from onboarding.i18n import mark
from onboarding.models import Connection, Incident
from onboarding.states import IncidentKind, Service, Stage

CONCERNED = frozenset({Stage.HANDING_OVER, Stage.CHOOSING_ORGANIZATIONS, Stage.CONNECTED})
SAYS_IT = {
    Service.JOHN_DEERE: frozenset({"temporarily_unavailable"}),
    Service.LEAF: frozenset({"handing_over_late", "unconfirmed", "waiting_for_leaf"}),
}
"""Codes of what says the same by itself."""
TO_GROWERS = {
    Service.JOHN_DEERE: mark(
        "John Deere has trouble at the moment, for many farms. We are watching it. Data may come "
        "late."
    ),
    Service.LEAF: mark(
        "Leaf, the service that brings your data, has trouble at the moment. We are watching it. "
        "Data may come late."
    ),
}

TO_STAFF = {
    IncidentKind.PAUSE: mark(
        "Incident at John Deere since %(began)s UTC: of %(asked)d connections that Leaf was asked "
        "about within minutes, %(turned)d stopped working. It ends by itself; meanwhile none of "
        "them raises an alarm, and growers are told on their pages."
    ),
    IncidentKind.REFUSED: mark(
        "Incident of our application since %(began)s UTC: of %(asked)d connections that Leaf was "
        "asked about within minutes, %(turned)d turned UNAUTHENTICATED. Look at John Deere: was "
        "the client secret of DEERE_CLIENT_KEY changed, is the application blocked, and is it in "
        "the environment of DEERE_ENVIRONMENT? Their growers are told that we look into it; a day "
        "later at the latest each is asked to connect again."
    ),
    IncidentKind.LIMITED: mark(
        "Incident of our application since %(began)s UTC: of %(asked)d connections that Leaf was "
        "asked about within minutes, %(turned)d turned MISSING_PERMISSION. Look at John Deere: has "
        "the application of DEERE_CLIENT_KEY lost scopes or an approval, and is it in the "
        "environment of DEERE_ENVIRONMENT? Their growers are told that we look into it; a day "
        "later at the latest each is asked to allow what is missing."
    ),
}
TO_LIMITED = mark(
    "Incident since %(began)s UTC: many connections stopped working at once, so it is about none "
    "of them. Those who look after the installation see more here."
)


def incident_for_growers(subject: Connection, told: Told, *, service: Service | None) -> str | None:
    """What a grower's page says above all else while a service has trouble; None: nothing.

    :param told: what the page says of the connection itself
    :param service: whose trouble it is, if there is any
    """
    if service is None or subject.stage not in CONCERNED or told.code in SAYS_IT[service]:
        return None
    text = _(TO_GROWERS[service])
    return text if told.who == "grower" else f"{text} {_('You do not have to do anything.')}"


def incident_for_staff(incident: Incident, *, with_numbers: bool = True) -> str:
    """What staff are told instead of one alarm for each connection: what was seen, what to do.

    :param with_numbers: else only that there is one, for who may not know how many others have it
    """
    if not with_numbers:
        return _(TO_LIMITED) % {"began": f"{incident.began_at:%Y-%m-%d %H:%M}"}
    return _(TO_STAFF[incident.kind]) % {
        "began": f"{incident.began_at:%Y-%m-%d %H:%M}",
        "asked": incident.asked,
        "turned": incident.turned,
    }
