"""Figures for the dashboard, and indexes for what it asks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0010"
branch_labels = None
depends_on = None

FAILED = sa.text("outcome <> 'authorized'")
KEPT = sa.text("refresh_token IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "figure",
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["partner_id"], ["partner.id"], name=op.f("fk_figure_partner_id")),
        sa.PrimaryKeyConstraint("kind", "day", "partner_id", "key", name=op.f("pk_figure")),
    )
    op.create_index("ix_figure_partner_id", "figure", ["partner_id"])
    op.create_table(
        "figure_count",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_figure_count")),
    )
    for name, columns in (
        ("ix_attempt_failed", ["ended_at", "id"]),
        ("ix_attempt_failed_as", ["outcome", "ended_at", "id"]),
    ):
        op.create_index(name, "attempt", columns, postgresql_where=FAILED, sqlite_where=FAILED)
    op.create_index(
        "ix_connection_token_kept",
        "connection",
        ["id"],
        postgresql_where=KEPT,
        sqlite_where=KEPT,
    )
    op.add_column("pace", sa.Column("minute_at", sa.DateTime(timezone=True), nullable=True))
    for name in ("used", "used_before"):
        op.add_column("pace", sa.Column(name, sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("pace", schema=None) as batch_op:
        for name in ("used_before", "used", "minute_at"):
            batch_op.drop_column(name)
    op.drop_index("ix_connection_token_kept", "connection")
    op.drop_index("ix_attempt_failed_as", "attempt")
    op.drop_index("ix_attempt_failed", "attempt")
    op.drop_table("figure_count")
    op.drop_table("figure")
