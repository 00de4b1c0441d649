"""How often an address was mailed the links of open links is found without the other mails."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

IS_OPEN_LINK = "kind = 'open_link'"


def upgrade() -> None:
    op.create_index(
        "ix_mail_open_link",
        "mail",
        ["state", "ended_at"],
        postgresql_where=sa.text(IS_OPEN_LINK),
        sqlite_where=sa.text(IS_OPEN_LINK),
    )


def downgrade() -> None:
    op.drop_index("ix_mail_open_link", table_name="mail")
