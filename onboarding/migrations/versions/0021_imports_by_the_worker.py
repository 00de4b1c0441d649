"""Files of growers are imported by the worker, with what became of each row."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

OPEN = sa.text("due_at IS NOT NULL")
DONE = "UPDATE import SET ended_at = confirmed_at, outcomes = :outcomes WHERE id = :id"
ROWS_DONE = """
UPDATE import_row SET outcome = 'done'
WHERE verdict IN ('new', 'changed')
AND import_id IN (SELECT id FROM import WHERE state = 'done')
"""


def upgrade() -> None:
    with op.batch_alter_table("import", schema=None) as batch_op:
        for name, default in (("times_returned", "0"), ("done_to", "0")):
            batch_op.add_column(
                sa.Column(name, sa.Integer(), nullable=False, server_default=default)
            )
        batch_op.add_column(sa.Column("returned_for", sa.String(length=32), nullable=True))
        batch_op.add_column(sa.Column("confirmed_by_id", sa.Uuid(), nullable=True))
        batch_op.add_column(sa.Column("due_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("outcomes", sa.JSON(), nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table("import", schema=None) as batch_op:
        for name, kind in (
            ("times_returned", sa.Integer()),
            ("done_to", sa.Integer()),
            ("outcomes", sa.JSON()),
        ):
            batch_op.alter_column(
                name, existing_type=kind, existing_nullable=False, server_default=None
            )
        batch_op.create_foreign_key(
            op.f("fk_import_confirmed_by_id"), "staff", ["confirmed_by_id"], ["id"]
        )
    op.create_index("ix_import_confirmed_by_id", "import", ["confirmed_by_id"])
    op.create_index(
        "ix_import_due_at", "import", ["due_at"], postgresql_where=OPEN, sqlite_where=OPEN
    )
    with op.batch_alter_table("import_row", schema=None) as batch_op:
        batch_op.add_column(sa.Column("outcome", sa.String(length=32), nullable=True))
    _tell_of_what_was_done()


def _tell_of_what_was_done() -> None:
    """All rows of what was confirmed until now were done at once."""
    connection = op.get_bind()
    done = sa.text("SELECT id, counts FROM import WHERE state = 'done'")
    for key, counts in connection.execute(done).all():
        counted = json.loads(counts) if isinstance(counts, str) else counts
        number = counted.get("new", 0) + counted.get("changed", 0)
        values = {"id": key, "outcomes": json.dumps({"done": number} if number else {})}
        connection.execute(sa.text(DONE), values)
    connection.execute(sa.text(ROWS_DONE))


def downgrade() -> None:
    with op.batch_alter_table("import_row", schema=None) as batch_op:
        batch_op.drop_column("outcome")
    op.drop_index("ix_import_due_at", "import")
    op.drop_index("ix_import_confirmed_by_id", "import")
    with op.batch_alter_table("import", schema=None) as batch_op:
        batch_op.drop_constraint(op.f("fk_import_confirmed_by_id"), type_="foreignkey")
        for name in (
            "ended_at",
            "outcomes",
            "done_to",
            "due_at",
            "confirmed_by_id",
            "returned_for",
            "times_returned",
        ):
            batch_op.drop_column(name)
