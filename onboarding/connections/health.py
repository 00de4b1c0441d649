"""What Leaf's answers to a check mean for a connection."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import history, mails, organizations
from onboarding.leaf import LeafOrganizations, Report
from onboarding.models import Connection
from onboarding.states import Cause, Health, Stage


@dataclass
class Answer:
    """What Leaf said before it said no more."""

    synced: bool = False
    answered: bool = False
    report: Report | None = None
    """None, though answered: Leaf has no credential."""
    organizations: LeafOrganizations | None = None
    trouble: str = ""


def note(session: Session, connection: Connection, answer: Answer) -> None:
    """Write down what a check brought.

    :param connection: locked
    """
    before = _standing(connection)
    if answer.answered:
        _note_health(connection, answer.report)
        _note_credential(session, connection, answer.report)
    if answer.organizations is not None:
        organizations.merge_from_leaf(session, connection, answer.organizations, moment=now())
    connection.settle()
    changed = _standing(connection) != before
    if changed:
        history.record(
            session,
            connection,
            "status_changed",
            stage=connection.stage.value,
            health=connection.health.value,
            text=connection.health_text,
        )
    if connection.stage is Stage.CONNECTED and connection.health is Health.OK:
        connection.connected_at = connection.connected_at or now()
    connection.detail = answer.trouble
    connection.failed_checks = connection.failed_checks + 1 if answer.trouble else 0
    if not answer.trouble:
        connection.checked_at = now()
        connection.checks = 0 if changed else connection.checks + 1
    mails.consider(session, connection)


def _note_health(connection: Connection, report: Report | None) -> None:
    if report is None:
        connection.cause = Cause.CREDENTIAL_MISSING
        connection.health, connection.health_text = Health.UNKNOWN, ""
    else:
        connection.cause = None
        connection.health, connection.health_text = report.health, report.raw_status


def _note_credential(session: Session, connection: Connection, report: Report | None) -> None:
    """Write down for staff that Leaf shows another credential than before."""
    before = connection.leaf_credential_id
    shown = report.credential_id if report else None
    if before and shown and shown != before:
        history.record(session, connection, "credential_is_another", before=before, shown=shown)
        connection.leaf_credential_id = shown


def _standing(connection: Connection) -> tuple[Stage, Health, str, Cause | None]:
    return connection.stage, connection.health, connection.health_text, connection.cause
