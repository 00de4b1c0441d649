"""The words for where a connection stands. Stored as text; shared by every layer."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Environment(StrEnum):
    """Where an application is registered at John Deere; Leaf's `clientEnvironment`."""

    STAGE = "STAGE"
    PRODUCTION = "PRODUCTION"


class Stage(StrEnum):
    """How far a connection has come.

    `connected` says that Leaf holds the credential and that at least one organization is shared;
    whether data can flow is the stage and the `Health` together (see `describe`).
    """

    INVITED = "invited"
    AUTHORIZING = "authorizing"
    HANDING_OVER = "handing_over"
    CHOOSING_ORGANIZATIONS = "choosing_organizations"
    CONNECTED = "connected"
    FAILED = "failed"
    DISCONNECTING = "disconnecting"
    DISCONNECTED = "disconnected"


class Health(StrEnum):
    """Leaf's word on the credential (status of the John Deere credentials resource)."""

    OK = "OK"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    MISSING_PERMISSION = "MISSING_PERMISSION"
    TEMPORARILY_UNAVAILABLE = "TEMPORARILY_UNAVAILABLE"
    UNKNOWN = "UNKNOWN"


class Cause(StrEnum):
    """Why a connection waits or failed. Every cause has its sentence in `describe`."""

    LEAF_UNAVAILABLE = "leaf_unavailable"
    LEAF_SIGN_IN_REFUSED = "leaf_sign_in_refused"
    LEAF_REFUSED = "leaf_refused"
    ENVIRONMENT_MISMATCH = "environment_mismatch"
    APPLICATION_CHANGED = "application_changed"
    LEAF_USER_MISSING = "leaf_user_missing"
    CREDENTIAL_MISSING = "credential_missing"
    TOKEN_UNREADABLE = "token_unreadable"  # noqa: S105
    OUR_ERROR = "our_error"
    GIVEN_UP = "given_up"
    NO_REFRESH_TOKEN = "no_refresh_token"  # noqa: S105
    CHECK_REFUSED = "check_refused"
    NOTHING_FETCHED = "nothing_fetched"
    DELETE_REFUSED = "delete_refused"


MENDED_BY_STAFF = frozenset(
    {
        Cause.LEAF_SIGN_IN_REFUSED,
        Cause.TOKEN_UNREADABLE,
        Cause.OUR_ERROR,
        Cause.CHECK_REFUSED,
        Cause.NOTHING_FETCHED,
        Cause.DELETE_REFUSED,
    }
)
"""Causes that keep a hand-over, a check or a disconnect waiting until a person has mended
something."""


class Urgency(IntEnum):
    """Which check comes first; stored as a number, since an index puts them in order."""

    LOOK = 0
    """Somebody waits for it."""
    CHANGED = 1
    """Something changed a short while ago."""
    ROUTINE = 2


class SharingTrouble(StrEnum):
    """Why John Deere did not tell us of an organization that can be shared."""

    TERMS_NOT_ACCEPTED = "terms_not_accepted"
    NO_ORGANIZATIONS = "no_organizations"
    PERMISSIONS_TOO_LOW = "permissions_too_low"
    APPLICATION_REFUSED = "application_refused"
    ANSWER_UNKNOWN = "answer_unknown"
    DEERE_UNAVAILABLE = "deere_unavailable"


class Outcome(StrEnum):
    """How an attempt at John Deere's consent ended."""

    AUTHORIZED = "authorized"
    DENIED = "denied"
    APPLICATION_REFUSED = "application_refused"
    CODE_REFUSED = "code_refused"
    DEERE_UNAVAILABLE = "deere_unavailable"
    NO_REFRESH_TOKEN = "no_refresh_token"  # noqa: S105
    INTERRUPTED = "interrupted"
    EXPIRED = "expired"


OUR_FAULT = frozenset({Outcome.APPLICATION_REFUSED, Outcome.NO_REFRESH_TOKEN})
"""John Deere refuses our application: staff have to mend it before the grower tries again."""


class MailKind(StrEnum):
    """What a mail is about; those that somebody waits for come first."""

    NEW_LINK = "new_link"
    OPEN_LINK = "open_link"
    """Asked for at the partner's open link."""
    INVITATION = "invitation"
    CONNECTED = "connected"
    ATTENTION = "attention"


class MailState(StrEnum):
    """What became of a mail."""

    WAITING = "waiting"
    SENT = "sent"
    NOT_SENT = "not_sent"
    """Left out on purpose; `detail` says why."""
    FAILED = "failed"


class Service(StrEnum):
    """Whose trouble it is that growers read of on every page."""

    JOHN_DEERE = "John Deere"
    LEAF = "Leaf"


class IncidentKind(StrEnum):
    """What many connections have at once, by what Leaf says of them."""

    PAUSE = "pause"
    """John Deere's service does not answer Leaf, or Leaf says what we do not know."""
    REFUSED = "refused"
    """John Deere accepts the permissions no more: it is probably about our application."""
    LIMITED = "limited"
    """Permissions lack something: our application has probably lost a right."""


OF_APPLICATION = frozenset({IncidentKind.REFUSED, IncidentKind.LIMITED})
"""Only the connections that turned within such an incident have it."""


