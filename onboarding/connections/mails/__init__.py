"""Mails to growers: which are owed, and what becomes of them.

owed      which are owed, written with the change that owes them
outbox    which are due, how their tries end, and what staff see of them
sending   one such try
renewal   links that growers ask for
stopping  who wants none

A mail is a row. It is decided anew when its turn comes: what has been mended meanwhile is not
written about, and the words are those of that moment.
"""

from onboarding.connections.mails.outbox import (
    count_undelivered,
    enqueue_due,
    tidy,
    undelivered,
    undelivered_number,
)
from onboarding.connections.mails.owed import consider, invite
from onboarding.connections.mails.renewal import (
    ask,
    has_enough,
    is_offered,
    send_first_link,
    send_link_again,
    was_asked,
)
from onboarding.connections.mails.sending import check, send
from onboarding.connections.mails.stopping import resume, stop

__all__ = [
    "ask",
    "check",
    "consider",
    "count_undelivered",
    "enqueue_due",
    "has_enough",
    "invite",
    "is_offered",
    "resume",
    "send",
    "send_first_link",
    "send_link_again",
    "stop",
    "tidy",
    "undelivered",
    "undelivered_number",
    "was_asked",
]
