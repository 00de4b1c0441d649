"""What Leaf says about the credential, and what has come of it."""

from __future__ import annotations

from datetime import datetime, timedelta

from onboarding.describe.actions import at_deere, choose, other_account, start
from onboarding.describe.names import name_of
from onboarding.describe.told import Action, Told
from onboarding.i18n import date, ngettext
from onboarding.i18n import gettext as _
from onboarding.models import Connection, Organization
from onboarding.states import Cause, Health, IncidentKind

CONFIRMED_FOR = timedelta(hours=48)
"""Leaf is asked at least once a day, and each hour after it did not answer: what it last said is
of yesterday at the worst, unless something is wrong."""
PAGES_OFFERED = 5
"""Organizations whose own page at John Deere is offered at once."""
OF_SEVERAL = 2
"""From so many on, Leaf's growers are told, who are John Deere's clients; one is the farm."""


def at_leaf(subject: Connection, incident: IncidentKind | None) -> Told | None:
    """What outweighs the organizations: whether Leaf's credential is any good."""
    if subject.cause is Cause.CREDENTIAL_MISSING:
        return _credential_missing()
    if subject.health is Health.UNAUTHENTICATED:
        is_of_many = incident is IncidentKind.REFUSED
        return _refused_with_many() if is_of_many else _unauthenticated()
    return None


def _credential_missing() -> Told:
    return Told(
        code="credential_missing",
        tone="act",
        label=_("Connect again"),
        title=_("Please connect again"),
        sentences=(_("Leaf, which brings your data, no longer has your permission."),),
        whether_shared=_("No new data arrives until you connect again."),
        who="grower",
        action=start(_("Connect again")),
        show_contact=True,
    )


def _unauthenticated() -> Told:
    return Told(
        code="reconnect",
        tone="act",
        label=_("Connect again"),
        title=_("Please connect again"),
        sentences=(
            _("John Deere no longer accepts the permission that you gave."),
            _("It may have been withdrawn at John Deere, or have expired."),
        ),
        whether_shared=_("No new data arrives until you connect again."),
        who="grower",
        action=start(_("Connect again")),
        others=(other_account(),),
    )


def _refused_with_many() -> Told:
    """Probably for a fault of ours. Who has withdrawn it can still connect again at once."""
    return Told(
        code="refused_with_many",
        tone="wait",
        label=_("We are on it"),
        title=_("We are looking into your connection"),
        sentences=(
            _(
                "John Deere does not accept the permissions of many farms at present, yours among "
                "them."
            ),
            _("That may well be about us and not about you. Our staff look into it."),
            _("You do not have to do anything yet. If you have to later, this page will say so."),
        ),
        whether_shared=_("No new data arrives meanwhile."),
        who="staff",
        others=(start(_("Connect again")),),
        show_contact=True,
    )


def connected(
    subject: Connection, moment: datetime, partner: str, incident: IncidentKind | None
) -> Told:
    """Leaf has the credential, and an organization is shared."""
    match subject.health:
        case Health.OK | Health.TEMPORARILY_UNAVAILABLE if subject.cause is Cause.NOTHING_FETCHED:
            return _nothing_fetched()
        case Health.OK | Health.TEMPORARILY_UNAVAILABLE if not _is_fresh(subject, moment):
            return _unconfirmed(subject)
        case Health.OK:
            return _data_flows(subject, partner)
        case Health.TEMPORARILY_UNAVAILABLE if subject.is_pause_untold(moment):
            return _data_flows(subject, partner)
        case Health.MISSING_PERMISSION if incident is IncidentKind.LIMITED:
            return _limited_with_many()
        case Health.MISSING_PERMISSION:
            return _missing_permission(subject)
        case Health.TEMPORARILY_UNAVAILABLE:
            return _temporarily_unavailable()
        case Health.UNAUTHENTICATED | Health.UNKNOWN:
            return _unknown_word() if subject.health_text else _checking()


def _is_fresh(subject: Connection, moment: datetime) -> bool:
    """Whether Leaf's word on the credential is so new that it can be told as of now."""
    said = subject.leaf_said_at
    return said is not None and moment - said < CONFIRMED_FOR


def _unconfirmed(subject: Connection) -> Told:
    said = subject.leaf_said_at
    when = date(said) if said else _("an unknown day")
    return Told(
        code="unconfirmed",
        tone="wait",
        label=_("Not confirmed"),
        title=_("Leaf has not confirmed your connection lately"),
        sentences=(
            _("Leaf last told us about it on %(date)s.") % {"date": when},
            _("Since then Leaf, the service that brings your data, could not be asked."),
            _("We keep trying. You do not have to do anything."),
        ),
        whether_shared=_("What you shared stays shared. New data may come late."),
        who="nobody",
    )


def _data_flows(subject: Connection, partner: str) -> Told:
    in_part = subject.lacks_scopes
    return Told(
        code="connected",
        tone="ok",
        label=_("Connected"),
        title=_("Connected"),
        sentences=(
            *([_fewer_rights()] if in_part else []),
            _what_comes(subject, partner),
            *_how_far(subject, in_part=in_part),
        ),
        who="grower" if in_part else "nobody",
        others=(
            *([start(_("Connect again")), at_deere()] if in_part else []),
            choose(_("Change what is shared"), organization_id=_only_shared(subject)),
            other_account(_("Wrong farm? Use a different account")),
        ),
    )


def _fewer_rights() -> str:
    return _(
        "John Deere gave fewer rights than were asked for, so some data may be missing. To give "
        "the others, connect again, or open your connections at John Deere."
    )