class FigureKind(StrEnum):
    """What the worker counts for the dashboard."""

    NOW = "now"
    """Connections by whose turn it is and by what is told of them."""
    HEALTH = "health"
    """The same day by day, in a few words."""
    FUNNEL = "funnel"
    """By the week of the invitation: how far they came."""
    DURATION = "duration"
    """By week: how long it took from the click to connected."""
    FAILED = "failed"
    """Attempts that failed, day by day, by their outcome."""


class Turn(StrEnum):
    """Who must act next, in the order in which it is told."""

    STAFF = "staff"
    GROWER = "grower"
    NOBODY = "nobody"


class Role(StrEnum):
    """What a person may do on the dashboard; each may do what the one before may."""

    VIEWER = "viewer"
    """Sees."""
    OPERATOR = "operator"
    """Acts on connections."""
    ADMINISTRATOR = "administrator"
    """Partners, applications, staff, keys."""

    def includes(self, other: Role) -> bool:
        """Whether who has this role may do what the other may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class LinkKind(StrEnum):
    """What a link was made for."""

    INVITATION = "invitation"
    """To be sent to a grower."""
    EMBED = "embed"
    """For a frame in the partner's portal: for an hour, and no line of the history."""


class ApiScope(StrEnum):
    """What a partner's key may do."""

    READ = "read"
    """Growers and connections."""
    WRITE = "write"
    """Growers, their links, and tokens for frames."""
    ACT = "act"
    """On connections: have them checked, end them."""
    WEBHOOKS = "webhooks"
    """Where events are sent, and what was sent."""


class BulkKind(StrEnum):
    """What is done with many connections at once."""

    RECHECK = "recheck"
    NEW_LINK = "new_link"
    MAIL = "mail"


class BulkState(StrEnum):
    """How far work on many connections has come."""

    COLLECTING = "collecting"
    """The worker writes down which they are."""
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    """By a person, or since nobody may do it any more; `stopped_for` says which."""


class BulkRowState(StrEnum):
    """What became of one of them."""

    WAITING = "waiting"
    DONE = "done"
    LEFT_OUT = "left_out"
    FAILED = "failed"


class LeftOut(StrEnum):
    """Why one of them was left out, or failed."""

    NOT_AT_LEAF = "not_at_leaf"
    NO_ADDRESS = "no_address"
    ADDRESS_UNFIT = "address_unfit"
    ADDRESS_REFUSED = "address_refused"
    MAIL_STOPPED = "mail_stopped"
    MAIL_WAITS = "mail_waits"
    NOT_SEEN = "not_seen"
    OUR_ERROR = "our_error"


class StoppedFor(StrEnum):
    """Why work on many connections ended early."""

    PERSON = "person"
    NOT_ALLOWED = "not_allowed"
    """Who began it is disabled, or may not do it any more."""
    MAIL_OFF = "mail_off"
    VIEW_GONE = "view_gone"
    """The view whose rows were meant can't be meant any more: its partner is gone."""


class ImportState(StrEnum):
    """How far a file of growers has come."""

    SHOWN = "shown"
    """What would happen is shown; nothing has."""
    CHECKING = "checking"
    """It was confirmed. The worker looks whether it would still happen; nothing has."""
    RUNNING = "running"
    """The worker does it, a part at a time."""
    DONE = "done"


class ReturnedFor(StrEnum):
    """Why a file that was confirmed is only shown again."""

    OVERTAKEN = "overtaken"
    """Something else would happen by now than was shown."""
    NOT_ALLOWED = "not_allowed"
    """Who confirmed it may not do that any more."""


class RowVerdict(StrEnum):
    """What a row of such a file comes to."""

    NEW = "new"
    CHANGED = "changed"
    SAME = "same"
    WRONG = "wrong"


class RowOutcome(StrEnum):
    """What became of a row that was to be imported."""

    DONE = "done"
    OVERTAKEN = "overtaken"
    """By the time of its turn it would have come to something else than was shown."""
    FAILED = "failed"
    """By a fault of ours, which the worker's log tells."""


class SyncChoice(StrEnum):
    """What Leaf fetches of an organization (docs.withleaf.io, providers/organizations)."""

    SELECTED = "SELECTED"
    """Everything."""
    PREVIEW = "PREVIEW"
    """Nothing but the organization itself."""
    BLOCKED = "BLOCKED"
    """Not connected at John Deere; only the grower can change it."""


class WebhookEvent(StrEnum):
    """What partners' programs are told of without asking."""

    AUTHORIZED = "connection.authorized"
    CONNECTED = "connection.connected"
    NEEDS_ACTION = "connection.needs_action"
    TEMPORARILY_UNAVAILABLE = "connection.temporarily_unavailable"
    REPAIRED = "connection.repaired"
    ORGANIZATIONS_CHANGED = "connection.organizations_changed"
    DISCONNECTED = "connection.disconnected"
    FAILED = "connection.failed"
    LINK_OPENED = "link.opened"


TEST_EVENT = "test"
"""The type of a message that tells of nothing: somebody tries an endpoint."""


class EndpointState(StrEnum):
    """How an endpoint of a partner's is."""

    WORKS = "works"
    FAILS = "fails"
    PAUSED = "paused"


class DeliveryState(StrEnum):
    """What has become of a message to one endpoint."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


class PauseReason(StrEnum):
    """Why nothing is sent to an endpoint."""

    BY_HAND = "by_hand"
    FAILURES = "failures"
    """It has failed for days."""
    GONE = "gone"
    """It answered 410: nothing is to be sent any more."""
