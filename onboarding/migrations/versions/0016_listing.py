"""What the dashboard's table of connections is drawn from, with an index for searching.

The worker computes what is told of each connection: here only the rows are made.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

INDEXES = {
    "since": ["since", "number"],
    "name_key": ["name_key", "number"],
    "created_at": ["created_at", "number"],
    "partner_id_since": ["partner_id", "since", "number"],
    "code_since": ["code", "since", "number"],
    "turn_since": ["turn", "since", "number"],
    "health_since": ["health", "since", "number"],
    "environment_since": ["environment", "since", "number"],
    "partner_id_name_key": ["partner_id", "name_key", "number"],
    "partner_id_created_at": ["partner_id", "created_at", "number"],
}
PARTIAL = {
    "due_at": (["due_at"], "due_at IS NOT NULL"),
    "unopened": (["since", "number"], "opened_at IS NULL"),
}
FINE_STATISTICS = 1000
"""Of `text`: from so many samples PostgreSQL knows how rare a word is, and takes the index or
walks the order of the page."""


def upgrade() -> None:
    op.create_table(
        "listing",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("connection_id", sa.Uuid(), nullable=False),
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("name_key", sa.String(length=100), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("turn", sa.String(length=32), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("health", sa.String(length=32), nullable=False),
        sa.Column("environment", sa.String(length=32), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("consented_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_connected_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["connection_id"], ["connection.id"], name=op.f("fk_listing_connection_id")
        ),
        sa.ForeignKeyConstraint(["partner_id"], ["partner.id"], name=op.f("fk_listing_partner_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_listing")),
        sa.UniqueConstraint("connection_id", name=op.f("uq_listing_connection_id")),
    )
    op.create_table(
        "saved_view",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("is_shared", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_saved_view_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_view")),
        sa.UniqueConstraint("staff_id", "name", name=op.f("uq_saved_view_staff_id_name")),
    )
    op.create_index("ix_saved_view_shared", "saved_view", ["is_shared"])
    _fill()
    for name, columns in INDEXES.items():
        op.create_index(f"ix_listing_{name}", "listing", columns)
    for name, (columns, where) in PARTIAL.items():
        op.create_index(
            f"ix_listing_{name}",
            "listing",
            columns,
            postgresql_where=sa.text(where),
            sqlite_where=sa.text(where),
        )
    if op.get_bind().dialect.name == "postgresql":
        # Comes with PostgreSQL, and whoever may create in the database may create it.
        op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        op.execute("CREATE INDEX ix_listing_text ON listing USING gin (text gin_trgm_ops)")
        op.execute(f"ALTER TABLE listing ALTER COLUMN text SET STATISTICS {FINE_STATISTICS}")
    else:
        _search_on_sqlite()


def _fill() -> None:
    op.execute(
        "INSERT INTO listing (connection_id, partner_id, name_key, code, turn, since, health,"
        " environment, created_at, due_at, text) "
        "SELECT connection.id, grower.partner_id, '', '', 'nobody', connection.created_at,"
        " connection.health, connection.environment, connection.created_at,"
        " connection.created_at, '' "
        "FROM connection JOIN grower ON grower.id = connection.grower_id"
    )


def _search_on_sqlite() -> None:
    op.execute(
        "CREATE VIRTUAL TABLE listing_search USING fts5("
        "text, content='listing', content_rowid='number', tokenize='trigram case_sensitive 1')"
    )
    add = "INSERT INTO listing_search (rowid, text) VALUES (new.number, new.text);"
    remove = (
        "INSERT INTO listing_search (listing_search, rowid, text)"
        " VALUES ('delete', old.number, old.text);"
    )
    for name, what, body in (
        ("added", "INSERT", add),
        ("removed", "DELETE", remove),
        ("changed", "UPDATE OF text", remove + " " + add),
    ):
        op.execute(f"CREATE TRIGGER listing_{name} AFTER {what} ON listing BEGIN {body} END")
    op.execute("INSERT INTO listing_search (listing_search) VALUES ('rebuild')")


def downgrade() -> None:
    op.drop_table("saved_view")
    if op.get_bind().dialect.name == "sqlite":
        for name in ("added", "removed", "changed"):
            op.execute(f"DROP TRIGGER listing_{name}")
        op.execute("DROP TABLE listing_search")
    op.drop_table("listing")
