"""Leaf's alerts, finding a connection by its credential, and copies of Leaf's events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "seen_alert",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=True),
        sa.Column("asked_around", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["connection_id"], ["connection.id"], name=op.f("fk_seen_alert_connection_id")
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_seen_alert")),
    )
    op.create_index(
        "ix_seen_alert_connection_id_received_at", "seen_alert", ["connection_id", "received_at"]
    )
    op.create_index("ix_seen_alert_received_at", "seen_alert", ["received_at"])
    op.create_index("ix_connection_leaf_credential_id", "connection", ["leaf_credential_id"])
    op.create_table(
        "leaf_event",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
        ),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("leaf_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("copied_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["connection_id"], ["connection.id"], name=op.f("fk_leaf_event_connection_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leaf_event")),
        sa.UniqueConstraint(
            "connection_id", "leaf_id", name=op.f("uq_leaf_event_connection_id_leaf_id")
        ),
    )
    op.create_index("ix_leaf_event_connection_id_at", "leaf_event", ["connection_id", "at"])
    op.create_index("ix_leaf_event_copied_at", "leaf_event", ["copied_at"])
    with op.batch_alter_table("connection", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("events_copied_at", sa.DateTime(timezone=True), nullable=True)
        )
        batch_op.add_column(sa.Column("events_copied_as", sa.String(length=32), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("connection", schema=None) as batch_op:
        batch_op.drop_column("events_copied_as")
        batch_op.drop_column("events_copied_at")
    op.drop_index("ix_leaf_event_copied_at", "leaf_event")
    op.drop_index("ix_leaf_event_connection_id_at", "leaf_event")
    op.drop_table("leaf_event")
    op.drop_index("ix_connection_leaf_credential_id", "connection")
    op.drop_index("ix_seen_alert_received_at", "seen_alert")
    op.drop_index("ix_seen_alert_connection_id_received_at", "seen_alert")
    op.drop_table("seen_alert")
