"""What data has come from John Deere to Leaf, so that "connected" can be believed."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import history
from onboarding.leaf import Summary
from onboarding.models import Connection

READ_AGAIN_AFTER = timedelta(days=7)
"""Connections are checked daily: asking each time would take half as many requests again."""


def are_due(connection: Connection) -> bool:
    """Whether Leaf is to be asked: until something has arrived with every check, then weekly."""
    read = connection.arrivals_read_at
    return not connection.fields_arrived or read is None or now() - read > READ_AGAIN_AFTER


def note(session: Session, connection: Connection, summary: Summary) -> None:
    """Write down what Leaf has fetched so far."""
    if summary.fields and not connection.fields_arrived:
        history.record(
            session,
            connection,
            "data_arrived",
            growers=summary.growers,
            farms=summary.farms,
            fields=summary.fields,
        )
    connection.growers_arrived = summary.growers
    connection.farms_arrived = summary.farms
    connection.fields_arrived = summary.fields
    connection.arrivals_read_at = now()


def forget(connection: Connection) -> None:
    """Another credential may be another account: what has arrived is read anew."""
    connection.growers_arrived = connection.farms_arrived = connection.fields_arrived = None
    connection.arrivals_read_at = None
