"""A grower's connection and its organizations, and the questions that one row can answer."""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from onboarding.models.base import Base, uuid_key, words
from onboarding.models.growers import Grower
from onboarding.states import (
    Cause,
    Environment,
    Health,
    SharingTrouble,
    Stage,
    SyncChoice,
    Urgency,
)

HAS_TURNED = "health <> 'OK' AND health_text <> ''"
"""Leaf says something else than OK. Written out, since a database finds a partial index only so."""
REFERENCE_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
REFERENCE_LENGTH = 8


def new_reference() -> str:
    """A code to read over the telephone: 8 characters without look-alikes."""
    return "".join(secrets.choice(REFERENCE_LETTERS) for _ in range(REFERENCE_LENGTH))


class Connection(Base):
    """A grower's John Deere connection: where it stands, and the token while it waits.

    While `refresh_token` is set and the stage is `handing_over`, the hand-over is owed:
    `hand_over_try` is the number of the try that may work on it, `hand_over_due_at` when it
    should, `hand_over_taken_by` the worker that does. While the stage is `disconnecting`, the
    deletion at Leaf is owed, and the same three are about it: no two tries of either kind may
    change what Leaf holds at a time.
    """

    __tablename__ = "connection"

    id: Mapped[uuid.UUID] = uuid_key()
    grower_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("grower.id"), unique=True)
    reference: Mapped[str] = mapped_column(
        sa.String(REFERENCE_LENGTH), unique=True, default=new_reference
    )
    stage: Mapped[Stage] = mapped_column(words(Stage), default=Stage.INVITED)
    health: Mapped[Health] = mapped_column(words(Health), default=Health.UNKNOWN)
    health_text: Mapped[str] = mapped_column(sa.String(64), default="")
    """Leaf's raw word; shown to staff when `health` is UNKNOWN."""
    cause: Mapped[Cause | None] = mapped_column(words(Cause))
    detail: Mapped[str] = mapped_column(sa.Text, default="")
    """For staff: what the service answered, redacted."""
    stage_before: Mapped[Stage | None] = mapped_column(words(Stage))
    """Where to go back to when a started attempt comes to nothing."""

    environment: Mapped[Environment | None] = mapped_column(words(Environment))
    client_key: Mapped[str | None] = mapped_column(sa.String(200))
    scopes_asked: Mapped[list[str]] = mapped_column(default=list)
    scopes_granted: Mapped[list[str]] = mapped_column(default=list)

    refresh_token: Mapped[bytes | None] = mapped_column(sa.LargeBinary)
    token_received_at: Mapped[datetime | None]
    hand_over_try: Mapped[int] = mapped_column(default=0)
    hand_over_due_at: Mapped[datetime | None]
    hand_over_taken_by: Mapped[uuid.UUID | None]
    waiting_since: Mapped[datetime | None]
    """Since when Leaf has not been able to take the token."""
    post_began_at: Mapped[datetime | None]
    """Set before credentials are posted: from here on Leaf may hold this token."""
    credential_before_post: Mapped[str | None] = mapped_column(sa.String(64))
    """Id of the credential that Leaf held before ours was posted."""
    stray_since: Mapped[datetime | None]
    """When a request was sent, or given up, that Leaf may carry out although nobody waits for it
    any more: it could make or delete a credential after us (see `connections.tries`)."""
    events_awaited_since: Mapped[datetime | None]
    """Since when Leaf does not show the events that have to be copied before it deletes them."""
    leaf_credential_id: Mapped[str | None] = mapped_column(sa.String(64))
    handed_over_at: Mapped[datetime | None]

    sharing_trouble: Mapped[SharingTrouble | None] = mapped_column(words(SharingTrouble))
    sharing_detail: Mapped[str] = mapped_column(sa.Text, default="")
    """For staff: what John Deere answered when organizations were read."""
    sharing_trouble_at: Mapped[datetime | None]
    """When it did."""
    choose_url: Mapped[str | None] = mapped_column(sa.Text)
    """John Deere's page for choosing organizations, as its API named it."""
    terms_url: Mapped[str | None] = mapped_column(sa.Text)
    organizations_seen_at: Mapped[datetime | None]
    """When John Deere itself last said which organizations are connected."""
    leaf_listed_at: Mapped[datetime | None]
    """When Leaf last said it."""
    returned_at: Mapped[datetime | None]
    """When the grower last came back from John Deere's page for organizations."""

    checked_at: Mapped[datetime | None]
    check_due_at: Mapped[datetime | None]
    """While a worker has claimed it: when its lease ends."""
    check_urgency: Mapped[int] = mapped_column(
        sa.SmallInteger, default=Urgency.ROUTINE, server_default=str(Urgency.ROUTINE.value)
    )
    check_began_at: Mapped[datetime | None]
    """When a worker last claimed it, whatever came of it."""
    check_number: Mapped[int] = mapped_column(default=0)
    """Of the check that may report; an older one is left out."""
    sync_owed: Mapped[bool] = mapped_column(default=False)
    """Leaf has yet to read anew at John Deere which organizations are connected."""
    selection_owed: Mapped[bool] = mapped_column(default=True)
    """Whether Leaf fetches what is shared has yet to be seen, and Leaf told to if it does not."""
    failed_checks: Mapped[int] = mapped_column(default=0)
    """Checks in a row that Leaf did not answer, or not in full."""
    checks: Mapped[int] = mapped_column(default=0)
    """Health checks since the last change: the pauses between them grow with it."""
    connected_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    connected_told_for: Mapped[datetime | None]
    """The `handed_over_at` for which the mail "connected" is owed or was: once per connecting."""
    grower_acts_since: Mapped[datetime | None]
    """Since when the grower has to do something, without ever having been connected meanwhile."""

    events_copied_at: Mapped[datetime | None]
    """When Leaf's events were last copied."""
    events_copied_as: Mapped[Health | None] = mapped_column(words(Health))
    """Leaf's word then: another one is a reason to copy them anew."""
    growers_arrived: Mapped[int | None]
    farms_arrived: Mapped[int | None]
    fields_arrived: Mapped[int | None]
    """What Leaf had fetched of John Deere's data when it was last asked."""
    arrivals_read_at: Mapped[datetime | None]
    health_since: Mapped[datetime | None]
    """Since when Leaf has said of the present credential what it says now."""
    trouble_told_from: Mapped[datetime | None]
    """From when people are told that it does not work; None: it does, or Leaf has not looked yet.

    It outlasts a new credential: what Leaf says of that one ends the trouble, or does not."""

    grower: Mapped[Grower] = relationship(lazy="joined", innerjoin=True)
    organizations: Mapped[list[Organization]] = relationship(
        cascade="all, delete-orphan", order_by="Organization.name", lazy="selectin"
    )

    __table_args__ = (
        sa.Index(
            "ix_connection_hand_over_due_at",
            "hand_over_due_at",
            postgresql_where=sa.text("hand_over_due_at IS NOT NULL"),
            sqlite_where=sa.text("hand_over_due_at IS NOT NULL"),
        ),
        sa.Index(
            "ix_connection_check",
            "check_urgency",
            "check_due_at",
            postgresql_where=sa.text("check_due_at IS NOT NULL"),
            sqlite_where=sa.text("check_due_at IS NOT NULL"),
        ),
        sa.Index("ix_connection_leaf_credential_id", "leaf_credential_id"),
        sa.Index(
            "ix_connection_turned",
            "health",
            "health_since",
            postgresql_where=sa.text(HAS_TURNED),
            sqlite_where=sa.text(HAS_TURNED),
        ),
        sa.Index(
            "ix_connection_checked_at",
            "checked_at",
            postgresql_where=sa.text("checked_at IS NOT NULL"),
            sqlite_where=sa.text("checked_at IS NOT NULL"),
        ),
        sa.Index(
            "ix_connection_token_kept",
            "id",
            postgresql_where=sa.text("refresh_token IS NOT NULL"),
            sqlite_where=sa.text("refresh_token IS NOT NULL"),
        ),
    )

    @property
    def token_place(self) -> str:
        """What ties the encrypted refresh token to this row."""
        return f"connection/{self.id}/refresh_token"

    @property
    def has_shared_organization(self) -> bool:
        """Whether at least one organization is connected at John Deere."""
        return any(organization.connected for organization in self.organizations)

    @property
    def is_at_leaf(self) -> bool:
        """Whether Leaf has taken the newest token."""
        return self.stage in {Stage.CHOOSING_ORGANIZATIONS, Stage.CONNECTED}

    @property
    def is_ending(self) -> bool:
        """Whether it is being disconnected or has been."""
        return self.stage in {Stage.DISCONNECTING, Stage.DISCONNECTED}

    @property
    def can_be_disconnected(self) -> bool:
        """Whether we hold a token of the grower, or Leaf may hold one."""
        if self.stage is Stage.FAILED:
            kept = (self.refresh_token, self.post_began_at, self.handed_over_at)
            return any(trace is not None for trace in kept)
        return self.is_at_leaf or self.stage is Stage.HANDING_OVER

    @property
    def leaf_said_at(self) -> datetime | None:
        """When Leaf last told us of the credential, as it took it or when it was asked."""
        return max(filter(None, (self.handed_over_at, self.checked_at)), default=None)

    @property
    def trouble_in_the_way(self) -> SharingTrouble | None:
        """What keeps the grower from choosing.

        An answer of John Deere's that we can't read does not, once Leaf has named organizations.
        """
        if self.sharing_trouble is SharingTrouble.ANSWER_UNKNOWN and self.organizations:
            return None
        return self.sharing_trouble

    @property
    def has_unseen_choice(self) -> bool:
        """Whether the grower may have chosen what nobody has been able to tell us since.

        The hour in which we can ask John Deere ourselves is over then, and Leaf does not answer.
        """
        looks = (self.organizations_seen_at, self.leaf_listed_at, self.sharing_trouble_at)
        return self.returned_at is not None and all(
            look is None or look < self.returned_at for look in looks
        )

    def is_pause_untold(self, moment: datetime) -> bool:
        """Whether John Deere's service has only just stopped answering Leaf.

        Until it lasts nobody is told, and what was true before it still counts.
        """
        return (
            self.health is Health.TEMPORARILY_UNAVAILABLE
            and self.trouble_told_from is not None
            and moment < self.trouble_told_from
        )

    @property
    def scopes_missing(self) -> list[str]:
        """What was asked for, and John Deere did not give."""
        return sorted(set(self.scopes_asked) - set(self.scopes_granted))

    @property
    def lacks_scopes(self) -> bool:
        """Whether data may be missing for it; lasting access brings no data."""
        return bool(set(self.scopes_missing) - {"offline_access"})

    @property
    def is_about_to_change(self) -> bool:
        """Whether a worker is reading the organizations at Leaf, and Leaf has not failed at it."""
        return self.is_at_leaf and self.sync_owed and not self.failed_checks

    @property
    def is_being_looked_at(self) -> bool:
        """Whether Leaf is asked at this moment, or next, since somebody waits for its answer."""
        is_look = self.check_urgency == Urgency.LOOK
        return self.is_at_leaf and is_look and self.check_due_at is not None

    def settle(self) -> None:
        """Take the stage that follows from what Leaf holds and what is shared."""
        if self.is_at_leaf:
            shared = self.has_shared_organization
            self.stage = Stage.CONNECTED if shared else Stage.CHOOSING_ORGANIZATIONS


