"""What Leaf's answers to a check mean for a connection."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import arrivals, history, mails, selection, sharing, trouble
from onboarding.connections.delivery import CLOCKS_DIFFER
from onboarding.connections.selection import Selection
from onboarding.errors import (
    SignInRefused,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from onboarding.leaf import LeafOrganizations, Report, Summary
from onboarding.models import Connection
from onboarding.states import Cause, Health, Stage

LASTING_AFTER = 3
"""From this many failed checks in a row, which take some minutes, staff are told of a refusal."""

log = logging.getLogger(__name__)


@dataclass
class Answer:
    """What Leaf said, and what it did not."""

    answered: bool = False
    report: Report | None = None
    """None, though answered: Leaf has no credential."""
    organizations: LeafOrganizations | None = None
    synced: bool = False
    """Since it told of the organizations."""
    selection: Selection | None = None
    summary: Summary | None = None
    """None: it was not asked for, or not told."""
    failures: list[UpstreamError] = field(default_factory=list)

    @contextmanager
    def noting_failure(self) -> Iterator[None]:
        """Note that Leaf did not do what was asked, and go on."""
        try:
            yield
        except UpstreamError as err:
            self.failures.append(err)

    @property
    def is_silence(self) -> bool:
        """Whether there is no point in asking for anything else now."""
        return any(isinstance(err, UpstreamUnavailable | SignInRefused) for err in self.failures)

    @property
    def trouble(self) -> str:
        """What Leaf did not do, for staff; empty if it did all."""
        return "; ".join(map(str, self.failures))

    @property
    def refusal(self) -> Cause | None:
        """Whether a person has to look after what Leaf did not do."""
        if any(isinstance(err, SignInRefused) for err in self.failures):
            return Cause.LEAF_SIGN_IN_REFUSED
        refused = any(isinstance(err, UpstreamRejected) for err in self.failures)
        return Cause.CHECK_REFUSED if refused else None

    def shows_newly_shared(self, connection: Connection) -> bool:
        """Whether Leaf names an organization as connected which was not, as far as we knew."""
        if self.organizations is None:
            return False
        known = {row.deere_id for row in connection.organizations if row.connected}
        return any(entry.id not in known for entry in self.organizations.connected)

    def connected(self, connection: Connection) -> set[str]:
        """Ids of the organizations that are connected, as Leaf says, or else as we knew."""
        if self.organizations is None:
            return {row.deere_id for row in connection.organizations if row.connected}
        return {entry.id for entry in self.organizations.connected}


def note(
    session: Session,
    connection: Connection,
    answer: Answer,
    *,
    told_after: timedelta = trouble.TOLD_AFTER,
) -> None:
    """Write down what a check brought.

    :param connection: locked
    :param told_after: how long a pause at John Deere lasts before people are told of it
    """
    before, word_before = _standing(connection), _word(connection)
    if answer.answered:
        _note_health(connection, answer.report)
        if _word(connection) != word_before or connection.health_since is None:
            connection.health_since = now()
        trouble.note(session, connection, before=word_before[0], told_after=told_after)
        _note_credential(session, connection, answer.report)
    # With a permission that John Deere does not accept, Leaf's lists say nothing of now.
    if answer.organizations is not None and connection.health is not Health.UNAUTHENTICATED:
        sharing.take_from_leaf(session, connection, answer.organizations, moment=now())
    if answer.synced:
        connection.sync_owed = False
        connection.selection_owed = True
    _note_selection(session, connection, answer.selection)
    if answer.summary is not None:
        arrivals.note(session, connection, answer.summary)
    connection.failed_checks = connection.failed_checks + 1 if answer.failures else 0
    _note_refusal(connection, answer.refusal)
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
    if answer.answered:
        connection.checked_at = now()
    if not answer.failures:
        connection.checks = 0 if changed or connection.sync_owed else connection.checks + 1
    mails.consider(session, connection)


def _note_health(connection: Connection, report: Report | None) -> None:
    if report is None:
        connection.cause = Cause.CREDENTIAL_MISSING
        connection.health, connection.health_text = Health.UNKNOWN, ""
    else:
        if connection.cause is not Cause.NOTHING_FETCHED:  # that is about the organizations
            connection.cause = None
        connection.health, connection.health_text = report.health, report.raw_status


def _note_selection(session: Session, connection: Connection, selected: Selection | None) -> None:
    is_ours = not connection.grower.partner.select_organizations
    if selected is not None and connection.has_shared_organization:
        selection.note(session, connection, selected)
    elif connection.cause is Cause.NOTHING_FETCHED and not (
        is_ours and connection.has_shared_organization
    ):
        connection.cause = None


def _note_refusal(connection: Connection, refusal: Cause | None) -> None:
    """Let staff look at it if it lasts: what Leaf refuses for a moment is no news for them."""
    if refusal is None or connection.failed_checks < LASTING_AFTER or connection.cause is not None:
        return
    if connection.failed_checks == LASTING_AFTER:
        log.error("Leaf refuses the checks of %s: %s", connection.reference, refusal.value)
    connection.cause = refusal


def _note_credential(session: Session, connection: Connection, report: Report | None) -> None:
    """Write down for staff that Leaf shows another credential than before.

    An id that Leaf did not show at the hand-over is taken in if it can only be that of ours.
    """
    before = connection.leaf_credential_id
    shown = report.credential_id if report else None
    if report is None or not shown or shown == before:
        return
    if before:
        history.record(session, connection, "credential_is_another", before=before, shown=shown)
        connection.leaf_credential_id = shown
    elif _is_ours(connection, report):
        connection.leaf_credential_id = shown


def _is_ours(connection: Connection, report: Report) -> bool:
    """Whether it was made with our application between our first POST and Leaf's having it.

    The token that would tell was erased at the hand-over (see docs/decisions/0004).
    """
    began, ended, made = connection.post_began_at, connection.handed_over_at, report.created
    return (
        report.client_key is not None
        and report.client_key == connection.client_key
        and report.credential_id != connection.credential_before_post
        and began is not None
        and ended is not None
        and made is not None
        and began - CLOCKS_DIFFER <= made <= ended + CLOCKS_DIFFER
    )


def _word(connection: Connection) -> tuple[Health, str, bool]:
    """What Leaf says of the credential."""
    is_missing = connection.cause is Cause.CREDENTIAL_MISSING
    return connection.health, connection.health_text, is_missing


def _standing(connection: Connection) -> tuple[Stage, Health, str, Cause | None]:
    return connection.stage, connection.health, connection.health_text, connection.cause
