"""Alembic's entry: `flask --app wsgi db upgrade` hands a connection over."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from onboarding.models import Base, UtcDateTime


def render(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    """Our own type is a plain one to the database: migrations must not import models."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


OF_ONE_DATABASE = {"ix_listing_text"}
"""Indexes that only PostgreSQL has; no model names them."""


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """On SQLite the queue's tables stand beside ours; no migration may drop them."""
    if kind == "index":
        return name not in OF_ONE_DATABASE
    return kind != "table" or name in Base.metadata.tables


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
    render_item=render,
    include_name=is_ours,
)
with context.begin_transaction():
    context.run_migrations()
