"""What a worker does again and again: the sweep every ten seconds, the catch-up every hour."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from onboarding import clock
from onboarding.connections import (
    alerts,
    embedding,
    incidents,
    leaf_events,
    listing,
    mails,
    open_link,
    workers,
)
from onboarding.connections import sweep as sweeping
from onboarding.errors import UpstreamError
from onboarding.installation import Installation
from onboarding.leaf import Leaf
from onboarding.models import Worker
from onboarding.partners import repeats
from onboarding.staff.bulk import jobs
from onboarding.staff.imports import doing as importing
from onboarding.webhooks import outbox as webhooks
from onboarding.webhooks import telling as webhook_mails
from onboarding.worker.machine import is_gone

FINISHED_KEPT = timedelta(hours=6)

log = logging.getLogger(__name__)


def sweep(installation: Installation, worker: Worker) -> None:
    """Set going again what was left lying, and do what is due."""
    # First of all: a machine that slept must not take itself for dead.
    beat(installation, worker)
    sweeping.sweep(
        installation.database,
        installation.queue,
        process_is_gone=lambda other: is_gone(other, worker),
    )
    settings = installation.settings
    # Before the mails: an incident that has just begun holds them back.
    incidents.look(
        installation.database,
        share=settings.incident_share_percent / 100,
        within=timedelta(minutes=settings.incident_within_minutes),
    )
    _forget_old(installation)
    open_link.take_up(installation.database)
    _send_mails(installation)
    installation.queue.tidy(
        living=lambda: _living(installation), ended_before=clock.real() - FINISHED_KEPT
    )
    # After the incidents, which change what many are told.
    listing.refresh_due(installation.database)


def catch_up(installation: Installation, leaf: Leaf) -> None:
    """Take the alerts that did not reach web; without it the checks find them, only later."""
    if not installation.settings.leaf_alert_secret:
        return  # none is registered
    try:
        found = alerts.catch_up(installation.database, leaf)
    except UpstreamError as err:
        log.warning("Leaf's failed calls were not read: %s", err)
    else:
        if found:
            log.info("Alerts that Leaf could not deliver: %d", found)


def beat(installation: Installation, worker: Worker) -> None:
    """Write the heartbeat. A database that is away for a moment is not a reason to end."""
    try:
        with installation.database.transaction() as session:
            workers.beat(session, worker, moment=clock.real())
    except SQLAlchemyError:
        log.exception("The heartbeat could not be written")


def _forget_old(installation: Installation) -> None:
    """Each kind in a transaction of its own, so that none keeps others waiting for long."""
    database = installation.database
    with database.transaction() as session:
        leaf_events.forget_old(session, kept=timedelta(days=installation.settings.events_kept_days))
    embedding.forget_old(database)
    for forget in (
        alerts.forget_old,
        importing.tidy,
        jobs.tidy,
        webhooks.forget_old,
        repeats.forget_old,
    ):
        with database.transaction() as session:
            forget(session)


def _send_mails(installation: Installation) -> None:
    """Send, or enqueue, the mails that are due. While mail is off they stay where they are."""
    with installation.database.transaction() as session:
        mails.tidy(session)
    if installation.settings.mail is not None:
        with installation.database.transaction() as session:
            at_most = installation.settings.mail_per_minute
            mails.enqueue_due(session, installation.queue, at_most=at_most)
        webhook_mails.tell_due(installation.database, installation.settings)


def _living(installation: Installation) -> Sequence[UUID]:
    with installation.database.reading() as session:
        return workers.living(session)
