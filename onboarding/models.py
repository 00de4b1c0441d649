"""The tables, and the questions that one row can answer."""

from __future__ import annotations

import secrets
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from onboarding.states import (
    OUR_FAULT,
    Cause,
    Environment,
    Health,
    IncidentKind,
    MailKind,
    MailState,
    Outcome,
    SharingTrouble,
    Stage,
    Urgency,
)

ATTEMPT_LIFETIME = timedelta(minutes=30)
"""A sign-in with a second factor takes time; a state that lives for hours is a gift."""
EXCHANGE_LIMIT = timedelta(minutes=1)
"""The token call is given up before this; an attempt that says "exchanging" for longer was cut."""
IS_OUR_FAULT = "outcome IN ({})".format(", ".join(f"'{one.value}'" for one in sorted(OUR_FAULT)))
"""Of an attempt. Written out, since a database finds an index on a part of a table only so."""
HAS_TURNED = "health <> 'OK' AND health_text <> ''"
"""Of a connection: Leaf says something else than OK. Written out, too."""
REFERENCE_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
REFERENCE_LENGTH = 8


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """A moment in UTC, aware on both databases (SQLite stores no zone)."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


def _words(enum: type[Any]) -> sa.Enum:
    """A StrEnum as text: readable in the database, checked on the way in and out."""
    return sa.Enum(
        enum,
        native_enum=False,
        length=32,
        create_constraint=False,
        values_callable=lambda kind: [member.value for member in kind],
    )


def _uuid_key() -> Mapped[uuid.UUID]:
    return mapped_column(primary_key=True, default=uuid.uuid4)


def new_reference() -> str:
    """A code to read over the telephone: 8 characters without look-alikes."""
    return "".join(secrets.choice(REFERENCE_LETTERS) for _ in range(REFERENCE_LENGTH))


class Base(DeclarativeBase):
    """The root of the tables; constraint names are spelled out for migrations."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime(), list[str]: sa.JSON()}


class Partner(Base):
    """The company that brings growers."""

    __tablename__ = "partner"

    id: Mapped[uuid.UUID] = _uuid_key()
    slug: Mapped[str] = mapped_column(sa.String(64), unique=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    colour: Mapped[str | None] = mapped_column(sa.String(7))
    support_name: Mapped[str | None] = mapped_column(sa.String(200))
    support_email: Mapped[str | None] = mapped_column(sa.String(254))
    support_phone: Mapped[str | None] = mapped_column(sa.String(40))
    support_url: Mapped[str | None] = mapped_column(sa.String(500))
    frame_origins: Mapped[list[str]] = mapped_column(default=list)
    return_urls: Mapped[list[str]] = mapped_column(default=list)
    select_organizations: Mapped[bool] = mapped_column(default=False)
    """Ask Leaf for `organizationDataSync=SELECTED_ONLY`: nothing syncs until it is chosen."""
    created_at: Mapped[datetime]


class Grower(Base):
    """A farm to connect. One Leaf user each."""

    __tablename__ = "grower"
    __table_args__ = (sa.UniqueConstraint("partner_id", "external_id"),)

    id: Mapped[uuid.UUID] = _uuid_key()
    partner_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("partner.id"))
    external_id: Mapped[str] = mapped_column(sa.String(200))
    name: Mapped[str] = mapped_column(sa.String(200))
    email: Mapped[str | None] = mapped_column(sa.String(254))
    leaf_user_id: Mapped[str | None] = mapped_column(sa.String(64), unique=True)
    created_at: Mapped[datetime]
    mail_stopped_at: Mapped[datetime | None]
    """Since when the grower wants no mails but those that staff send by hand."""
    address_refused_at: Mapped[datetime | None]
    """When the mail server said that there is no such mailbox; until another address is given."""

    partner: Mapped[Partner] = relationship(lazy="joined", innerjoin=True)

    @property
    def can_be_reached(self) -> bool:
        """Whether there is an address, and it has not been refused for good."""
        return bool(self.email) and self.address_refused_at is None


class Link(Base):
    """A URL for one grower; expires and can be revoked."""

    __tablename__ = "link"

    id: Mapped[uuid.UUID] = _uuid_key()
    grower_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("grower.id"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]

    grower: Mapped[Grower] = relationship(lazy="joined", innerjoin=True)

    def is_usable(self, now: datetime) -> bool:
        """Whether the link may be used at this moment."""
        return self.revoked_at is None and now < self.expires_at


