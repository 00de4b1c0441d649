"""In the sandbox: bring a connection to a status by what really causes it.

A partner's developer sees each status in their own pages, and gets the webhooks that go with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from onboarding.connections import (
    consent,
    disconnect,
    embedding,
    hand_over,
    history,
    organizations,
)
from onboarding.connections.owed import owe_check
from onboarding.errors import InputInvalid
from onboarding.installation import Installation
from onboarding.models import Attempt, Connection, locked
from onboarding.partners import deeds
from onboarding.partners.simulation import Simulation
from onboarding.states import Health, Outcome, Stage

ENDS = {
    "denied": Outcome.DENIED,
    "took_too_long": Outcome.EXPIRED,
    "interrupted": Outcome.INTERRUPTED,
    "code_refused": Outcome.CODE_REFUSED,
    "deere_unavailable": Outcome.DEERE_UNAVAILABLE,
    "application_refused": Outcome.APPLICATION_REFUSED,
}
"""How an attempt ends without a permission."""
SAYS = {
    "reconnect": Health.UNAUTHENTICATED.value,
    "missing_permission": Health.MISSING_PERMISSION.value,
    "temporarily_unavailable": Health.TEMPORARILY_UNAVAILABLE.value,
    "unknown_health": "SUSPENDED",
}
"""What Leaf says of the permission that it holds."""
OWN_FARM = {"id": "459901", "name": "Sandbox Farm"}
PEOPLE: dict[str, dict[str, Any]] = {
    "connected": {"farms": [OWN_FARM | {"connected": True}]},
    "choose_organizations": {"farms": [OWN_FARM]},
    "no_organization_chosen": {"farms": [OWN_FARM]},
    "no_organizations": {"farms": []},
    "wrong_account": {"farms": [OWN_FARM | {"member": False}]},
    "terms_not_accepted": {
        "farms": [OWN_FARM],
        "terms_url": "https://operationscenter.deere.com/terms",
    },
    "failed": {"farms": [OWN_FARM | {"connected": True}]},
    "waiting_for_leaf": {"farms": [OWN_FARM | {"connected": True}]},
}
"""Whose consent leads there: an account of the connection's own."""
KNOWN_PEOPLE = {
    "permissions_too_low": "staff-refused",
    "no_refresh_token": "no-refresh-token",
}
"""The same, by an account of the sandbox's list."""
FAULTS = {
    "failed": ("leaf.credentials.create", 400, 1),
    "waiting_for_leaf": ("leaf.credentials.get", 503, None),
    "disconnecting": ("leaf.credentials.get", 503, None),
    "disconnecting_late": ("leaf.credentials.get", 503, None),
    "disconnecting_held_up": ("leaf.credentials.delete", 403, None),
}
"""What Leaf answers meanwhile: to what, by which status, how often."""
REACHED = (
    "authorizing",
    *ENDS,
    *PEOPLE,
    *KNOWN_PEOPLE,
    *SAYS,
    "credential_missing",
    *(code for code in FAULTS if code.startswith("disconnecting")),
    "disconnected",
)
"""All that a connection can be brought to."""
NOT_REACHED = {
    "invited": "Every new grower is there: make another one.",
    "finishing": "It lasts a second: ask for `connected` and look at once.",
    "handing_over": "It lasts a second: ask for `waiting_for_leaf` and look within 20 seconds.",
    "handing_over_late": "It needs a worker that is not there: stop it and ask for `connected`.",
    "checking": "It lasts a second: ask for `connected` and look at once.",
    "waiting_for_staff": "It needs an error of the installation, such as a wrong password at Leaf.",
    "unconfirmed": "It needs two days: let Leaf fail, and move the clock on the control page.",
    "choice_unseen": "It needs a grower who chose while neither John Deere nor Leaf answers.",
    "organizations_refused": "It needs John Deere to refuse the application's scopes.",
    "organizations_unavailable": "It passes with Leaf's next answer.",
    "organizations_unknown": "It passes with Leaf's next answer.",
    "nothing_fetched": "It needs a choice made at Leaf, past this API.",
    "refused_with_many": "It needs many connections at once: bring a fifth of them to `reconnect`.",
    "limited_with_many": "It needs a fifth of all connections at `missing_permission` at once.",
}
"""What a connection can't be brought to alone, and why."""
LATE = "It is told once it has lasted for 20 seconds."
PAUSE = "It is told once it has lasted; the sandbox's control page can move the clock."
HOW = {
    "waiting_for_leaf": LATE,
    "disconnecting_late": LATE,
    "temporarily_unavailable": PAUSE,
}


