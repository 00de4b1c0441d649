"""Alerts of Leaf that were taken, and finding a connection by its credential."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0002"
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


def downgrade() -> None:
    op.drop_index("ix_connection_leaf_credential_id", "connection")
    op.drop_index("ix_seen_alert_received_at", "seen_alert")
    op.drop_index("ix_seen_alert_connection_id_received_at", "seen_alert")
    op.drop_table("seen_alert")
