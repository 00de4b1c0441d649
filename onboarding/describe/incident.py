"""Trouble that many connections have at once, told once."""

from __future__ import annotations

from onboarding.describe.told import Told
from onboarding.i18n import gettext as _
from onboarding.i18n import mark
from onboarding.models import Connection, Incident
from onboarding.states import Service, Stage

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


def incident_for_growers(subject: Connection, told: Told, *, service: Service | None) -> str | None:
    """What a grower's page says above all else while a service has trouble; None: nothing.

    :param told: what the page says of the connection itself
    :param service: whose trouble it is, if there is any
    """
    if service is None or subject.stage not in CONCERNED or told.code in SAYS_IT[service]:
        return None
    text = _(TO_GROWERS[service])
    return text if told.who == "grower" else f"{text} {_('You do not have to do anything.')}"


def incident_for_staff(incident: Incident) -> str:
    """What staff are told instead of one alarm for each connection."""
    return _(
        "Incident at %(service)s since %(began)s UTC: of %(asked)d connections that Leaf was asked "
        "about within minutes, %(turned)d stopped working. It ends by itself; meanwhile none of "
        "them raises an alarm, and growers are told on their pages."
    ) % {
        "service": incident.service.value,
        "began": f"{incident.began_at:%Y-%m-%d %H:%M}",
        "asked": incident.asked,
        "turned": incident.turned,
    }
