"""In the sandbox: bring a connection to a status by what really causes it.

A partner's developer sees each status in their own pages, and gets the webhooks that go with it.

First the sandbox is made so, then all that is written here is written in one transaction, which
the caller may add to. Before a consent there is one more, since John Deere is asked between them:
of a move that was cut off there, an attempt stays that comes to nothing, as of a grower who was
cut off. Doing a move again leads to the same status.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import (
    consent,
    disconnect,
    embedding,
    hand_over,
    history,
    organizations,
    selection,
)
from onboarding.connections.owed import owe_check
from onboarding.deere import Deere
from onboarding.errors import InputInvalid, UpstreamError
from onboarding.installation import Installation
from onboarding.models import Attempt, Connection, locked
from onboarding.partners import deeds, ways
from onboarding.partners.simulation import Simulation
from onboarding.states import Cause, Health, Outcome, Stage
from onboarding.vault import KEY_BYTES, Vault


@dataclass
class Move:
    """One connection on its way.

    :ivar writing: begins the transaction in which it is carried out
    """

    parts: Installation
    connection_id: UUID
    writing: Callable[[], AbstractContextManager[Session]]
    simulation: Simulation = field(init=False)

    def __post_init__(self) -> None:
        self.simulation = Simulation(self.parts.settings)

    def to(self, code: str) -> str:
        """Bring it there, or let a worker; what else is to know.

        :param code: one of `ways.CODES`
        :raise InputInvalid: if there is no way from where it is
        :raise UpstreamError: if the sandbox does not do its part
        """
        with self.parts.database.reading() as session:
            found = session.get_one(Connection, self.connection_id)
            is_new = consent.latest(session, found.id) is None
        _refuse(found, code, is_new=is_new)
        if code != "handing_over_late":  # which comes of what Leaf does not answer
            accounts = [_account(found, one) for one in ways.PEOPLE]
            self.simulation.mend(accounts=accounts, leaf_user_id=found.grower.leaf_user_id)
        if code in ways.OPEN or code in ways.ENDS:
            self._attempt(code)
        elif code in ways.ENDING:
            self._end(found, code)
        elif code == "connected" and _waits(found):
            with self.writing() as session:
                hand_over.retry(session, self.parts.queue, found, who=history.PARTNER)
        elif code in ways.KNOWN_PEOPLE:
            self._consent(code, ways.KNOWN_PEOPLE[code])
        elif code in ways.PEOPLE and not (code == "connected" and _heals(found)):
            self._consent(code, self._move_in(found, code))
        elif code != "invited":
            self._at_leaf(found, code)
        return ways.hint(code, self.parts.settings)

    def _disturb(self, code: str, **match: str) -> None:
        for fault in ways.FAULTS.get(code, ()):
            self.simulation.disturb(fault, **match)

    def _move_in(self, found: Connection, code: str) -> str:
        """Let the account live in the sandbox whose consent leads there; its name."""
        name = _account(found, code)
        self.simulation.move_in(name=name, **ways.PEOPLE[code])
        self._disturb(code, account=name)
        return name

    def _attempt(self, code: str) -> None:
        """The grower goes to John Deere, and comes back with nothing, or not yet."""
        with self.writing() as session:
            attempt, _started = self._start(session)
            if code == "finishing":
                consent.use(session, self.parts.vault, attempt)
            elif code in ways.ENDS:
                said = "asked for in the sandbox"
                consent.finish(session, attempt, ways.ENDS[code], detail=said)

    def _start(self, session: Session) -> tuple[Attempt, consent.Started]:
        connection = session.get_one(Connection, self.connection_id)
        link = embedding.new_link(session, connection)
        session.flush()
        settings = self.parts.deere_of_partner(session, link.grower.partner).settings
        started = consent.start(session, self.parts.vault, settings, link)
        return session.get_one(Attempt, started.attempt_id), started

    def _consent(self, code: str, account: str) -> None:
        """The grower agrees at John Deere, as the account that leads there."""
        parts = self.parts
        with parts.database.transaction() as session:
            attempt, started = self._start(session)
            deere = parts.deere_of_attempt(session, attempt)
            consent.use(session, parts.vault, attempt)
        try:
            url = deere.consent_url(state=started.state, code_verifier=started.code_verifier)
            given = self.simulation.consent(account, url)
            tokens = deere.exchange(code=given, code_verifier=started.code_verifier)
        except UpstreamError as err:
            with parts.database.transaction() as session:
                attempt = session.get_one(Attempt, started.attempt_id)
                consent.finish(session, attempt, Outcome.INTERRUPTED, detail=str(err))
            raise
        # Nobody chooses meanwhile: it is also what the grower comes back with.
        reading = organizations.read(deere, tokens.access_token) if tokens.expires_in else None
        # That of staff who have lost the key: what it encrypts nobody reads any more.
        vault = Vault([os.urandom(KEY_BYTES)]) if code == "waiting_for_staff" else parts.vault
        with self.writing() as session:
            attempt = session.get_one(Attempt, started.attempt_id)
            keeping = (session, vault, parts.queue, deere.settings)
            consent.receive(*keeping, attempt=attempt, tokens=tokens)
            organizations.note(session, deere, attempt, reading)
            if code in ways.CHOSEN:
                self._choose(session, deere, attempt, reading)

    def _choose(
        self,
        session: Session,
        deere: Deere,
        attempt: Attempt,
        reading: organizations.Reading | None,
    ) -> None:
        """The grower goes to John Deere's page for organizations, and comes back."""
        connection = session.get_one(Connection, self.connection_id)
        organizations.page_for(session, deere, connection, organization_id=None)
        organizations.note(session, deere, attempt, reading, returned_at=now())

    def _at_leaf(self, found: Connection, code: str) -> None:
        """Leaf says something else, or nothing any more, and is asked."""
        leaf_user_id = found.grower.leaf_user_id or ""
        self._disturb(code, leaf_user_id=leaf_user_id)
        if code == "credential_missing":
            self.simulation.lose(leaf_user_id)
        else:
            self.simulation.say(leaf_user_id, ways.SAYS.get(code))
        if code == "nothing_fetched":
            self.simulation.choose_nothing(leaf_user_id)
        with self.writing() as session:
            connection = locked(session, self.connection_id)
            if code == "nothing_fetched":
                selection.resync(session, connection, who=history.PARTNER)
            else:
                owe_check(connection)

    def _end(self, found: Connection, code: str) -> None:
        """It is to end; what waited for Leaf is tried again."""
        self._disturb(code, leaf_user_id=found.grower.leaf_user_id or "")
        with self.writing() as session:
            connection = locked(session, self.connection_id)
            if connection.stage is Stage.DISCONNECTING:
                disconnect.retry(session, self.parts.queue, connection, who=history.PARTNER)
            else:
                deeds.end(session, self.parts.queue, connection)


