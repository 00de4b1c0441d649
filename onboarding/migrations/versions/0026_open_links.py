"""Links that growers ask for themselves, at an address of their partner."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

ADDED = {"partner": ("open_link",), "grower": ("by_open_link",)}


def upgrade() -> None:
    for table, names in ADDED.items():
        with op.batch_alter_table(table, schema=None) as batch_op:
            for name in names:
                no: sa.Column[bool] = sa.Column(
                    name, sa.Boolean(), server_default=sa.false(), nullable=False
                )
                batch_op.add_column(no)
        with op.batch_alter_table(table, schema=None) as batch_op:
            for name in names:
                batch_op.alter_column(name, server_default=None)
    op.add_column("grower", sa.Column("person", sa.String(length=200), nullable=True))
    op.create_table(
        "link_request",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("farm", sa.String(length=200), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("phone", sa.String(length=40), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["partner_id"], ["partner.id"], name=op.f("fk_link_request_partner_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_link_request")),
    )
    op.create_index("ix_link_request_created_at", "link_request", ["created_at"])


def downgrade() -> None:
    op.drop_table("link_request")
    with op.batch_alter_table("grower", schema=None) as batch_op:
        batch_op.drop_column("person")
    for table, names in ADDED.items():
        with op.batch_alter_table(table, schema=None) as batch_op:
            for name in names:
                batch_op.drop_column(name)
