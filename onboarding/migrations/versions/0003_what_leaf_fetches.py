"""Whether Leaf has yet to be told to fetch what is shared."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("connection", schema=None) as batch_op:
        # Nobody has looked at what Leaf fetches for the connections that there are.
        batch_op.add_column(
            sa.Column("selection_owed", sa.Boolean(), nullable=False, server_default=sa.true())
        )
    with op.batch_alter_table("connection", schema=None) as batch_op:
        batch_op.alter_column("selection_owed", existing_type=sa.Boolean(), server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("connection", schema=None) as batch_op:
        batch_op.drop_column("selection_owed")
