"""Checks: asking Leaf how a connection is, soon after a change and then ever later.

A check is claimed, asked, and noted. A claim pushes the due date on by a lease, so that nobody
else asks meanwhile, and gives the check a number: an answer whose number is no longer the newest is
left out. What a worker had claimed when it was killed is due again when the lease ends.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from onboarding import chance
from onboarding.clock import now
from onboarding.connections import arrivals, health, history, selection, trouble
from onboarding.connections.health import Answer
from onboarding.connections.owed import CHECK_LEASE
from onboarding.db import Database
from onboarding.describe.leaf import CONFIRMED_FOR
from onboarding.errors import UpstreamError
from onboarding.leaf import Leaf, LeafOrganizations
from onboarding.models import Connection, locked
from onboarding.states import Cause, Health, Stage, Urgency

PAUSES_BETWEEN_CHECKS = tuple(
    timedelta(seconds=seconds) for seconds in (5, 15, 60, 300, 900, 3600, 6 * 3600, 24 * 3600)
)
"""After a change; the last one stays."""
CHECKS_AFTER_A_CHANGE = 6
"""So many, within an hour and a half, come before the daily ones."""
FAILED_CHECKS_IN_FRONT = 3
"""From then on a connection that Leaf does not answer for waits with the daily ones."""
SHARE_OF_ROUTINE = 0.25
"""Of what is claimed, if there is enough of everything: the daily checks come on, too."""
LONGEST_PAUSE_IN_A_PAUSE = timedelta(hours=1)
"""While John Deere does not answer Leaf: its end is not to be seen a day late."""
PAUSE_AFTER_FAILED_CHECK = timedelta(minutes=1)
LONGEST_PAUSE_AFTER_FAILED_CHECK = timedelta(hours=1)

log = logging.getLogger(__name__)


def is_any_due(session: Session) -> bool:
    """Whether there is something to claim. Takes no lock."""
    return any(due(session, looks=1, others=1).values())


def late_by(session: Session) -> timedelta:
    """For how long the check has been due that has been due for longest."""
    oldest = [
        session.scalar(
            sa.select(Connection.check_due_at)
            .where(Connection.check_urgency == urgency, Connection.check_due_at.is_not(None))
            .order_by(Connection.check_due_at)
            .limit(1)
        )
        for urgency in Urgency
    ]
    moment = now()
    return max((moment - due for due in oldest if due is not None), default=timedelta(0))


def claim(database: Database, *, looks: int, others: int) -> list[Connection]:
    """Take checks that are due, for as long as a lease lasts.

    First those that somebody waits for; then those after a change and the daily ones, three to one
    as long as there are enough of both. Within each, the one that has been due longest: so a
    backlog of days holds up nobody who has just connected.

    :param looks: how many to take at most of those that somebody waits for
    :param others: how many of all others
    :return: the connections as they are; `check_number` is that of the check
    """
    moment = now()
    with database.transaction() as session:
        found = due(session, looks=looks, others=others, lock=True)
        ids, changed, routine = (found[urgency] for urgency in Urgency)
        # Rounded by chance: a quarter of a few would always be none.
        kept = min(chance.rounded(others * SHARE_OF_ROUTINE), len(routine))
        ids += changed[: others - kept]
        ids += routine[: max(kept, others - len(changed))]
        if not ids:
            return []
        session.execute(
            sa.update(Connection)
            .where(Connection.id.in_(ids))
            .values(
                check_number=Connection.check_number + 1,
                check_began_at=moment,
                check_due_at=moment + CHECK_LEASE,
            )
            .execution_options(synchronize_session=False)
        )
        claimed = session.scalars(sa.select(Connection).where(Connection.id.in_(ids))).all()
        return [one for one in claimed if one.is_at_leaf and one.grower.leaf_user_id is not None]


def renew(database: Database, claimed: Collection[Connection]) -> None:
    """Keep what is claimed for another lease: its turn at Leaf has not come yet."""
    _set_due(database, claimed, now() + CHECK_LEASE)


def give_back(database: Database, claimed: Collection[Connection]) -> None:
    """Let others take what was claimed and not asked."""
    _set_due(database, claimed, now())


def ask(leaf: Leaf, connection: Connection) -> Answer:
    """Ask Leaf for a claimed connection. When it does not answer, the answer says so.

    :raise NotNow: if Leaf is not to be asked at this moment
    """
    return _ask(leaf, connection.grower.leaf_user_id or "", connection)


def _ask(leaf: Leaf, leaf_user_id: str, connection: Connection) -> Answer:
    """Ask one thing after the other; what Leaf refuses to answer keeps it from no other answer."""
    answer = Answer()
    with answer.noting_failure():
        answer.report = leaf.health(leaf_user_id)
        answer.answered = True
    if answer.is_silence or (answer.answered and answer.report is None):
        return answer
    with answer.noting_failure():
        answer.organizations = leaf.organizations(leaf_user_id)
    # After the list, so that what stands in it is synced; it may be shared since a moment.
    if connection.sync_owed or answer.shows_newly_shared(connection):
        with answer.noting_failure():
            leaf.sync_organizations(leaf_user_id)
            answer.synced = True
    with answer.noting_failure():
        _select(leaf, leaf_user_id, connection, answer)
    if not answer.is_silence and answer.connected(connection) and arrivals.are_due(connection):
        # No failure of the check: nothing depends on it, and a later one asks again.
        with suppress(UpstreamError):
            answer.summary = leaf.summary(leaf_user_id)
    return answer


def _select(leaf: Leaf, leaf_user_id: str, connection: Connection, answer: Answer) -> None:
    """Let Leaf fetch what it should where that is not known, or has been chosen anew."""
    is_news = answer.synced or answer.shows_newly_shared(connection)
    if not (is_news or _is_selection_owed(connection)):
        return
    if connected := answer.connected(connection):
        answer.selection = selection.select(
            leaf, leaf_user_id, selection.wanted(connection, connected)
        )
        if answer.selection.failure:
            raise answer.selection.failure


def note(
    database: Database,
    claimed: Connection,
    answer: Answer,
    *,
    told_after: timedelta = trouble.TOLD_AFTER,
) -> Connection:
    """Write down what a check brought, if it is still the newest.

    When Leaf could not be asked, what was known stays, and the next check comes soon.

    :param told_after: how long a pause at John Deere lasts before people are told of it
    :return: the connection as it is now
    """
    with database.transaction() as session:
        current = locked(session, claimed.id)
        if current.is_at_leaf and current.check_number == claimed.check_number:
            health.note(session, current, answer, told_after=told_after)
            _plan(current)
        return current


def brings_nothing_new(claimed: Connection, answer: Answer) -> bool:
    """Whether an answer says that all is well, as it was, so that only its time is noted."""
    report, told = answer.report, answer.organizations
    if report is None or told is None:
        return False
    return (
        answer == Answer(answered=True, report=report, organizations=told)
        and claimed.health is report.health is Health.OK
        and claimed.health_text == report.raw_status
        and report.credential_id in {None, claimed.leaf_credential_id}
        and not (claimed.cause or claimed.sharing_trouble or claimed.detail)
        and not (claimed.sync_owed or _is_selection_owed(claimed) or claimed.failed_checks)
        and claimed.stage is Stage.CONNECTED
        and claimed.connected_at is not None
        and claimed.health_since is not None
        and claimed.trouble_told_from is None
        and _is_told_as_of_now(claimed)
        and _knows(claimed, told)
    )


def _is_told_as_of_now(connection: Connection) -> bool:
    """Whether people are not told, and will not be within the hour, that Leaf was not heard of
    lately: else its word is news to them."""
    said = connection.leaf_said_at
    return said is None or now() - said < CONFIRMED_FOR - timedelta(hours=1)


def _is_selection_owed(connection: Connection) -> bool:
    """Whether Leaf has to be told what to fetch. For a partner that chooses it stays in the row,
    should the partner let us do it one day, and no check works off but what staff have chosen."""
    if any(row.is_choice_owed for row in connection.organizations):
        return True
    return connection.selection_owed and not connection.grower.partner.select_organizations


def note_nothing_new(database: Database, claimed: Iterable[Connection]) -> None:
    """Write down of several connections at once that they were checked and all is as it was.

    What has changed meanwhile is left as it is now: the change has its own check.
    """
    moment = now()
    rows = []
    for one in claimed:
        one.checks += 1
        _plan(one)
        rows.append(
            _key(one) | {"made": one.checks, "due": one.check_due_at, "urgency": one.check_urgency}
        )
    unchanged = (Connection.stage == Stage.CONNECTED, Connection.sync_owed.is_(False))
    values = {
        "checked_at": moment,
        "leaf_listed_at": moment,
        "checks": sa.bindparam("made"),
        "check_due_at": sa.bindparam("due"),
        "check_urgency": sa.bindparam("urgency"),
    }
    _update(database, rows, values, *unchanged)


def put_off(database: Database, connection_id: UUID, *, number: int) -> None:
    """Note that a check ended in an error of ours, which the next one may run into as well."""
    with database.transaction() as session:
        connection = locked(session, connection_id)
        if connection.check_number != number:
            return
        if connection.cause is None:
            connection.cause = Cause.OUR_ERROR
            history.record(session, connection, "check_broke_off")
            log.error("Leaf can't be asked about %s: the check broke off", connection.reference)
        connection.failed_checks += 1
        _plan(connection)


def due(
    session: Session, *, looks: int, others: int, lock: bool = False
) -> dict[Urgency, list[UUID]]:
    """The first of each urgency that are due, the longest first.

    :param looks: how many at most that somebody waits for
    :param others: how many at most of each other urgency
    :param lock: for writing; what another worker holds at the moment is passed over
    """
    moment = now()
    parts = []
    for urgency in Urgency:
        # Each has its own order and end, so that the index gives them without looking further.
        part = (
            sa.select(sa.literal(urgency.value).label("urgency"), Connection.id)
            .where(Connection.check_urgency == urgency, Connection.check_due_at <= moment)
            .order_by(Connection.check_due_at)
            .limit(looks if urgency is Urgency.LOOK else others)
        )
        if lock:
            part = part.with_for_update(skip_locked=True, of=Connection)
        parts.append(sa.select(part.subquery()))
    found: dict[Urgency, list[UUID]] = {urgency: [] for urgency in Urgency}
    for urgency, connection_id in session.execute(sa.union_all(*parts)):
        found[Urgency(urgency)].append(connection_id)
    return found


def _set_due(database: Database, claimed: Collection[Connection], moment: datetime) -> None:
    _update(database, [_key(one) for one in claimed], {"check_due_at": moment})


def _key(claimed: Connection) -> dict[str, Any]:
    return {"key": claimed.id, "number": claimed.check_number}


def _update(
    database: Database,
    rows: Sequence[Mapping[str, Any]],
    values: Mapping[str, Any],
    *conditions: sa.ColumnElement[bool],
) -> None:
    """Write to many connections at once, as far as what was claimed of them still counts."""
    if not rows:
        return
    change = sa.update(Connection).where(
        Connection.id == sa.bindparam("key"),
        Connection.check_number == sa.bindparam("number"),
        *conditions,
    )
    # In one order, so that whoever else writes to many at once waits and is no deadlock.
    ordered = sorted(rows, key=lambda row: str(row["key"]))
    with database.transaction() as session:
        session.connection().execute(change.values(**values), ordered)


def _knows(connection: Connection, told: LeafOrganizations) -> bool:
    """Whether Leaf tells of the organizations what is known."""
    known = {row.deere_id: row for row in connection.organizations}
    shared = {row.deere_id for row in connection.organizations if row.connected}
    own = {row.deere_id for row in connection.organizations if row.member}
    listed = (*told.connected, *told.not_connected)
    return (
        shared == {entry.id for entry in told.connected}
        and own <= {entry.id for entry in listed}
        and all(
            entry.id in known
            and entry.name in {"", known[entry.id].name}
            and entry.management_uri in {None, known[entry.id].manage_url}
            for entry in listed
        )
    )


def _plan(connection: Connection) -> None:
    """Say when the next check comes, up to a fifth early, and what it comes before.

    Early, not late: after a day at most, as people are told.
    """
    connection.check_due_at = now() + chance.spread(_pause(connection), 0.8, 1.0)
    is_new = (
        connection.checks < CHECKS_AFTER_A_CHANGE
        and connection.failed_checks < FAILED_CHECKS_IN_FRONT
    )
    connection.check_urgency = Urgency.CHANGED if is_new else Urgency.ROUTINE


def _pause(connection: Connection) -> timedelta:
    """Until the next check: growing while nothing changes, and while Leaf does not answer."""
    if connection.failed_checks:
        doubled = PAUSE_AFTER_FAILED_CHECK * (1 << min(connection.failed_checks - 1, 10))
        return min(doubled, LONGEST_PAUSE_AFTER_FAILED_CHECK)
    pause = PAUSES_BETWEEN_CHECKS[min(connection.checks, len(PAUSES_BETWEEN_CHECKS) - 1)]
    is_paused = connection.health is Health.TEMPORARILY_UNAVAILABLE
    return min(pause, LONGEST_PAUSE_IN_A_PAUSE) if is_paused else pause
