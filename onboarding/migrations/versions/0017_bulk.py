"""Work on many connections at once, files of growers, and telephone numbers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

OPEN = sa.text("due_at IS NOT NULL")


def upgrade() -> None:
    op.add_column("grower", sa.Column("phone", sa.String(length=40), nullable=True))
    op.create_table(
        "bulk_job",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("view", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("collected_to", sa.Uuid(), nullable=True),
        sa.Column("worked_to", sa.Uuid(), nullable=True),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("left_out", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("partners", sa.JSON(), nullable=False),
        sa.Column("stopped_for", sa.String(length=32), nullable=True),
        sa.Column("stopped_by", sa.String(length=254), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_bulk_job_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk_job")),
    )
    op.create_index(
        "ix_bulk_job_due_at", "bulk_job", ["due_at"], postgresql_where=OPEN, sqlite_where=OPEN
    )
    op.create_index("ix_bulk_job_created_at_id", "bulk_job", ["created_at", "id"])
    op.create_index("ix_bulk_job_staff_id", "bulk_job", ["staff_id"])
    op.create_table(
        "bulk_row",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("link_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["bulk_job.id"], name=op.f("fk_bulk_row_job_id")),
        sa.ForeignKeyConstraint(
            ["connection_id"], ["connection.id"], name=op.f("fk_bulk_row_connection_id")
        ),
        sa.ForeignKeyConstraint(["link_id"], ["link.id"], name=op.f("fk_bulk_row_link_id")),
        sa.PrimaryKeyConstraint("job_id", "connection_id", name=op.f("pk_bulk_row")),
    )
    op.create_index(
        "ix_bulk_row_job_id_state_connection_id", "bulk_row", ["job_id", "state", "connection_id"]
    )
    op.create_index("ix_bulk_row_connection_id", "bulk_row", ["connection_id"])
    op.create_index("ix_bulk_row_link_id", "bulk_row", ["link_id"])
    op.create_table(
        "import",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("file_name", sa.String(length=200), nullable=False),
        sa.Column("ignored", sa.JSON(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_import_staff_id")),
        sa.ForeignKeyConstraint(["partner_id"], ["partner.id"], name=op.f("fk_import_partner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import")),
    )
    op.create_index("ix_import_created_at_id", "import", ["created_at", "id"])
    op.create_index("ix_import_expires_at", "import", ["expires_at"])
    op.create_index("ix_import_staff_id", "import", ["staff_id"])
    op.create_index("ix_import_partner_id", "import", ["partner_id"])
    op.create_table(
        "import_row",
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("leaf_user_id", sa.Text(), nullable=False),
        sa.Column("verdict", sa.String(length=32), nullable=False),
        sa.Column("notes", sa.JSON(), nullable=False),
        sa.Column("link_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["import_id"], ["import.id"], name=op.f("fk_import_row_import_id")),
        sa.ForeignKeyConstraint(["link_id"], ["link.id"], name=op.f("fk_import_row_link_id")),
        sa.PrimaryKeyConstraint("import_id", "line", name=op.f("pk_import_row")),
    )
    op.create_index("ix_import_row_link_id", "import_row", ["link_id"])


def downgrade() -> None:
    for table in ("import_row", "import", "bulk_row", "bulk_job"):
        op.drop_table(table)
    with op.batch_alter_table("grower", schema=None) as batch_op:
        batch_op.drop_column("phone")
