"""What must be known to end a connection, and to replace a credential, without a loss."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("connection", schema=None) as batch_op:
        batch_op.add_column(sa.Column("stray_since", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(
            sa.Column("events_awaited_since", sa.DateTime(timezone=True), nullable=True)
        )


def downgrade() -> None:
    with op.batch_alter_table("connection", schema=None) as batch_op:
        batch_op.drop_column("events_awaited_since")
        batch_op.drop_column("stray_since")
