"""What the grower's pages show, and which browser may see them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Response, abort, make_response, render_template, request, url_for
from sqlalchemy.orm import Session

from onboarding import describe, headers
from onboarding.clock import now
from onboarding.colours import accent_css
from onboarding.connections import applications, consent, embedding, growers, incidents, mails
from onboarding.errors import LinkInvalid
from onboarding.forms import POPUP, NewLinkForm, StartForm
from onboarding.links import grower_cookie
from onboarding.models import Connection, Link, Partner
from onboarding.settings import Settings
from onboarding.states import Outcome, Stage
from onboarding.views.parts import installation

REFRESH_SECONDS = 5
REFRESH_SECONDS_WITHOUT_HURRY = 20
CHANGES_BY_ITSELF = frozenset(
    {"authorizing", "choose_organizations", "failed", "no_organization_chosen"}
)
"""Nothing is awaited, but what the grower does happens on another page, what staff do on none."""


def accent_url(partner: Partner) -> str | None:
    """Where the partner's colour is, if there is one that can be read."""
    if partner.colour is None or accent_css(partner.colour) is None:
        return None
    return url_for("connect.accent", slug=partner.slug, v=partner.colour.removeprefix("#"))


def problem_page(
    code: str,
    status: int,
    *,
    partner: Partner | None = None,
    back: str | None = None,
    link_token: str | None = None,
) -> Response:
    """A page that belongs to no connection that we may show.

    :param back: path of a page of ours that this browser may open anyway
    :param link_token: of the link that is over, if the page can have a new one mailed
    """
    page = render_template(
        "connect/problem.html",
        told=describe.problem(code, back=back),
        partner=partner,
        accent_url=accent_url(partner) if partner else None,
        form=NewLinkForm() if link_token else None,
        link_token=link_token,
    )
    return make_response(page, status)


@dataclass(frozen=True)
class GrowerPage:
    """All that the grower's page shows."""

    link: Link
    token: str
    connection: Connection
    told: describe.Told
    moment: datetime
    incident: str | None
    application: Settings
    """The settings of the application as which the grower is asked, without its secret."""
    has_consented: bool
    """Whether the newest attempt brought a token."""

    @property
    def polling(self) -> bool:
        """Whether it may change by itself."""
        return (
            self.told.tone == "wait"
            or self.told.code in CHANGES_BY_ITSELF
            or self.connection.stage is Stage.HANDING_OVER
            or self.connection.is_about_to_change
            or self.connection.is_being_looked_at
        )

    @property
    def fingerprint(self) -> str:
        """Another one when something else is shown."""
        lists = describe.organizations(self.connection, self.told)
        # With `polling`, so that a page learns from a new one that it may stop.
        seen = (self.told, self._steps(), lists, self.polling, self.incident)
        return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]

    def common(self) -> dict[str, Any]:
        """What every template of it takes."""
        partner = self.link.grower.partner
        return {
            "partner": partner,
            "accent_url": accent_url(partner),
            "grower_name": self.link.grower.name,
            "form": StartForm(window=POPUP if self.is_in_popup else None),
            "link_token": self.token,
            "popup": self.is_in_popup,
            "closes": self.is_in_popup and self.is_done,
            "way_back": self.way_back,
        }

    @property
    def way_back(self) -> str | None:
        """Where the grower goes on, at the partner's; None: nowhere."""
        return embedding.way_back(self.link, self.connection, self.told)

    @property
    def is_in_popup(self) -> bool:
        """Whether a frame opened it in a window of its own."""
        return request.args.get("window") == POPUP

    @property
    def is_done(self) -> bool:
        """Whether the grower has consented, and has nothing to do now."""
        return self.has_consented and self.told.tone in {"ok", "wait"}

    def status(self) -> dict[str, Any]:
        """What the page of the status takes besides."""
        lists = describe.organizations(self.connection, self.told)
        hurry = self.told.tone == "wait"
        return {
            "told": self.told,
            "incident": self.incident,
            "steps": self._steps(),
            "organizations": lists,
            "can_be_disconnected": self.connection.can_be_disconnected,
            "polling": self.polling,
            "refresh_seconds": REFRESH_SECONDS if hurry else REFRESH_SECONDS_WITHOUT_HURRY,
            "fingerprint": self.fingerprint,
            "state_url": url_for("connect.state", token=self.token),
        }

    def _steps(self) -> tuple[describe.Step, ...]:
        return describe.steps(self.connection, self.told)


ENDED_WITHOUT_TOKEN = frozenset(
    outcome.value for outcome in Outcome if outcome is not Outcome.NO_REFRESH_TOKEN
) | {"took_too_long"}


def page_of(session: Session, token: str) -> GrowerPage:
    """What the page of a link shows, or the page that says why it can't be used."""
    return page_of_link(session, usable_link(session, token), token)


def page_of_link(session: Session, link: Link, token: str) -> GrowerPage:
    """What the page of a link shows.

    :param token: the part of its URL behind `/c/`
    """
    connection = growers.connection_of(session, link.grower_id)
    moment = now()
    latest = consent.latest(session, connection.id)
    told = describe.connection(
        connection,
        latest=latest,
        moment=moment,
        troubled=latest is not None and consent.is_troubled(session, connection.id, moment=moment),
        incident=incidents.of(session, connection),
    )
    incident = describe.incident_for_growers(
        connection, told, service=incidents.troubled_service(session)
    )
    has_consented = latest is not None and latest.outcome is Outcome.AUTHORIZED
    own = applications.of_partner(session, connection.grower.partner)
    application = applications.described(installation().settings, own)
    headers.let_forms_lead_to(application)
    return GrowerPage(link, token, connection, told, moment, incident, application, has_consented)


def usable_link(session: Session, token: str) -> Link:
    """The link, or the page that says why it can't be used; that one names no grower."""
    link = known_link(session, token)
    if not may_be_opened(session, link):
        abort(page_of_link_that_is_over(session, link, token))
    return link


def known_link(session: Session, token: str) -> Link:
    """The link, usable or not, or the page that says that it is none of ours."""
    try:
        link = session.get(Link, installation().links.link_id(token))
    except LinkInvalid:
        link = None
    return link or abort(problem_page("link_invalid", 404))


def may_be_opened(session: Session, link: Link) -> bool:
    """Whether this browser may see the page of the link's grower."""
    return link.is_usable(now()) or _is_remembered(session, link)


def page_of_link_that_is_over(session: Session, link: Link, token: str) -> Response:
    """Whom to ask, and perhaps a way to have a new link mailed; the same whoever it is for."""
    partner = link.grower.partner
    if mails.is_offered(session, installation().settings, link):
        return problem_page("link_renewable", 410, partner=partner, link_token=token)
    return problem_page("link_revoked" if link.revoked_at else "link_expired", 410, partner=partner)


def _is_remembered(session: Session, link: Link) -> bool:
    connection = growers.connection_of(session, link.grower_id)
    value = request.cookies.get(grower_cookie(connection.id))
    return installation().links.is_browser_of(connection.id, value)
