"""Links for frames in partners' portals, and where growers go on afterwards."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

IS_EMBED = "kind = 'embed'"


def upgrade() -> None:
    with op.batch_alter_table("link", schema=None) as batch_op:
        kind = sa.Column("kind", sa.String(length=32), server_default="invitation", nullable=False)
        batch_op.add_column(kind)
        batch_op.add_column(sa.Column("return_url", sa.String(length=500), nullable=True))
    with op.batch_alter_table("link", schema=None) as batch_op:
        batch_op.alter_column("kind", server_default=None)
    op.create_index(
        "ix_link_embed",
        "link",
        ["expires_at"],
        postgresql_where=sa.text(IS_EMBED),
        sqlite_where=sa.text(IS_EMBED),
    )
    with op.batch_alter_table("attempt", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("in_popup", sa.Boolean(), server_default=sa.false(), nullable=False)
        )
    with op.batch_alter_table("attempt", schema=None) as batch_op:
        batch_op.alter_column("in_popup", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("attempt", schema=None) as batch_op:
        batch_op.drop_column("in_popup")
    op.drop_index("ix_link_embed", table_name="link")
    with op.batch_alter_table("link", schema=None) as batch_op:
        batch_op.drop_column("return_url")
        batch_op.drop_column("kind")
