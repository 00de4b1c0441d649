"""Since when Leaf says what it says, what is told from when, what has arrived, and incidents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

MOMENTS = ("health_since", "trouble_told_from", "arrivals_read_at")
COUNTS = ("growers_arrived", "farms_arrived", "fields_arrived")

HAS_TURNED = "health IN ('TEMPORARILY_UNAVAILABLE', 'UNKNOWN') AND health_text <> ''"
INDICES = (
    ("ix_connection_turned", "health_since", HAS_TURNED),
    ("ix_connection_checked_at", "checked_at", "checked_at IS NOT NULL"),
)


def upgrade() -> None:
    with op.batch_alter_table("connection", schema=None) as batch_op:
        for name in MOMENTS:
            batch_op.add_column(sa.Column(name, sa.DateTime(timezone=True), nullable=True))
        for name in COUNTS:
            batch_op.add_column(sa.Column(name, sa.Integer(), nullable=True))
    for name, column, where in INDICES:
        op.create_index(
            name,
            "connection",
            [column],
            postgresql_where=sa.text(where),
            sqlite_where=sa.text(where),
        )
    op.create_table(
        "incident",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("service", sa.String(length=32), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("turned", sa.Integer(), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident")),
    )
    op.create_index(
        "ix_incident_present",
        "incident",
        ["service"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
        sqlite_where=sa.text("ended_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("incident")
    for name, _, _ in INDICES:
        op.drop_index(name, "connection")
    with op.batch_alter_table("connection", schema=None) as batch_op:
        for name in (*MOMENTS, *COUNTS):
            batch_op.drop_column(name)
