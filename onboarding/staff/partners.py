"""Partners, as staff see and change them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy.orm import Session

from onboarding.connections import partnership
from onboarding.errors import InputInvalid
from onboarding.models import Application, Partner
from onboarding.settings import Settings
from onboarding.staff import applications, audit
from onboarding.staff.roles import Member
from onboarding.urls import is_loopback


def named(session: Session, slug: str) -> Partner:
    """A partner by its slug.

    :raise InputInvalid: if there is none
    """
    found = partnership.find(session, slug)
    if found is None:
        raise InputInvalid(f"There is no partner {slug!r}.")
    return found


def use_application(
    session: Session, partner: Partner, name: str, by: Member | None
) -> Application | None:
    """Let the partner's growers sign in with an application from now on.

    :param name: empty: the default one
    :raise InputInvalid: if there is none of that name
    """
    found = applications.named(session, name) if name else None
    wanted = found.id if found else None
    if partner.application_id != wanted:
        partner.application_id = wanted
        audit.record(session, by, "partner.application", partner=partner, application=name)
    return found


def switch_open_link(session: Session, partner: Partner, on: bool, by: Member | None) -> None:
    """Let anybody ask for a link at the partner's address, or nobody."""
    if partner.open_link is not on:
        partner.open_link = on
        audit.record(session, by, "partner.change", partner=partner, changed=["open_link"])


def refuse_loopback(settings: Settings, values: Mapping[str, Any]) -> None:
    """Growers of a real installation are sent to no machine of their own.

    :raise InputInvalid: if an address is on loopback, outside the sandbox
    """
    urls = [*values["frame_origins"], *values["return_urls"]]
    if not settings.is_sandbox and (here := [url for url in urls if is_loopback(url)]):
        raise InputInvalid(f"{here[0]} is on the grower's own machine: only a sandbox allows that.")


def add(session: Session, by: Member, *, slug: str, application: str, **values: Any) -> Partner:
    """A new partner; see `partnership.add_partner`.

    :param application: its name; empty: the default one
    :raise InputInvalid: saying which value to change and how
    """
    made = partnership.add_partner(session, slug=slug, **values)
    session.flush()
    audit.record(session, by, "partner.add", partner=made, slug=slug)
    use_application(session, made, application, by)
    return made


def change(
    session: Session, partner: Partner, by: Member, *, application: str, **values: Any
) -> None:
    """Give a partner these values; see `partnership.change_partner`.

    :raise InputInvalid: saying which value to change and how
    """
    before = _values(partner, values)
    partnership.change_partner(partner, **values)
    after = _values(partner, values)
    if changed := [name for name in values if before[name] != after[name]]:
        audit.record(session, by, "partner.change", partner=partner, changed=changed)
    use_application(session, partner, application, by)


def list_addresses(
    session: Session,
    settings: Settings,
    partner: Partner,
    *,
    frame_origins: Collection[str],
    return_urls: Collection[str],
    by: Member | None,
) -> None:
    """List further origins that may frame our pages, and addresses that growers may return to.

    :raise InputInvalid: saying which one to change and how
    """
    added = {"frame_origins": frame_origins, "return_urls": return_urls}
    refuse_loopback(settings, added)
    values = {name: getattr(partner, name) for name in partnership.CHANGED}
    for name, more in added.items():
        values[name] = list(dict.fromkeys([*values[name], *more]))
    before = [list(partner.frame_origins), list(partner.return_urls)]
    partnership.change_partner(partner, **values)
    if before != [partner.frame_origins, partner.return_urls]:
        audit.record(session, by, "partner.change", partner=partner, changed=[*added])


def _values(partner: Partner, names: Mapping[str, Any]) -> dict[str, Any]:
    return {name: getattr(partner, name) for name in names}
