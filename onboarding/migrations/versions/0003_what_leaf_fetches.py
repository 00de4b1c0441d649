"""Whether Leaf has yet to be told to fetch what is shared, and when who looked at organizations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

LOOKS = ("leaf_listed_at", "returned_at", "sharing_trouble_at")


def upgrade() -> None:
    with op.batch_alter_table("connection", schema=None) as batch_op:
        # Nobody has looked at what Leaf fetches for the connections that there are.
        batch_op.add_column(
            sa.Column("selection_owed", sa.Boolean(), nullable=False, server_default=sa.true())
        )
        for name in LOOKS:
            batch_op.add_column(sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table("connection", schema=None) as batch_op:
        batch_op.alter_column("selection_owed", existing_type=sa.Boolean(), server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("connection", schema=None) as batch_op:
        for name in LOOKS:
            batch_op.drop_column(name)
        batch_op.drop_column("selection_owed")
