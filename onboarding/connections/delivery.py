"""One try to give a refresh token to Leaf: its steps, each of which can be repeated.

What Leaf does with a second POST is not documented, so there is never one while Leaf holds a
credential, and never two at a time (see `hand_over`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from onboarding.clock import now
from onboarding.connections import applications, history, removal, tries
from onboarding.connections.tries import TakenOver
from onboarding.db import Database
from onboarding.errors import (
    ApplicationUnknown,
    SignInRefused,
    UpstreamRejected,
    UpstreamUnavailable,
)
from onboarding.leaf import Credential, Leaf, LeafUser
from onboarding.models import Connection, Grower, locked
from onboarding.settings import Settings
from onboarding.vault import Vault

CLOCKS_DIFFER = timedelta(minutes=10)
"""By no more than this does Leaf's clock differ from ours."""
NOT_FOUND = 404


class LeafUserMissing(Exception):
    """Leaf answers what is done for the grower's Leaf user with 404."""


class ApplicationChanged(Exception):
    """The token was issued to an application that is not here any more."""


class Delivery:
    """One try: what it knows, and its steps in order."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        leaf: Leaf,
        settings: Settings,
        connection_id: UUID,
        number: int,
    ) -> None:
        self._database = database
        self._vault = vault
        self._leaf = leaf
        self._settings = settings
        self._connection_id = connection_id
        self._number = number
        self._stray: datetime | None = None
        self._began = now()
        self._is_answered = False

    def deliver(self) -> Credential:
        """Make sure that Leaf holds this token's credential, and return it.

        :raise TakenOver: if another try counts now
        :raise TokenUnreadable: if no key decrypts the token, or its application's secret
        :raise ApplicationChanged: if Leaf would be given the wrong client key
        :raise LeafUserMissing: if Leaf does not know the grower's Leaf user
        :raise UpstreamError: if Leaf does not do its part
        """
        with self._database.reading() as session:
            connection = session.get_one(Connection, self._connection_id)
        self._stray = connection.stray_since
        token = self._token(connection)
        grower = connection.grower
        self._settings = self._of_application(connection)
        leaf_user_id = grower.leaf_user_id or self._find_or_create_user(grower)
        try:
            return self._deliver_to(leaf_user_id, connection, token)
        except SignInRefused:
            raise
        except UpstreamRejected as err:
            if err.status == NOT_FOUND:
                raise LeafUserMissing(str(err)) from err
            raise

    def leave(self) -> None:
        """Another try counts now. If all POSTs of this token were answered, none is under way.

        The token was given up while Leaf had the POST, so that had to be feared.
        """
        if not self._is_answered:
            return
        with self._database.transaction() as session:
            connection = locked(session, self._connection_id)
            if connection.stray_since is not None and connection.stray_since >= self._began:
                connection.stray_since = self._stray

    def current(self, session: Session) -> Connection:
        """The connection, for writing, if this try is still the one that counts.

        :raise TakenOver: if it is not
        """
        return tries.current(session, self._connection_id, number=self._number)

    def _deliver_to(self, leaf_user_id: str, connection: Connection, token: str) -> Credential:
        if connection.grower.partner.select_organizations:
            # Before the credentials: Leaf begins to sync as soon as it has them.
            self._leaf.configure(leaf_user_id, organization_data_sync="SELECTED_ONLY")
        held = self._held(leaf_user_id, token)
        if held is not None and _is_ours(connection, held):
            return held
        if held is not None:
            self._remove(leaf_user_id, held)
        announced = self._announce_post(held)
        return self._post(connection, announced, leaf_user_id, token)

    def _token(self, connection: Connection) -> str:
        if connection.refresh_token is None:
            raise TakenOver
        return self._vault.decrypt(connection.refresh_token, place=connection.token_place)

    def _of_application(self, connection: Connection) -> Settings:
        """The settings of the application that the token was issued to."""
        settings = self._settings
        wanted = (connection.client_key, connection.environment)
        try:
            with self._database.reading() as session:
                application = applications.named(session, settings, *wanted)
        except ApplicationUnknown as err:
            raise ApplicationChanged(
                f"The grower consented to application {connection.client_key} "
                f"({connection.environment}); the settings name {settings.deere_client_key} "
                f"({settings.deere_environment}). Set the old one and retry, or ask the grower "
                "to connect again."
            ) from err
        return applications.complete(settings, self._vault, application)

    def _find_or_create_user(self, grower: Grower) -> str:
        """The grower's Leaf user.

        Two partners may use the same external id for different growers, so a Leaf user that
        belongs to another grower of ours is passed over; and for a grower whom a partner's program
        named, all that we did not make for them.
        """
        others = []
        for user in self._leaf.users(external_id=grower.external_id):
            if _may_be_taken(grower, user) and self._claim_user(user.id):
                return user.id
            others.append(user.id)
        before = grower.leaf_users_before
        if grower.by_partner and before is None:
            self._note_users_before(others)
        try:
            user = self._leaf.create_user(
                name=grower.name, external_id=grower.external_id, email=grower.email
            )
        except UpstreamRejected:
            if grower.by_partner:  # nothing was made: what appears later is not ours
                self._note_users_before(before)
            raise
        if not self._claim_user(user.id):
            raise UpstreamUnavailable("Leaf", "create user", reason="id is taken by another grower")
        return user.id

    def _claim_user(self, leaf_user_id: str) -> bool:
        try:
            with self._database.transaction() as session:
                self.current(session).grower.leaf_user_id = leaf_user_id
        except IntegrityError:
            return False
        return True

    def _note_users_before(self, ids: list[str] | None) -> None:
        with self._database.transaction() as session:
            self.current(session).grower.leaf_users_before = ids

    def _held(self, leaf_user_id: str, token: str) -> Credential | None:
        """The credential at Leaf.

        :raise UpstreamUnavailable: if the answer leaves open whether there is one: to erase the
            token would be as wrong as to post it
        """
        held = self._leaf.credential(leaf_user_id, refresh_token=token)
        if held is None or held.is_evident:
            return held
        if held.is_none:
            return None
        raise UpstreamUnavailable(
            "Leaf", "read the credential", reason="the answer may be of a credential or not"
        )

    def _remove(self, leaf_user_id: str, held: Credential) -> None:
        """Delete another credential than ours; the token is safe here meanwhile.

        :raise UpstreamUnavailable: also while its events can't be copied, for a short time
        """
        removal.save_events(self._database, self._leaf, self._connection_id)
        with self._database.transaction() as session:
            connection = self.current(session)
            history.record(session, connection, "credential_replaced", credential=held.id or "")
            self._stray = removal.announce(connection)
        removal.detach(
            self._database,
            self._leaf,
            self._connection_id,
            leaf_user_id,
            number=self._number,
            before=self._stray,
        )

    def _announce_post(self, removed: Credential | None) -> Connection:
        """Write down, before the POST, that Leaf may hold this token, and how to tell.

        :param removed: what was deleted just now; should it still show up, it is not ours
        """
        with self._database.transaction() as session:
            connection = self.current(session)
            connection.post_began_at = connection.post_began_at or now()
            if removed is not None:
                connection.stray_since = self._stray  # Leaf has answered the DELETE
                connection.credential_before_post = removed.id or connection.credential_before_post
            return connection

    def _post(
        self, connection: Connection, announced: Connection, leaf_user_id: str, token: str
    ) -> Credential:
        """Post the token.

        :param connection: as it was before the POST was announced
        :param announced: as it has been since
        """
        is_first = connection.post_began_at is None
        try:
            credential = self._leaf.attach(
                leaf_user_id,
                client_key=self._settings.deere_client_key,
                client_secret=self._settings.deere_client_secret,
                refresh_token=token,
                environment=self._settings.deere_environment,
            )
        except SignInRefused:
            self._note_posts_since(connection.post_began_at)
            raise
        except UpstreamRejected:
            self._is_answered = is_first
            self._note_posts_since(connection.post_began_at)
            # "There is one already" may be our own, from a try whose answer was lost.
            held = self._held(leaf_user_id, token)
            if held is None:
                self._note_posts_since(None)
            elif _is_ours(connection, held):
                return held
            raise
        self._is_answered = is_first
        if credential.shows_itself:
            return credential
        return self._confirmed(announced, leaf_user_id, token)

    def _note_posts_since(self, moment: datetime | None) -> None:
        """Write down since when Leaf may hold this token: the last POST had no effect.

        :param moment: None: it does not hold it, so what shows up later is not ours
        """
        with self._database.transaction() as session:
            self.current(session).post_began_at = moment

    def _confirmed(self, connection: Connection, leaf_user_id: str, token: str) -> Credential:
        """Some 2xx that shows no credential does not outweigh the token: Leaf must show it."""
        held = self._held(leaf_user_id, token)
        if held is None or not _is_ours(connection, held):
            raise UpstreamUnavailable(
                "Leaf", "create the credential", reason="the answer shows none, nor is there one"
            )
        return held


def _may_be_taken(grower: Grower, user: LeafUser) -> bool:
    """Whether a Leaf user of the grower's external id may be theirs.

    A partner's program may name whom it likes. So it only gets one that is new since we first
    asked for it, from a try whose answer was lost, and that nobody has connected.
    """
    if not grower.by_partner:
        return True
    before = grower.leaf_users_before
    return before is not None and user.id not in before and not user.is_connected


def _is_ours(connection: Connection, held: Credential) -> bool:
    """Whether the credential at Leaf came from the token that we hold."""
    if held.holds_token:
        return True
    if held.client_key not in {None, connection.client_key}:
        return False
    began = connection.post_began_at
    if began is None or (held.created is not None and held.created < began - CLOCKS_DIFFER):
        return False
    # We began to post this token and something new is there. (Its token may differ from ours by
    # now: Leaf refreshes it, and John Deere may give it another.)
    before = connection.credential_before_post
    return not before or (held.id is not None and held.id != before)