def _account(found: Connection, code: str) -> str:
    """The connection's own account at John Deere that leads there: no other's has its name."""
    return f"{code}.{found.reference.lower()}@sandbox.example"


def _refuse(found: Connection, code: str, *, is_new: bool) -> None:
    """Say what to do first, if there is no way from where it is.

    :param is_new: nobody has gone to John Deere for it yet
    """
    came_from = found.stage_before if found.stage is Stage.AUTHORIZING else found.stage
    if code == "invited" and not is_new:
        raise InputInvalid("Only a grower who has not begun stands there: make another one.")
    if code in ways.ENDS and came_from is not Stage.INVITED:
        raise InputInvalid("Only a grower who has never agreed comes to that: make another one.")
    if code in ways.OPEN and came_from not in {Stage.INVITED, Stage.DISCONNECTED}:
        raise InputInvalid(
            "While a connection stands, going to John Deere again does not change its status."
        )
    if code == "no_refresh_token" and (found.is_at_leaf or found.refresh_token is not None):
        raise InputInvalid("A connection that stands is not changed by that: disconnect it first.")
    if code == "handing_over_late" and not _may_come_twice(found):
        raise InputInvalid(
            "It comes of a second consent while Leaf has not answered for the first: move it to "
            "`waiting_for_leaf`, and come back when it is told so."
        )
    _refuse_of_leaf(found, code)


def _refuse_of_leaf(found: Connection, code: str) -> None:
    is_word = code in ways.SAYS or code == "credential_missing"
    if is_word and not found.is_at_leaf:
        raise InputInvalid("Leaf has to hold the permission first: move it to `connected`.")
    if code in ways.SHARING and found.stage is not Stage.CONNECTED:
        raise InputInvalid("An organization has to be shared first: move it to `connected`.")
    if code in ways.WORKING and found.health is not Health.OK:
        raise InputInvalid("It has to work first: move it to `connected`.")
    if code == "nothing_fetched" and _is_choice_of_partner(found):
        raise InputInvalid(
            "What Leaf fetches of it is chosen by you, so that nothing is fetched is no trouble."
        )
    is_waiting = code in ways.ENDING and code != "disconnected"
    if is_waiting and found.stage is Stage.DISCONNECTED:
        raise InputInvalid("It is disconnected already: move it to `connected` first.")
    if is_waiting and not (found.is_ending or found.can_be_disconnected):
        raise InputInvalid("There is nothing to end: move it to `connected` first.")
    if is_waiting and found.grower.leaf_user_id is None:
        raise InputInvalid("Leaf has nothing of it to delete: move it to `connected` first.")


def _is_choice_of_partner(found: Connection) -> bool:
    """Whether the partner says what Leaf fetches, of all of it or of each that is shared."""
    return found.grower.partner.select_organizations or selection.is_meant(found)


def _may_come_twice(found: Connection) -> bool:
    """Whether Leaf may yet take a permission that we hold."""
    is_waiting = found.stage is Stage.HANDING_OVER and found.refresh_token is not None
    return is_waiting and found.post_began_at is not None


def _heals(found: Connection) -> bool:
    """Whether it works again as soon as Leaf says nothing else any more."""
    is_held = found.health is not Health.UNAUTHENTICATED
    return (
        found.stage is Stage.CONNECTED and is_held and found.cause is not Cause.CREDENTIAL_MISSING
    )


def _waits(found: Connection) -> bool:
    """Whether a token waits for Leaf, that will do once Leaf takes it."""
    return (
        found.refresh_token is not None
        and found.stage in {Stage.FAILED, Stage.HANDING_OVER}
        and found.has_shared_organization
        and found.cause is not Cause.TOKEN_UNREADABLE
    )
