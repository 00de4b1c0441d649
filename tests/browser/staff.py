"""The dashboard over the demo world: its pages, and people who look at them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import sqlalchemy as sa
from flask import url_for
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize

from onboarding import clock, create_app
from onboarding.local.world import opening
from onboarding.models import (
    BulkJob,
    Connection,
    FigureCount,
    Grower,
    Import,
    Listing,
    Staff,
    WebhookDelivery,
    WebhookEndpoint,
)
from onboarding.staff import partners
from onboarding.staff.imports import doing
from onboarding.staff.imports.file import File, Line
from onboarding.staff.roles import member_of
from onboarding.states import DeliveryState, Health, Role, Stage
from onboarding.views.staff.parts import COOKIE
from tests.support.browser import visitor
from tests.support.desk import signed_in
from tests.support.stack import Stack
from tests.support.wait import wait_until

PHONE: ViewportSize = {"width": 360, "height": 740}
DESK: ViewportSize = {"width": 1440, "height": 900}
NIL = UUID(int=0)
NOT_PAGES = frozenset(
    {
        "staff.company_callback",
        "staff.confirm_by_company",
        "staff.sign_in_by_company",
        "staff.sign_out",
    }
)


class World:
    """The processes, and 2,000 growers who were there before."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.stack = Stack(folder, database_url)
        self._residents = file = folder / "residents.jsonl"
        self.stack.environment["SANDBOX_RESIDENTS"] = str(file)
        self.stack.cli("db", "upgrade")
        (folder / "migrated").touch()
        opened = opening.begin(self.stack.installation, file)
        self.partner, self.passwords = opened.partner or "", opened.passwords
        self.stack.start()

    @property
    def url(self) -> str:
        """The dashboard's first page."""
        return f"{self.stack.public_url}/staff/"

    def pages(self) -> dict[str, str]:
        """The paths of all pages, by their endpoints: a new one is among them by itself.

        What names something is opened for one that there is.
        """
        app = create_app(self.stack.installation.settings)
        given: dict[str, Any] = {
            "reference": self.broken().reference,
            "slug": self.partner,
            "job_id": self._bulk_work(),
            "import_id": self._file(),
            "staff_id": self._person(),
            "endpoint_id": self._endpoint(),
            "delivery_id": self._delivery(),
        }
        found = {}
        with app.test_request_context():
            for rule in app.url_map.iter_rules():
                is_page = rule.endpoint.startswith("staff.") and "GET" in (rule.methods or ())
                if not is_page or rule.endpoint in NOT_PAGES or not rule.arguments <= set(given):
                    continue
                path = url_for(rule.endpoint, **{name: given[name] for name in rule.arguments})
                if "." not in path.rpartition("/")[2]:
                    found[rule.endpoint.removeprefix("staff.")] = path
        app.extensions["onboarding"].database.engine.dispose()
        return found

    def wait_for_figures(self) -> None:
        """Wait until the worker has counted what the pages show."""

        def counted() -> bool:
            with self.stack.installation.database.reading() as session:
                return session.scalar(sa.select(FigureCount.counted_at)) is not None

        wait_until(counted, what="the figures are counted")

    def broken(self) -> Connection:
        """A connection that John Deere does not accept any more, of a grower with an address.

        Of itself, not with many others: then it would be nothing that its grower can mend.
        """
        with self.stack.installation.database.reading() as session:
            query = (
                sa.select(Connection)
                .join(Grower)
                .join(Listing, Listing.connection_id == Connection.id)
                .where(
                    Connection.stage == Stage.CONNECTED,
                    Connection.health == Health.UNAUTHENTICATED,
                    Listing.code == "reconnect",
                    Grower.email.is_not(None),
                )
            )
            return session.scalars(query.order_by(Connection.reference)).first() or _nobody()

    def _bulk_work(self) -> UUID:
        with self.stack.installation.database.reading() as session:
            return (
                session.scalars(sa.select(BulkJob.id).order_by(BulkJob.created_at)).first() or NIL
            )

    def _person(self) -> UUID:
        with self.stack.installation.database.reading() as session:
            return session.scalars(sa.select(Staff.id).order_by(Staff.email).limit(1)).one()

    def _endpoint(self) -> UUID:
        with self.stack.installation.database.reading() as session:
            return session.scalars(sa.select(WebhookEndpoint.id)).first() or NIL

    def _delivery(self) -> int:
        """One that was given up."""
        given_up = WebhookDelivery.state == DeliveryState.GIVEN_UP
        with self.stack.installation.database.reading() as session:
            known = sa.select(WebhookDelivery.id).where(given_up).order_by(WebhookDelivery.id)
            return session.scalars(known).first() or 0

    def _file(self) -> UUID:
        """One of each: a grower who is new, one with another name, and a row that is wrong."""
        with self.stack.installation.database.transaction() as session:
            known = sa.select(Import.id)
            if (found := session.scalars(known).first()) is not None:
                return found
            partner = partners.named(session, self.partner)
            theirs = sa.select(Grower.external_id).where(Grower.partner_id == partner.id)
            ids = ("new-1", session.scalars(theirs).first() or "", "")
            lines = [Line(2 + row, one, "Elm Farm", "", "", "") for row, one in enumerate(ids)]
            by = member_of(session.scalars(sa.select(Staff)).first() or Staff())
            return doing.show(session, by, partner, "growers.csv", File(lines, ignored=[])).id

    def account_of(self, connection: Connection) -> str:
        """The name by which the grower signs in at the simulated John Deere."""
        for line in self._residents.read_text().splitlines():
            resident = json.loads(line)
            if (resident["leaf_user"] or {}).get("external_id") == connection.grower.external_id:
                return str(resident["name"])
        raise AssertionError(f"{connection.reference} has no account at John Deere")

    @contextmanager
    def at_desk(
        self,
        browser: Browser,
        role: Role = Role.ADMINISTRATOR,
        *,
        size: ViewportSize = DESK,
        script: bool = True,
        dark: bool = False,
        partners: tuple[str, ...] | None = None,
    ) -> Iterator[BrowserContext]:
        """The browser of somebody who has just signed in.

        :param partners: slugs of those that they are limited to; None: they see all
        """
        limited = "limited-" if partners else ""
        email = f"{limited}{role.value}@example.com"
        database = self.stack.installation.database
        secret = signed_in(database, role, email=email, partners=partners)
        with visitor(browser, size=size, script=script, dark=dark) as context:
            self.let_in(context, secret)
            yield context

    def let_in(self, context: BrowserContext, secret: str) -> None:
        """Give a browser the cookie of who is signed in."""
        host = urlsplit(self.stack.public_url).hostname or ""
        context.add_cookies(
            [
                {
                    "name": COOKIE,
                    "value": secret,
                    "domain": host,
                    "path": "/",
                    "secure": True,
                    "httpOnly": True,
                    "sameSite": "Lax",
                }
            ]
        )

    def open(self, page: Page, path: str) -> int:
        """Open a page of the dashboard; the status of its answer."""
        answer = page.goto(f"{self.stack.public_url}{path}")
        assert answer is not None
        return answer.status

    def close(self) -> None:
        """End everything."""
        self.stack.close()
        clock.follow(None)


def _nobody() -> Connection:
    raise AssertionError("nobody has to connect again in this world")
