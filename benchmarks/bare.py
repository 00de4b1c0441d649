"""What the product is compared with: a Flask page that writes one row and commits it.

The same gunicorn configuration, the same `Database`, no template, no form, no other service.
"""

from __future__ import annotations

import sqlalchemy as sa
from flask import Flask

from onboarding import settings
from onboarding.db import Database

visits = sa.Table(
    "visit",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("page", sa.String(40), nullable=False),
)


def create_app(database: Database) -> Flask:
    """An application with one page."""
    app = Flask(__name__)

    @app.get("/")
    def page() -> str:
        with database.transaction() as session:
            session.execute(sa.insert(visits).values(page="bare"))
        return "written"

    return app


def serve() -> Flask:
    """The application on `DATABASE_URL`, as gunicorn's worker processes make it."""
    return create_app(Database(settings.load().database_url))
