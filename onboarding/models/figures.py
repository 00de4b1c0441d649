"""Figures for the dashboard, counted by the worker: pages add them up and count nothing."""

from __future__ import annotations

import uuid
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from onboarding.models.base import Base, words
from onboarding.states import FigureKind


class Figure(Base):
    """One number. Those of several partners can be added up."""

    __tablename__ = "figure"
    __table_args__ = (sa.Index("ix_figure_partner_id", "partner_id"),)

    kind: Mapped[FigureKind] = mapped_column(words(FigureKind), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    """In UTC; of a week its Monday."""
    partner_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("partner.id"), primary_key=True)
    key: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    """What was counted, in words of its kind (see `staff.figures`)."""
    number: Mapped[int]


class FigureCount(Base):
    """When figures were last counted, and when they are to be counted again. One row."""

    __tablename__ = "figure_count"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    due_at: Mapped[datetime]
    """While a worker counts: when another may begin. By the machine's own clock."""
    counted_at: Mapped[datetime | None]
    """The moment that the figures are of."""
