"""How much is asked with each key of the API."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("api_key") as table:
        table.add_column(sa.Column("window_began_at", sa.DateTime(timezone=True), nullable=True))
        table.add_column(
            sa.Column("window_count", sa.Integer(), nullable=False, server_default="0")
        )


def downgrade() -> None:
    with op.batch_alter_table("api_key") as table:
        table.drop_column("window_count")
        table.drop_column("window_began_at")
