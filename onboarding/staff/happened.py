"""The lines of a connection's timeline in words for staff."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from onboarding.connections.history import GROWER, PARTNER, STAFF, SYSTEM
from onboarding.connections.tellers import LEAF, Source
from onboarding.connections.timeline import Line
from onboarding.i18n import gettext as _
from onboarding.i18n import mark, ngettext
from onboarding.staff import trail, webhook_words
from onboarding.staff.attempts import MEANINGS
from onboarding.states import MailKind, MailState, Outcome

NOTE = "connection.note"
CLIENT_ERROR = 400
WHO = {
    GROWER: mark("Grower"),
    STAFF: mark("Staff"),
    PARTNER: mark("The partner’s program"),
    SYSTEM: mark("We"),
    LEAF: mark("Leaf"),
    "command": mark("Command line"),
}
OURS = {
    "link_made": ("quiet", mark("A link was made")),
    "link_revoked": ("quiet", mark("A link was revoked")),
    "attempt_started": ("act", mark("Went to John Deere")),
    "attempt_authorized": ("ok", mark("Came back and agreed")),
    "token_received": ("ok", mark("Agreed at John Deere; the permission is kept for Leaf")),
    "scopes_missing": ("problem", mark("John Deere granted less than was asked for")),
    "hand_over_waits": ("wait", mark("The hand-over waits")),
    "hand_over_taken_up_again": ("wait", mark("The hand-over is taken up again")),
    "handed_over": ("ok", mark("Leaf has taken the permission")),
    "hand_over_failed": ("problem", mark("The hand-over failed")),
    "hand_over_retried": ("wait", mark("The hand-over is tried again")),
    "credential_replaced": ("ok", mark("Leaf holds the new permission instead of the old one")),
    "credential_is_another": ("quiet", mark("Leaf shows another credential than before")),
    "status_changed": ("quiet", mark("The status changed")),
    "repaired": ("ok", mark("Works again")),
    "data_arrived": ("ok", mark("Data has arrived at Leaf")),
    "fetching_selected": ("quiet", mark("Leaf was told to fetch what is shared")),
    "organization_shared": ("ok", mark("An organization is shared")),
    "organization_not_shared": ("act", mark("An organization is no longer shared")),
    "organization_appeared": ("quiet", mark("An organization has appeared")),
    "organization_gone": ("problem", mark("An organization is gone")),
    "organizations_not_read": ("problem", mark("John Deere did not tell which organizations")),
    "alert_received": ("quiet", mark("Leaf sent an alert")),
    "check_broke_off": ("problem", mark("A check broke off")),
    "disconnect_asked": ("act", mark("The end of the connection was asked for")),
    "disconnect_retried": ("wait", mark("The disconnect is tried again")),
    "disconnect_waits": ("wait", mark("The disconnect waits")),
    "disconnect_taken_up_again": ("wait", mark("The disconnect is taken up again")),
    "disconnected": ("quiet", mark("Disconnected; Leaf holds nothing any more")),
    "events_not_copied": ("problem", mark("Leaf’s events were not copied before the end")),
    "stray_request_awaited": ("wait", mark("Waited for a request to Leaf that was on its way")),
    "leaf_user_set": ("quiet", mark("The Leaf user was set")),
    "address_refused": ("problem", mark("The mail server refused the address")),
    "address_in_use_again": ("ok", mark("The address is written to again")),
    "mail_sent": ("ok", mark("A mail was sent")),
    "mail_not_sent": ("quiet", mark("A mail was left out")),
    "mail_failed": ("problem", mark("A mail could not be delivered")),
    "mails_stopped": ("quiet", mark("Wants no more mails")),
    "mails_resumed": ("quiet", mark("Wants mails again")),
    "came_by_open_link": ("act", mark("Came by the open link")),
    "open_link_asked": ("act", mark("Asked for a link at the open link")),
    "new_link_asked": ("act", mark("Asked for a new link by mail")),
    "sync_choice_asked": ("wait", mark("Leaf is to be told which organization to fetch")),
    "fetching_stopped": ("quiet", mark("Leaf was told to fetch it no more")),
    "resync_asked": ("wait", mark("Leaf is to look at John Deere anew")),
}
UNNAMED = frozenset({"detail", "reason"})
"""Details that say by themselves what they are."""
MAILS = {
    MailKind.INVITATION: mark("Mail: invitation"),
    MailKind.CONNECTED: mark("Mail: connected"),
    MailKind.ATTENTION: mark("Mail: needs your attention"),
    MailKind.NEW_LINK: mark("Mail: new link"),
    MailKind.OPEN_LINK: mark("Mail: link from the open link"),
}
MAIL_STATES = {
    MailState.WAITING: ("wait", mark("waits to be sent")),
    MailState.SENT: ("ok", mark("sent")),
    MailState.NOT_SENT: ("quiet", mark("left out")),
    MailState.FAILED: ("problem", mark("could not be delivered")),
}


@dataclass(frozen=True)
class Told:
    """One line as the page shows it."""

    at: datetime
    tone: str
    who: str
    text: str
    detail: str = ""
    """In the same line."""
    body: str = ""
    """To unfold: an answer, with line breaks where it is JSON."""
    is_note: bool = False


def told(line: Line) -> Told:
    """A line in words; what has no words yet is named by its word."""
    who = _(WHO[line.who]) if line.who in WHO else line.who
    match line.source:
        case Source.LEAF:
            return _of_leaf(line, who)
        case Source.ATTEMPT:
            meaning = MEANINGS[Outcome(line.word)]
            return Told(line.at, meaning.tone, who, _(meaning.label), line.body)
        case Source.MAIL:
            kind, _dot, state = line.word.partition(".")
            tone, ended = MAIL_STATES[MailState(state)]
            return Told(line.at, tone, who, f"{_(MAILS[MailKind(kind)])}, {_(ended)}", line.body)
        case Source.LINK:
            return Told(line.at, "act", who, _("Opened a link"))
        case Source.WEBHOOK:
            return _of_webhook(line, who)
        case Source.AUDIT:
            text = _(trail.WORDS.get(line.word, line.word))
            if line.word == NOTE:
                return Told(line.at, "quiet", who, text, str(line.data["text"]), is_note=True)
            return Told(line.at, "quiet", who, text, _details(line.data))
        case Source.OURS:
            tone, text = event(line.word)
            return Told(line.at, tone, who, _(text), _details(line.data))


def event(kind: str) -> tuple[str, str]:
    """Tone and name of an event of ours; what has no words yet is named by its kind."""
    if kind in OURS:
        return OURS[kind]
    for outcome, meaning in MEANINGS.items():
        if kind == f"attempt_{outcome.value}":
            return meaning.tone, meaning.label
    return "quiet", kind


def _of_leaf(line: Line, who: str) -> Told:
    status = line.status_code
    if status is None:
        return Told(line.at, "quiet", who, _("John Deere answered Leaf"), "", pretty(line.body))
    tone = "ok" if status < CLIENT_ERROR else "problem"
    text = _("John Deere answered Leaf: HTTP %(status)s") % {"status": status}
    return Told(line.at, tone, who, text, "", pretty(line.body))


def _of_webhook(line: Line, who: str) -> Told:
    """To how many endpoints it went; the worst of what became of it gives the tone."""
    delivered, waiting, given_up = (
        int(line.data[name]) for name in ("delivered", "waiting", "given_up")
    )
    came, tone = [], "ok"
    if delivered:
        text = ngettext(
            "delivered to %(num)d endpoint", "delivered to %(num)d endpoints", delivered
        )
        came.append(text % {"num": delivered})
    if waiting:
        tone = "wait"
        text = ngettext("waits for %(num)d endpoint", "waits for %(num)d endpoints", waiting)
        came.append(text % {"num": waiting})
    if given_up:
        tone = "problem"
        text = ngettext("given up at %(num)d endpoint", "given up at %(num)d endpoints", given_up)
        came.append(text % {"num": given_up})
    text = _("Webhook: %(event)s") % {"event": webhook_words.event(line.word)}
    return Told(line.at, tone, who, text, ", ".join(came))


def pretty(body: str) -> str:
    """An answer with line breaks and indents, if it is JSON; else as it is."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body


def _details(data: Mapping[str, object]) -> str:
    shown = []
    for name, value in data.items():
        says_the_same = name == "text" and value == data.get("health")
        if value and not says_the_same:
            text = _plain(name, value)
            shown.append(text if name in UNNAMED else f"{name.replace('_', ' ')}: {text}")
    return " · ".join(shown)


def _plain(name: str, value: object) -> str:
    if name.endswith("since"):
        with suppress(ValueError):
            return f"{datetime.fromisoformat(str(value)):%Y-%m-%d %H:%M} UTC"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
