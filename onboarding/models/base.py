"""What all tables have in common."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """A moment in UTC, aware on both databases (SQLite stores no zone)."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


def words(enum: type[Any], *, length: int = 32) -> sa.Enum:
    """A StrEnum as text: readable in the database, checked on the way in and out."""
    return sa.Enum(
        enum,
        native_enum=False,
        length=length,
        create_constraint=False,
        values_callable=lambda kind: [member.value for member in kind],
    )


def uuid_key() -> Mapped[uuid.UUID]:
    return mapped_column(primary_key=True, default=uuid.uuid4)


def number_key() -> Mapped[int]:
    """One that grows with each row. SQLite counts by itself only what it takes for an INTEGER."""
    return mapped_column(sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True)


class Base(DeclarativeBase):
    """The root of the tables; constraint names are spelled out for migrations."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime(), list[str]: sa.JSON()}
