"""Addresses that the mail server refuses for good."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("grower", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("address_refused_at", sa.DateTime(timezone=True), nullable=True)
        )


def downgrade() -> None:
    with op.batch_alter_table("grower", schema=None) as batch_op:
        batch_op.drop_column("address_refused_at")
