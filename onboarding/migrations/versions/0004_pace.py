"""The pace at which Leaf is asked, and the order in which connections are checked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

DUE = "check_due_at IS NOT NULL"


def upgrade() -> None:
    op.create_table(
        "pace",
        sa.Column("service", sa.String(length=32), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("hand_overs_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pauses", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("down_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("service", name=op.f("pk_pace")),
    )
    with op.batch_alter_table("connection", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("check_urgency", sa.SmallInteger(), server_default="2", nullable=False)
        )
        batch_op.add_column(sa.Column("check_began_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.drop_index(
            "ix_connection_check_due_at",
            postgresql_where=sa.text(DUE),
            sqlite_where=sa.text(DUE),
        )
        batch_op.create_index(
            "ix_connection_check",
            ["check_urgency", "check_due_at"],
            unique=False,
            postgresql_where=sa.text(DUE),
            sqlite_where=sa.text(DUE),
        )


def downgrade() -> None:
    with op.batch_alter_table("connection", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_connection_check", postgresql_where=sa.text(DUE), sqlite_where=sa.text(DUE)
        )
        batch_op.create_index(
            "ix_connection_check_due_at",
            ["check_due_at"],
            unique=False,
            postgresql_where=sa.text(DUE),
            sqlite_where=sa.text(DUE),
        )
        batch_op.drop_column("check_began_at")
        batch_op.drop_column("check_urgency")
    op.drop_table("pace")
