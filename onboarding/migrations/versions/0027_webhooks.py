"""Webhooks: endpoints, messages, deliveries and each try of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

IS_WAITING = "state = 'waiting'"
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("listing", sa.Column("announced", sa.String(length=64), nullable=True))
    code = sa.Column("announced_code", sa.String(length=64), server_default="", nullable=False)
    op.add_column("listing", code)
    op.create_table(
        "webhook_endpoint",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.String(length=500), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("old_secret", sa.LargeBinary(), nullable=True),
        sa.Column("old_secret_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pause_reason", sa.String(length=32), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failure", sa.Text(), nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("mail_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["partner_id"], ["partner.id"], name=op.f("fk_webhook_endpoint_partner_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoint")),
    )
    op.create_index("ix_webhook_endpoint_partner_id", "webhook_endpoint", ["partner_id"])
    op.create_table(
        "webhook_message",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=True),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["partner_id"], ["partner.id"], name=op.f("fk_webhook_message_partner_id")
        ),
        sa.ForeignKeyConstraint(
            ["connection_id"], ["connection.id"], name=op.f("fk_webhook_message_connection_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_message")),
    )
    op.create_index("ix_webhook_message_created_at", "webhook_message", ["created_at"])
    op.create_index("ix_webhook_message_connection_id", "webhook_message", ["connection_id"])
    op.create_table(
        "webhook_delivery",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=True),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("taken_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["message_id"], ["webhook_message.id"], name=op.f("fk_webhook_delivery_message_id")
        ),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["webhook_endpoint.id"], name=op.f("fk_webhook_delivery_endpoint_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_delivery")),
    )
    for name, columns in (
        ("ix_webhook_delivery_due", ["endpoint_id", "due_at", "id"]),
        ("ix_webhook_delivery_order", ["endpoint_id", "connection_id", "id"]),
    ):
        op.create_index(
            name,
            "webhook_delivery",
            columns,
            postgresql_where=sa.text(IS_WAITING),
            sqlite_where=sa.text(IS_WAITING),
        )
    for name, columns in (
        ("ix_webhook_delivery_endpoint_id_id", ["endpoint_id", "id"]),
        ("ix_webhook_delivery_message_id", ["message_id"]),
        ("ix_webhook_delivery_created_at", ["created_at"]),
    ):
        op.create_index(name, "webhook_delivery", columns)
    op.create_table(
        "webhook_try",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("delivery_id", NUMBER, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("milliseconds", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["webhook_delivery.id"],
            name=op.f("fk_webhook_try_delivery_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_try")),
    )
    op.create_index("ix_webhook_try_delivery_id_id", "webhook_try", ["delivery_id", "id"])
    op.create_index("ix_webhook_try_at", "webhook_try", ["at"])


def downgrade() -> None:
    for table in ("webhook_try", "webhook_delivery", "webhook_message", "webhook_endpoint"):
        op.drop_table(table)
    op.drop_column("listing", "announced_code")
    op.drop_column("listing", "announced")
