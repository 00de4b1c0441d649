"""Since when Leaf says what it says, when people are told of trouble, and when it has ended."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import history
from onboarding.models import Connection
from onboarding.states import Cause, Health

TOLD_AFTER = timedelta(minutes=15)
"""So long a pause at John Deere lasts before anybody is told of it."""


def note(
    session: Session, connection: Connection, *, before: Health, told_after: timedelta
) -> None:
    """Write down what follows from Leaf's word, which has just been written into the connection.

    :param before: Leaf's word until now
    :param told_after: how long a pause lasts before people are told of it
    """
    moment, told_from = now(), connection.trouble_told_from
    if connection.health is Health.OK:
        if told_from is not None and told_from <= moment:
            since = told_from.isoformat(timespec="seconds")
            history.record(session, connection, "repaired", trouble_since=since)
        connection.trouble_told_from = None
    elif connection.health is Health.TEMPORARILY_UNAVAILABLE:
        # What has not worked before, or not yet, is not called connected for a quarter of an hour.
        is_new = before is Health.OK and told_from is None
        connection.trouble_told_from = moment + told_after if is_new else told_from or moment
    elif _is_trouble(connection):
        connection.trouble_told_from = min(told_from or moment, moment)


def _is_trouble(connection: Connection) -> bool:
    """Whether Leaf says more than that it has not looked yet."""
    has_word = connection.health is not Health.UNKNOWN or connection.health_text != ""
    return has_word or connection.cause is Cause.CREDENTIAL_MISSING
