"""Which growers partners' programs named, and which Leaf users are not theirs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

# Who named those that there are is not known: where the partner has a key, it may have been they.
MAY_BE_OF_PROGRAMS = (
    "UPDATE grower SET by_partner = true WHERE leaf_user_id IS NULL"
    " AND partner_id IN (SELECT partner_id FROM api_key)"
)


def upgrade() -> None:
    with op.batch_alter_table("grower") as table:
        table.add_column(
            sa.Column("by_partner", sa.Boolean(), server_default=sa.false(), nullable=False)
        )
        table.add_column(sa.Column("leaf_users_before", sa.JSON(), nullable=True))
    op.execute(MAY_BE_OF_PROGRAMS)
    with op.batch_alter_table("grower") as table:
        table.alter_column("by_partner", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("grower") as table:
        table.drop_column("leaf_users_before")
        table.drop_column("by_partner")
