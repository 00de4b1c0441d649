"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "copy",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_copy")),
    )
    op.create_table(
        "partner",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("colour", sa.String(length=7), nullable=True),
        sa.Column("support_name", sa.String(length=200), nullable=True),
        sa.Column("support_email", sa.String(length=254), nullable=True),
        sa.Column("support_phone", sa.String(length=40), nullable=True),
        sa.Column("support_url", sa.String(length=500), nullable=True),
        sa.Column("frame_origins", sa.JSON(), nullable=False),
        sa.Column("return_urls", sa.JSON(), nullable=False),
        sa.Column("select_organizations", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_partner")),
        sa.UniqueConstraint("slug", name=op.f("uq_partner_slug")),
    )
    op.create_table(
        "worker",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker")),
    )
    op.create_table(
        "grower",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("leaf_user_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["partner_id"], ["partner.id"], name=op.f("fk_grower_partner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grower")),
        sa.UniqueConstraint("leaf_user_id", name=op.f("uq_grower_leaf_user_id")),
        sa.UniqueConstraint(
            "partner_id", "external_id", name=op.f("uq_grower_partner_id_external_id")
        ),
    )
    op.create_table(
        "connection",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("grower_id", sa.Uuid(), nullable=False),
        sa.Column("reference", sa.String(length=8), nullable=False),
        sa.Column(
            "stage",
            sa.Enum(
                "invited",
                "authorizing",
                "handing_over",
                "choosing_organizations",
                "connected",
                "failed",
                "disconnected",
                name="stage",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "health",
            sa.Enum(
                "OK",
                "UNAUTHENTICATED",
                "MISSING_PERMISSION",
                "TEMPORARILY_UNAVAILABLE",
                "UNKNOWN",
                name="health",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("health_text", sa.String(length=64), nullable=False),
        sa.Column(
            "cause",
            sa.Enum(
                "leaf_unavailable",
                "leaf_sign_in_refused",
                "leaf_refused",
                "environment_mismatch",
                "application_changed",
                "leaf_user_missing",
                "credential_missing",
                "token_unreadable",
                "given_up",
                "no_refresh_token",
                name="cause",
                native_enum=False,
                length=32,
            ),
            nullable=True,
        ),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column(
            "stage_before",
            sa.Enum(
                "invited",
                "authorizing",
                "handing_over",
                "choosing_organizations",
                "connected",
                "failed",
                "disconnected",
                name="stage",
                native_enum=False,
                length=32,
            ),
            nullable=True,
        ),
        sa.Column(
            "environment",
            sa.Enum("STAGE", "PRODUCTION", name="environment", native_enum=False, length=32),
            nullable=True,
        ),
        sa.Column("client_key", sa.String(length=200), nullable=True),
        sa.Column("scopes_asked", sa.JSON(), nullable=False),
        sa.Column("scopes_granted", sa.JSON(), nullable=False),
        sa.Column("refresh_token", sa.LargeBinary(), nullable=True),
        sa.Column("token_received_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hand_over_try", sa.Integer(), nullable=False),
        sa.Column("hand_over_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hand_over_taken_by", sa.Uuid(), nullable=True),
        sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("post_began_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("credential_before_post", sa.String(length=64), nullable=True),
        sa.Column("leaf_credential_id", sa.String(length=64), nullable=True),
        sa.Column("handed_over_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "sharing_trouble",
            sa.Enum(
                "terms_not_accepted",
                "no_organizations",
                "permissions_too_low",
                "application_refused",
                "deere_unavailable",
                name="sharingtrouble",
                native_enum=False,
                length=32,
            ),
            nullable=True,
        ),
        sa.Column("sharing_detail", sa.Text(), nullable=False),
        sa.Column("choose_url", sa.Text(), nullable=True),
        sa.Column("terms_url", sa.Text(), nullable=True),
        sa.Column("organizations_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("check_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("check_number", sa.Integer(), nullable=False),
        sa.Column("sync_owed", sa.Boolean(), nullable=False),
        sa.Column("failed_checks", sa.Integer(), nullable=False),
        sa.Column("checks", sa.Integer(), nullable=False),
        sa.Column("connected_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["grower_id"], ["grower.id"], name=op.f("fk_connection_grower_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connection")),
        sa.UniqueConstraint("grower_id", name=op.f("uq_connection_grower_id")),
        sa.UniqueConstraint("reference", name=op.f("uq_connection_reference")),
    )
    with op.batch_alter_table("connection", schema=None) as batch_op:
        batch_op.create_index(
            "ix_connection_check_due_at",
            ["check_due_at"],
            unique=False,
            postgresql_where=sa.text("check_due_at IS NOT NULL"),
            sqlite_where=sa.text("check_due_at IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_connection_hand_over_due_at",
            ["hand_over_due_at"],
            unique=False,
            postgresql_where=sa.text("hand_over_due_at IS NOT NULL"),
            sqlite_where=sa.text("hand_over_due_at IS NOT NULL"),
        )

    op.create_table(
        "link",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("grower_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["grower_id"], ["grower.id"], name=op.f("fk_link_grower_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_link")),
    )
    with op.batch_alter_table("link", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_link_grower_id"), ["grower_id"], unique=False)

    op.create_table(
        "attempt",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("link_id", sa.Uuid(), nullable=False),
        sa.Column("state_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("browser_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("code_verifier", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "outcome",
            sa.Enum(
                "authorized",
                "denied",
                "application_refused",
                "code_refused",
                "deere_unavailable",
                "no_refresh_token",
                "interrupted",
                "expired",
                name="outcome",
                native_enum=False,
                length=32,
            ),
            nullable=True,
        ),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("access_token", sa.LargeBinary(), nullable=True),
        sa.Column("access_token_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_to_choose_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["connection_id"], ["connection.id"], name=op.f("fk_attempt_connection_id")
        ),
        sa.ForeignKeyConstraint(["link_id"], ["link.id"], name=op.f("fk_attempt_link_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
        sa.UniqueConstraint("state_digest", name=op.f("uq_attempt_state_digest")),
    )
    with op.batch_alter_table("attempt", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_attempt_access_token_until"), ["access_token_until"], unique=False
        )
        batch_op.create_index(
            "ix_attempt_connection_id_created_at", ["connection_id", "created_at"], unique=False
        )
        batch_op.create_index(
            "ix_attempt_unfinished",
            ["created_at"],
            unique=False,
            postgresql_where=sa.text("outcome IS NULL"),
            sqlite_where=sa.text("outcome IS NULL"),
        )

    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("who", sa.String(length=64), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["connection_id"], ["connection.id"], name=op.f("fk_event_connection_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.create_index("ix_event_connection_id_id", ["connection_id", "id"], unique=False)

    op.create_table(
        "organization",
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("deere_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column("connected", sa.Boolean(), nullable=False),
        sa.Column("member", sa.Boolean(), nullable=False),
        sa.Column("manage_url", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["connection_id"], ["connection.id"], name=op.f("fk_organization_connection_id")
        ),
        sa.PrimaryKeyConstraint("connection_id", "deere_id", name=op.f("pk_organization")),
    )


def downgrade() -> None:
    op.drop_table("organization")
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.drop_index("ix_event_connection_id_id")

    op.drop_table("event")
    with op.batch_alter_table("attempt", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_attempt_unfinished",
            postgresql_where=sa.text("outcome IS NULL"),
            sqlite_where=sa.text("outcome IS NULL"),
        )
        batch_op.drop_index("ix_attempt_connection_id_created_at")
        batch_op.drop_index(batch_op.f("ix_attempt_access_token_until"))

    op.drop_table("attempt")
    with op.batch_alter_table("link", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_link_grower_id"))

    op.drop_table("link")
    with op.batch_alter_table("connection", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_connection_hand_over_due_at",
            postgresql_where=sa.text("hand_over_due_at IS NOT NULL"),
            sqlite_where=sa.text("hand_over_due_at IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_connection_check_due_at",
            postgresql_where=sa.text("check_due_at IS NOT NULL"),
            sqlite_where=sa.text("check_due_at IS NOT NULL"),
        )

    op.drop_table("connection")
    op.drop_table("grower")
    op.drop_table("worker")
    op.drop_table("partner")
    op.drop_table("copy")
