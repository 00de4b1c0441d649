"""The dashboard for tests: people who are signed in, each in a browser of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from flask import Flask
from flask import session as cookie
from flask.testing import FlaskClient
from flask_wtf.csrf import generate_csrf
from werkzeug.test import TestResponse

from onboarding.clock import now
from onboarding.db import Database
from onboarding.models import Partner, Staff
from onboarding.staff import sessions
from onboarding.states import Role
from onboarding.views.staff.parts import COOKIE


def signed_in(
    database: Database,
    role: Role = Role.OPERATOR,
    *,
    email: str = "",
    partners: Iterable[str] | None = None,
) -> str:
    """A person who has just signed in: what the cookie holds.

    :param email: default: one for each role
    :param partners: slugs of those that the person is limited to; None: sees all
    """
    email = email or f"{role.value}@example.com"
    with database.transaction() as session:
        staff = session.scalar(sa.select(Staff).where(Staff.email == email))
        if staff is None:
            staff = Staff(email=email, role=role, created_at=now())
            session.add(staff)
        if partners is not None:
            staff.is_limited = True
            named = sa.select(Partner).where(Partner.slug.in_(list(partners)))
            staff.partners = list(session.scalars(named))
        session.flush()
        return sessions.begin(session, staff, address="127.0.0.1", browser="a test")


def origin_of(app: Flask) -> str:
    """Where browsers find it."""
    found: str = app.extensions["onboarding"].settings.public_url
    return found


class Browser(FlaskClient):
    """Keeps cookies as browsers do: those that are for https go to the app's own origin alone."""

    def open(self, *args: Any, **more: Any) -> TestResponse:
        """Send a request; all of the client's methods end here."""
        return super().open(*args, base_url=origin_of(self.application), **more)


class Desk:
    """The app, and the browsers of those who use its dashboard.

    :param app: made with the database
    """

    def __init__(self, app: Flask, database: Database) -> None:
        self.app = app
        self.app.test_client_class = Browser
        self.database = database

    def nobody(self) -> FlaskClient:
        """A browser in which nobody is signed in."""
        return self.app.test_client()

    def browser(
        self, role: Role = Role.OPERATOR, *, email: str = "", partners: Iterable[str] | None = None
    ) -> FlaskClient:
        """A browser in which somebody is; as `signed_in`."""
        client = self.app.test_client()
        secret = signed_in(self.database, role, email=email, partners=partners)
        client.set_cookie(COOKIE, secret, domain=urlsplit(origin_of(self.app)).netloc, secure=True)
        return client

    def token(self, browser: FlaskClient) -> str:
        """What forms in this browser carry, for those that no page has to be fetched for."""
        with self.app.test_request_context(base_url=origin_of(self.app)):
            made: str = generate_csrf()
            secret = cookie["csrf_token"]
        with browser.session_transaction(base_url=origin_of(self.app)) as kept:
            kept["csrf_token"] = secret
        return made