class Connection(Base):
    """A grower's John Deere connection: where it stands, and the token while it waits.

    While `refresh_token` is set and the stage is `handing_over`, the hand-over is owed:
    `hand_over_try` is the number of the try that may work on it, `hand_over_due_at` when it
    should, `hand_over_taken_by` the worker that does. While the stage is `disconnecting`, the
    deletion at Leaf is owed, and the same three are about it: no two tries of either kind may
    change what Leaf holds at a time.
    """

    __tablename__ = "connection"

    id: Mapped[uuid.UUID] = _uuid_key()
    grower_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("grower.id"), unique=True)
    reference: Mapped[str] = mapped_column(
        sa.String(REFERENCE_LENGTH), unique=True, default=new_reference
    )
    stage: Mapped[Stage] = mapped_column(_words(Stage), default=Stage.INVITED)
    health: Mapped[Health] = mapped_column(_words(Health), default=Health.UNKNOWN)
    health_text: Mapped[str] = mapped_column(sa.String(64), default="")
    """Leaf's raw word; shown to staff when `health` is UNKNOWN."""
    cause: Mapped[Cause | None] = mapped_column(_words(Cause))
    detail: Mapped[str] = mapped_column(sa.Text, default="")
    """For staff: what the service answered, redacted."""
    stage_before: Mapped[Stage | None] = mapped_column(_words(Stage))
    """Where to go back to when a started attempt comes to nothing."""

    environment: Mapped[Environment | None] = mapped_column(_words(Environment))
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

    sharing_trouble: Mapped[SharingTrouble | None] = mapped_column(_words(SharingTrouble))
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
    events_copied_as: Mapped[Health | None] = mapped_column(_words(Health))
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


class Attempt(Base):
    """One walk through John Deere's consent."""

    __tablename__ = "attempt"
    __table_args__ = (
        sa.Index("ix_attempt_connection_id_created_at", "connection_id", "created_at"),
        sa.Index(
            "ix_attempt_unfinished",
            "created_at",
            postgresql_where=sa.text("outcome IS NULL"),
            sqlite_where=sa.text("outcome IS NULL"),
        ),
        sa.Index(
            "ix_attempt_our_fault",
            "connection_id",
            postgresql_where=sa.text(IS_OUR_FAULT),
            sqlite_where=sa.text(IS_OUR_FAULT),
        ),
    )

    id: Mapped[uuid.UUID] = _uuid_key()
    connection_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("connection.id"))
    link_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("link.id"))
    state_digest: Mapped[bytes] = mapped_column(sa.LargeBinary(32), unique=True)
    browser_digest: Mapped[bytes] = mapped_column(sa.LargeBinary(32))
    code_verifier: Mapped[bytes | None] = mapped_column(sa.LargeBinary)
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[Outcome | None] = mapped_column(_words(Outcome))
    detail: Mapped[str] = mapped_column(sa.Text, default="")
    access_token: Mapped[bytes | None] = mapped_column(sa.LargeBinary)
    """Kept only until an organization is shared, an hour at most."""
    access_token_until: Mapped[datetime | None] = mapped_column(index=True)
    sent_to_choose_at: Mapped[datetime | None]
    """When the grower was sent to choose organizations: once per attempt, never in a loop."""
    elsewhere_at: Mapped[datetime | None]
    """When it came back in a browser that had not begun it; for the grower's hint alone."""

    connection: Mapped[Connection] = relationship()

    @property
    def verifier_place(self) -> str:
        """What ties the encrypted PKCE verifier to this row."""
        return f"attempt/{self.id}/code_verifier"

    @property
    def access_token_place(self) -> str:
        """What ties the encrypted access token to this row."""
        return f"attempt/{self.id}/access_token"

    def is_exchanging(self, now: datetime) -> bool:
        """Whether the callback is being worked on at this moment."""
        return (
            self.used_at is not None
            and self.outcome is None
            and now < self.used_at + EXCHANGE_LIMIT
        )


class Event(Base):
    """One line of the append-only history."""

    __tablename__ = "event"
    __table_args__ = (sa.Index("ix_event_connection_id_id", "connection_id", "id"),)

    id: Mapped[int] = mapped_column(
        sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True
    )
    connection_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("connection.id"))
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(sa.String(64))
    who: Mapped[str] = mapped_column(sa.String(64))
    """`grower`, `staff` or `system`."""
    data: Mapped[dict[str, Any]] = mapped_column(sa.JSON, default=dict)


class Worker(Base):
    """A running worker process: its heartbeat tells the others whether to take over its work."""

    __tablename__ = "worker"

    id: Mapped[uuid.UUID] = _uuid_key()
    host: Mapped[str] = mapped_column(sa.String(255))
    pid: Mapped[int]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class Copy(Base):
    """The last good copy of a public document, for the day its source can't be reached."""

    __tablename__ = "copy"

    name: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    text: Mapped[str] = mapped_column(sa.Text)
    fetched_at: Mapped[datetime]


