"""Attempts that staff have to look at, and those that came back in another browser."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("attempt", schema=None) as batch_op:
        batch_op.add_column(sa.Column("elsewhere_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.create_index(
            "ix_attempt_our_fault",
            ["connection_id"],
            unique=False,
            postgresql_where=sa.text("outcome IN ('application_refused', 'no_refresh_token')"),
            sqlite_where=sa.text("outcome IN ('application_refused', 'no_refresh_token')"),
        )


def downgrade() -> None:
    with op.batch_alter_table("attempt", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_attempt_our_fault",
            postgresql_where=sa.text("outcome IN ('application_refused', 'no_refresh_token')"),
            sqlite_where=sa.text("outcome IN ('application_refused', 'no_refresh_token')"),
        )
        batch_op.drop_column("elsewhere_at")
