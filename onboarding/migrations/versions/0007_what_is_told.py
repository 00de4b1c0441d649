"""Since when Leaf says what it says, and from when people are told of trouble."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0003"
branch_labels = None
depends_on = None

MOMENTS = ("health_since", "trouble_told_from")


def upgrade() -> None:
    with op.batch_alter_table("connection", schema=None) as batch_op:
        for name in MOMENTS:
            batch_op.add_column(sa.Column(name, sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("connection", schema=None) as batch_op:
        for name in MOMENTS:
            batch_op.drop_column(name)