class Pace(Base):
    """What all workers together know of a service: when it may be asked next, and if it is down.

    Its moments are those of the database's clock where that has one (see `connections.pace`).
    """

    __tablename__ = "pace"

    service: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    next_at: Mapped[datetime]
    """The first moment for a request that no worker has leased."""
    hand_overs_until: Mapped[datetime | None]
    """Until then a worker has more hand-overs than turns: no check takes one."""
    closed_until: Mapped[datetime | None]
    """Nobody asks before this; while it is down, when somebody tries again."""
    pauses: Mapped[int] = mapped_column(default=0)
    """In a row: they grow."""
    failures: Mapped[int] = mapped_column(default=0)
    """Requests in a row without a useful answer, of all workers."""
    failed_at: Mapped[datetime | None]
    down_since: Mapped[datetime | None]
    """Since when it has been taken for down: then one request decides for all."""
    reason: Mapped[str] = mapped_column(sa.Text, default="")
    """For staff: what it answered last, redacted."""


class SeenAlert(Base):
    """An alert of Leaf's that was taken: delivered again it does nothing."""

    __tablename__ = "seen_alert"
    __table_args__ = (
        sa.Index("ix_seen_alert_connection_id_received_at", "connection_id", "received_at"),
        sa.Index("ix_seen_alert_received_at", "received_at"),
    )

    digest: Mapped[bytes] = mapped_column(sa.LargeBinary(32), primary_key=True)
    received_at: Mapped[datetime]
    connection_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("connection.id"))
    """None: of a credential that we do not know."""
    asked_around: Mapped[bool] = mapped_column(default=False)
    """Whether it made us ask about connections whose credential's id we do not know."""


class LeafEvent(Base):
    """What John Deere answered to a call of Leaf's, redacted: a copy of an event at Leaf."""

    __tablename__ = "leaf_event"
    __table_args__ = (
        sa.UniqueConstraint("connection_id", "leaf_id"),
        sa.Index("ix_leaf_event_connection_id_at", "connection_id", "at"),
        sa.Index("ix_leaf_event_copied_at", "copied_at"),
    )

    id: Mapped[int] = mapped_column(
        sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True
    )
    connection_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("connection.id"))
    leaf_id: Mapped[str] = mapped_column(sa.String(64))
    """Leaf's id of the event; a digest of it where that is none."""
    at: Mapped[datetime]
    """When it happened, as Leaf says; else when it was copied."""
    status_code: Mapped[int | None]
    body: Mapped[str] = mapped_column(sa.Text)
    copied_at: Mapped[datetime]


class Mail(Base):
    """A mail to a grower: owed, sent, left out or given up.

    Neither an address nor a text stands here: both are taken when it is sent. `tries` is the
    number of the try that may send it, `due_at` when it should, or when somebody looks after it.
    """

    __tablename__ = "mail"

    id: Mapped[uuid.UUID] = _uuid_key()
    connection_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("connection.id"))
    link_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("link.id"))
    """The link in it: given by staff, or made for it."""
    kind: Mapped[MailKind] = mapped_column(_words(MailKind))
    state: Mapped[MailState] = mapped_column(_words(MailState), default=MailState.WAITING)
    about: Mapped[datetime | None]
    """What it is about: the connection's `handed_over_at` or `grower_acts_since` of that time."""
    number: Mapped[int] = mapped_column(default=1)
    """Of the mails about the same thing."""
    created_at: Mapped[datetime]
    due_at: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(default=0)
    first_tried_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    """When it was sent, left out or given up."""
    message_id: Mapped[str] = mapped_column(sa.String(255), default="")
    detail: Mapped[str] = mapped_column(sa.Text, default="")
    """For staff: why it is late, was left out or given up; redacted."""

    connection: Mapped[Connection] = relationship()
    link: Mapped[Link | None] = relationship()

    __table_args__ = (
        sa.Index("ix_mail_connection_id_created_at", "connection_id", "created_at"),
        sa.Index(
            "ix_mail_kind_due_at",
            "kind",
            "due_at",
            postgresql_where=sa.text("due_at IS NOT NULL"),
            sqlite_where=sa.text("due_at IS NOT NULL"),
        ),
        sa.Index("ix_mail_state_ended_at", "state", "ended_at"),
    )


class Incident(Base):
    """A time in which many connections stopped working at once: that is not about any of them.

    Of each kind there is one at a time.
    """

    __tablename__ = "incident"
    __table_args__ = (
        sa.Index(
            "ix_incident_present",
            "kind",
            unique=True,
            postgresql_where=sa.text("ended_at IS NULL"),
            sqlite_where=sa.text("ended_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(
        sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True
    )
    kind: Mapped[IncidentKind] = mapped_column(_words(IncidentKind))
    began_at: Mapped[datetime]
    """When the first of them turned."""
    ended_at: Mapped[datetime | None]
    turned: Mapped[int]
    """How many turned within some minutes, when it was worst."""
    asked: Mapped[int]
    """Of so many that Leaf was asked about within them."""


def locked(session: Session, connection_id: uuid.UUID) -> Connection:
    """A connection for writing, as it is now; others who want to write it wait.

    Only its own row is locked: with the partner's, which comes along in the same query, all
    growers of a partner would wait for each other.
    """
    session.flush()  # what was changed before must not be read over
    return session.get_one(
        Connection, connection_id, populate_existing=True, with_for_update={"of": [Connection]}
    )