@dataclass
class Move:
    """One connection on its way."""

    parts: Installation
    connection_id: UUID
    simulation: Simulation = field(init=False)

    def __post_init__(self) -> None:
        self.simulation = Simulation(self.parts.settings)

    def to(self, code: str) -> str:
        """Bring it there, or let a worker; what else is to know.

        :param code: one of `REACHED`
        :raise InputInvalid: if there is no way from where it is
        :raise UpstreamError: if the sandbox does not do its part
        """
        found = self._found()
        _refuse(found, code)
        self.simulation.mend(external_id=found.grower.external_id)
        if code in FAULTS:
            where, status, times = FAULTS[code]
            match = {"external_id": found.grower.external_id}
            self.simulation.disturb(where, status, times=times, **match)
        if code in ENDS or code == "authorizing":
            self._attempt(ENDS.get(code))
        elif code in SAYS or code == "credential_missing":
            self._at_leaf(code)
        elif code.startswith("disconnect"):
            self._end()
        elif code == "connected" and _heals(found):
            self._at_leaf(code)
        elif code == "connected" and _waits(found):
            with self.parts.database.transaction() as session:
                hand_over.retry(session, self.parts.queue, self._own(session), who=history.PARTNER)
        else:
            self._consent(code)
        return HOW.get(code, "")

    def _found(self) -> Connection:
        with self.parts.database.reading() as session:
            return self._own(session)

    def _own(self, session: Session) -> Connection:
        return session.get_one(Connection, self.connection_id)

    def _start(self) -> consent.Started:
        with self.parts.database.transaction() as session:
            link = embedding.new_link(session, self._own(session))
            session.flush()
            partner = link.grower.partner
            settings = self.parts.deere_of_partner(session, partner).settings
            return consent.start(session, self.parts.vault, settings, link)

    def _attempt(self, outcome: Outcome | None) -> None:
        """The grower goes to John Deere, and comes back with nothing, if at all."""
        started = self._start()
        if outcome is not None:
            with self.parts.database.transaction() as session:
                attempt = session.get_one(Attempt, started.attempt_id)
                consent.finish(session, attempt, outcome, detail="asked for in the sandbox")

    def _consent(self, code: str) -> None:
        """The grower agrees at John Deere, as the account that leads there."""
        parts, account = self.parts, self._account(code)
        started = self._start()
        with parts.database.transaction() as session:
            attempt = session.get_one(Attempt, started.attempt_id)
            deere = parts.deere_of_attempt(session, attempt)
            verifier = consent.use(session, parts.vault, attempt) or ""
        url = deere.consent_url(state=started.state, code_verifier=verifier)
        given = self.simulation.consent(account, url)
        tokens = deere.exchange(code=given, code_verifier=verifier)
        keeping = (parts.database, parts.vault, parts.queue, deere.settings)
        consent.keep(*keeping, started.attempt_id, tokens)
        sends = code == "no_organization_chosen"
        looking = (parts.database, parts.vault, deere, started.attempt_id)
        organizations.look(*looking, send=sends)
        if sends:
            organizations.look(*looking, returned=True)

    def _account(self, code: str) -> str:
        if code in KNOWN_PEOPLE:
            return KNOWN_PEOPLE[code]
        name = f"{code}.{self._found().reference.lower()}@sandbox.example"
        self.simulation.move_in(name=name, **PEOPLE[code])
        return name

    def _at_leaf(self, code: str) -> None:
        """Leaf says something else, or nothing any more, and is asked."""
        leaf_user_id = self._found().grower.leaf_user_id or ""
        if code == "credential_missing":
            self.simulation.lose(leaf_user_id)
        else:
            self.simulation.say(leaf_user_id, SAYS.get(code))
        with self.parts.database.transaction() as session:
            owe_check(locked(session, self.connection_id))

    def _end(self) -> None:
        """It is to end; what waited for Leaf is tried again."""
        with self.parts.database.transaction() as session:
            found = locked(session, self.connection_id)
            if found.stage is Stage.DISCONNECTING:
                disconnect.retry(session, self.parts.queue, found, who=history.PARTNER)
            else:
                deeds.end(session, self.parts.queue, found)


def _refuse(found: Connection, code: str) -> None:
    """Say what to do first, if there is no way from where it is."""
    came_from = found.stage_before if found.stage is Stage.AUTHORIZING else found.stage
    if code in ENDS and came_from is not Stage.INVITED:
        raise InputInvalid("Only a grower who has never agreed comes to that: make another one.")
    if code == "authorizing" and came_from not in {Stage.INVITED, Stage.DISCONNECTED}:
        raise InputInvalid(
            "While a connection stands, going to John Deere again does not change its status."
        )
    if (code in SAYS or code == "credential_missing") and not found.is_at_leaf:
        raise InputInvalid("Leaf has to hold the permission first: move it to `connected`.")
    if code == "no_refresh_token" and (found.is_at_leaf or found.refresh_token is not None):
        raise InputInvalid("A connection that stands is not changed by that: disconnect it first.")
    if code.startswith("disconnecting") and not (found.is_ending or found.can_be_disconnected):
        raise InputInvalid("There is nothing to end: move it to `connected` first.")
    if code.startswith("disconnecting") and found.stage is Stage.DISCONNECTED:
        raise InputInvalid("It is disconnected already: move it to `connected` first.")


def _heals(found: Connection) -> bool:
    """Whether it works again as soon as Leaf says nothing else any more."""
    passes = {Health.OK, Health.MISSING_PERMISSION, Health.TEMPORARILY_UNAVAILABLE}
    is_word = found.health is Health.UNKNOWN and bool(found.health_text)
    return found.stage is Stage.CONNECTED and (found.health in passes or is_word)


def _waits(found: Connection) -> bool:
    """Whether a token waits for Leaf, that will do once Leaf takes it."""
    waits = found.stage is Stage.FAILED or found.waiting_since is not None
    return found.refresh_token is not None and waits and found.has_shared_organization
