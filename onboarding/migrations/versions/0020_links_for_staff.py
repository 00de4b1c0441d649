"""Of each link, when it was opened, and who made it where."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

BEGUN = """
UPDATE link SET opened_at = begun.at
FROM (SELECT link_id, min(created_at) AS at FROM attempt GROUP BY link_id) AS begun
WHERE begun.link_id = link.id
"""
"""Who began by a link has opened it. When others were opened is not known."""


def upgrade() -> None:
    with op.batch_alter_table("link", schema=None) as batch_op:
        batch_op.add_column(sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("made_by", sa.String(length=254), nullable=True))
        batch_op.add_column(sa.Column("made_in", sa.Uuid(), nullable=True))
    op.execute(BEGUN)


def downgrade() -> None:
    with op.batch_alter_table("link", schema=None) as batch_op:
        batch_op.drop_column("made_in")
        batch_op.drop_column("made_by")
        batch_op.drop_column("opened_at")
