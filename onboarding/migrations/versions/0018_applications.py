"""Applications of their own for some partners, and with which one an attempt began."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "application",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("client_key", sa.String(length=200), nullable=False),
        sa.Column("client_secret", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("metadata_url", sa.String(length=500), nullable=True),
        sa.Column("api_url", sa.String(length=500), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("secret_set_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_application")),
        sa.UniqueConstraint("name", name=op.f("uq_application_name")),
        sa.UniqueConstraint(
            "client_key", "environment", name=op.f("uq_application_client_key_environment")
        ),
    )
    with op.batch_alter_table("partner", schema=None) as batch_op:
        batch_op.add_column(sa.Column("application_id", sa.Uuid(), nullable=True))
        batch_op.create_index(batch_op.f("ix_partner_application_id"), ["application_id"])
        batch_op.create_foreign_key(
            batch_op.f("fk_partner_application_id"), "application", ["application_id"], ["id"]
        )
    op.add_column("attempt", sa.Column("client_key", sa.String(length=200), nullable=True))
    op.add_column("attempt", sa.Column("environment", sa.String(length=32), nullable=True))


def downgrade() -> None:
    op.drop_column("attempt", "environment")
    op.drop_column("attempt", "client_key")
    with op.batch_alter_table("partner", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_partner_application_id"), type_="foreignkey")
        batch_op.drop_index(batch_op.f("ix_partner_application_id"))
        batch_op.drop_column("application_id")
    op.drop_table("application")