def _what_comes(subject: Connection, partner: str) -> str:
    if subject.grower.partner.select_organizations:
        # Leaf fetches nothing by itself (`organizationDataSync`).
        text = _("%(partner)s now chooses what Leaf fetches of your John Deere data.")
    else:
        text = _("Your John Deere data can now flow to %(partner)s through Leaf.")
    return text % {"partner": partner}


def _how_far(subject: Connection, *, in_part: bool) -> list[str]:
    """What has arrived, and that nothing is left to do; nothing is claimed before it has."""
    if arrived := arrived_at_leaf(subject):
        return [arrived] if in_part else [arrived, _("You can close this page.")]
    if in_part:
        return []
    if subject.grower.partner.select_organizations:
        return [_("You are done here and can close this page.")]
    return [_("The first data can take a few hours. You can close this page.")]


def arrived_at_leaf(subject: Connection) -> str:
    """What Leaf has fetched so far; empty without a field, since that is what growers know."""
    if not (fields := subject.fields_arrived or 0):
        return ""
    of_fields = ngettext("%(n)d field", "%(n)d fields", fields) % {"n": fields}
    if not (farms := subject.farms_arrived or 0):
        return _("%(fields)s arrived.") % {"fields": of_fields}
    on_farms = ngettext("%(n)d farm", "%(n)d farms", farms) % {"n": farms}
    if (clients := subject.growers_arrived or 0) < OF_SEVERAL:
        return _("%(fields)s on %(farms)s arrived.") % {"fields": of_fields, "farms": on_farms}
    return _("%(fields)s on %(farms)s of %(n)d clients arrived.") % {
        "fields": of_fields,
        "farms": on_farms,
        "n": clients,
    }


def _nothing_fetched() -> Told:
    return Told(
        code="nothing_fetched",
        tone="wait",
        label=_("Being set up"),
        title=_("Leaf does not fetch your data yet"),
        sentences=(
            _("Leaf, the service that brings your data, has your permission."),
            _("It still has to be told to fetch what you shared. We keep telling it."),
            _("Our staff can see it. You do not have to do anything."),
        ),
        whether_shared=_("What you shared stays shared. No data comes from it yet."),
        who="staff",
        show_contact=True,
    )


def _only_shared(subject: Connection) -> str | None:
    """The organization to change where there is but one; else John Deere's page lists them."""
    shared = [row.deere_id for row in subject.organizations if row.connected]
    return shared[0] if len(shared) == 1 else None


def _missing_permission(subject: Connection) -> Told:
    shared = sorted(
        (row for row in subject.organizations if row.connected),
        key=lambda row: name_of(row).casefold(),
    )
    first, *others = shared[:PAGES_OFFERED]
    if others:
        # Leaf does not say for which organization, and each has its own page.
        what_to_do = _(
            "We are not told which of your organizations it is. Open John Deere’s page for "
            "each, allow what is missing, press Save."
        )
        page = _page_of(first)
    else:
        what_to_do = _(
            "Open John Deere’s page for %(organization)s, allow what is missing and press Save."
        ) % {"organization": name_of(first)}
        page = choose(_("Open John Deere’s page"), organization_id=first.deere_id)
    return Told(
        code="missing_permission",
        tone="act",
        label=_("Permission missing"),
        title=_("A permission is missing"),
        sentences=(_("John Deere does not let Leaf fetch all of the data."), what_to_do),
        whether_shared=_("At most a part of your data is shared."),
        who="grower",
        action=page,
        others=(
            *map(_page_of, others),
            *([choose(_("Show all organizations"))] if len(shared) > PAGES_OFFERED else []),
            start(_("Connect again")),
        ),
        show_contact=True,
    )


def _limited_with_many() -> Told:
    """Probably for a fault of ours. What is shared can still be changed."""
    return Told(
        code="limited_with_many",
        tone="wait",
        label=_("We are on it"),
        title=_("We are looking into your connection"),
        sentences=(
            _("John Deere keeps back a part of the data of many farms at present, of yours, too."),
            _("That may well be about us and not about you. Our staff look into it."),
            _("You do not have to do anything yet. If you have to later, this page will say so."),
        ),
        whether_shared=_("At most a part of your data is shared."),
        who="staff",
        others=(choose(_("Change what is shared")),),
        show_contact=True,
    )


def _page_of(row: Organization) -> Action:
    return choose(
        _("Open the page of %(name)s") % {"name": name_of(row)}, organization_id=row.deere_id
    )


def _temporarily_unavailable() -> Told:
    return Told(
        code="temporarily_unavailable",
        tone="wait",
        label=_("Pause at John Deere"),
        title=_("A pause at John Deere"),
        sentences=(
            _("John Deere’s service does not answer Leaf at the moment."),
            _("You do not have to do anything: data comes once John Deere is back."),
        ),
        whether_shared=_("What you shared stays shared."),
        who="nobody",
    )


def _unknown_word() -> Told:
    return Told(
        code="unknown_health",
        tone="wait",
        label=_("Being checked"),
        title=_("We are looking into your connection"),
        sentences=(
            _("Leaf has your permission, but says something that we do not know yet."),
            _("Our staff can see it. You do not have to do anything."),
        ),
        whether_shared=_("What you shared stays shared. Whether data arrives is not certain."),
        who="staff",
        show_contact=True,
    )


def _checking() -> Told:
    return Told(
        code="checking",
        tone="wait",
        label=_("Being checked"),
        title=_("Leaf is checking your connection"),
        sentences=(
            _("Leaf has your permission, and asks John Deere whether it is good."),
            _("This can take a few minutes. The page updates by itself."),
        ),
        whether_shared=_("Whether data can flow is not certain yet."),
        who="nobody",
    )