class Organization(Base):
    """A John Deere organization that the grower's account sees."""

    __tablename__ = "organization"

    connection_id: Mapped[uuid.UUID] = mapped_column(
        sa.ForeignKey("connection.id"), primary_key=True
    )
    deere_id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(300))
    connected: Mapped[bool]
    member: Mapped[bool] = mapped_column(default=True)
    """False: another farm's organization, seen through a partnership."""
    manage_url: Mapped[str | None] = mapped_column(sa.Text)
    sync_choice: Mapped[SyncChoice | None] = mapped_column(words(SyncChoice))
    """What Leaf fetches of it, as it last said; None: not asked yet, or Leaf does not list it."""
    sync_chosen: Mapped[SyncChoice | None] = mapped_column(words(SyncChoice))
    """What staff want Leaf to fetch; None: what follows from the partner's setting."""

    @property
    def is_choice_owed(self) -> bool:
        """Whether Leaf has yet to do as staff have chosen."""
        return self.connected and self.sync_chosen not in {None, self.sync_choice}


def locked(session: Session, connection_id: uuid.UUID) -> Connection:
    """A connection for writing, as it is now; others who want to write it wait.

    Only its own row is locked: with the partner's, which comes along in the same query, all
    growers of a partner would wait for each other.
    """
    session.flush()  # what was changed before must not be read over
    return session.get_one(
        Connection, connection_id, populate_existing=True, with_for_update={"of": [Connection]}
    )
