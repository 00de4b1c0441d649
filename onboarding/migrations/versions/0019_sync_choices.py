"""What Leaf fetches of each organization, and what staff have chosen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("organization", schema=None) as batch_op:
        batch_op.add_column(sa.Column("sync_choice", sa.String(length=32), nullable=True))
        batch_op.add_column(sa.Column("sync_chosen", sa.String(length=32), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("organization", schema=None) as batch_op:
        batch_op.drop_column("sync_chosen")
        batch_op.drop_column("sync_choice")
