"""All that a database holds, whoever's table it is."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

SYSTEM_SCHEMAS = {"information_schema", "pg_catalog", "pg_toast"}


def tables(engine: sa.Engine) -> dict[str, str]:
    """A digest of the rows of every table, those of the queue included."""
    return {
        name: hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()
        for name, rows in _rows(engine).items()
    }


def everything(engine: sa.Engine) -> dict[str, bytes]:
    """What somebody reads who steals the database.

    :return: SQLite's files with all that deleted rows left in them, or the rows of each table
        of PostgreSQL; by name
    """
    if engine.dialect.name == "sqlite":
        path = Path(engine.url.database or "")
        return {file.name: file.read_bytes() for file in path.parent.glob(f"{path.name}*")}
    return {name: "\n".join(rows).encode() for name, rows in _rows(engine).items()}


def forms(secret: str) -> set[bytes]:
    """A secret as text, in URLs, as hexadecimal digits, and within a longer base64 text."""
    raw = secret.encode()
    found = {raw, quote(secret, safe="").encode(), raw.hex().encode()}
    for shift in range(3):
        # What stands before and after the secret changes the first and the last digits only.
        found.add(base64.b64encode(b"." * shift + raw)[4 if shift else 0 : -4])
    return found


def _rows(engine: sa.Engine) -> dict[str, list[str]]:
    inspector = sa.inspect(engine)
    found = {}
    with engine.connect() as connection:
        for schema in set(inspector.get_schema_names()) - SYSTEM_SCHEMAS:
            for table in inspector.get_table_names(schema):
                name = f'"{schema}"."{table}"'
                rows = connection.execute(sa.text(f"SELECT * FROM {name}"))  # noqa: S608
                found[name] = [repr(tuple(row)) for row in rows]
    return found
