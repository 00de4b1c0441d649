"""What staff read of each code of `describe`: a few words, and what there is to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from onboarding.i18n import mark
from onboarding.states import Turn


class Area(StrEnum):
    """How a connection is, in as few words as a picture has room for."""

    WORKS = "works"
    PAUSED = "paused"
    ON_THE_WAY = "on_the_way"
    GROWER = "grower"
    STAFF = "staff"
    NOT_STARTED = "not_started"
    ENDED = "ended"


AREAS = {
    Area.WORKS: mark("Works"),
    Area.PAUSED: mark("Paused at John Deere"),
    Area.ON_THE_WAY: mark("On the way"),
    Area.GROWER: mark("Grower must act"),
    Area.STAFF: mark("We must act"),
    Area.NOT_STARTED: mark("Not started"),
    Area.ENDED: mark("Ended"),
}
OF_CODE = {
    "connected": Area.WORKS,
    "temporarily_unavailable": Area.PAUSED,
    "invited": Area.NOT_STARTED,
    "disconnecting": Area.ENDED,
    "disconnecting_late": Area.ENDED,
    "disconnected": Area.ENDED,
}
OF_TURN = {Turn.STAFF: Area.STAFF, Turn.GROWER: Area.GROWER, Turn.NOBODY: Area.ON_THE_WAY}


def area(code: str, turn: str) -> Area:
    """How a connection is of which this is told."""
    return OF_CODE.get(code) or OF_TURN[Turn(turn)]


@dataclass(frozen=True)
class Words:
    """For a table: tone of the icon, what it is called, what to do."""

    tone: str
    label: str
    to_do: str


_ASK = mark("Their page shows the button. Call, or send a new link, if it stays so.")
WORDS = {
    # Ours
    "failed": Words(
        "problem",
        mark("Hand-over failed"),
        mark("Leaf did not take the permission. Read why, mend it, then retry the hand-over."),
    ),
    "waiting_for_staff": Words(
        "problem",
        mark("Held up by an error of ours"),
        mark("Read the reason and mend it. We keep trying; nothing is lost meanwhile."),
    ),
    "refused_with_many": Words(
        "problem",
        mark("Refused, with many others"),
        mark("Look at our application at John Deere: secret, environment, is it blocked?"),
    ),
    "limited_with_many": Words(
        "problem",
        mark("Lacks rights, with many others"),
        mark("Look at our application at John Deere: has it lost scopes or an approval?"),
    ),
    "unknown_health": Words(
        "problem",
        mark("Leaf says what we do not know"),
        mark("Open one, read Leaf’s word, and ask Leaf what it means."),
    ),
    "nothing_fetched": Words(
        "problem",
        mark("Leaf fetches nothing"),
        mark("Something is shared, but Leaf does not fetch it. Choose organizations for it."),
    ),
    "organizations_refused": Words(
        "problem",
        mark("Organizations refused"),
        mark("John Deere refuses our application: does it have the scopes and the licence?"),
    ),
    "organizations_unknown": Words(
        "problem",
        mark("Organizations not readable"),
        mark("John Deere’s answer does not say which there are. Open one and read it."),
    ),
    "application_refused": Words(
        "problem",
        mark("Application refused"),
        mark("Compare the application with what is registered at John Deere, then tell them."),
    ),
    "no_refresh_token": Words(
        "problem",
        mark("No refresh token"),
        mark("Ask John Deere to allow the application offline_access, then tell them."),
    ),
    "disconnecting_held_up": Words(
        "problem",
        mark("Disconnect held up"),
        mark("Leaf refuses to delete the credential. Read its answer, mend it, then retry."),
    ),
    # The grower's
    "reconnect": Words(
        "act",
        mark("Must connect again"),
        mark("John Deere no longer accepts the permission. Send a new link."),
    ),
    "credential_missing": Words(
        "act",
        mark("Removed at Leaf, must connect again"),
        mark("Leaf no longer has the permission. Send a new link, and ask who removed it."),
    ),
    "missing_permission": Words(
        "act",
        mark("Permission lacks something"),
        mark("The grower must allow at John Deere what is missing. Their page says how."),
    ),
    "choose_organizations": Words(
        "act",
        mark("Must choose organizations"),
        mark("They agreed, but share nothing yet. Help them with John Deere’s page."),
    ),
    "no_organization_chosen": Words(
        "act",
        mark("Chose no organization"),
        mark("They came back without sharing one. Ask whether that is what they want."),
    ),
    "wrong_account": Words(
        "act",
        mark("Probably the wrong account"),
        mark("The account sees only other farms. They should sign in with the farm’s own."),
    ),
    "no_organizations": Words(
        "act",
        mark("Account without organization"),
        mark("They need an account that belongs to an organization at John Deere."),
    ),
    "terms_not_accepted": Words(
        "act",
        mark("Must accept John Deere’s terms"),
        mark("John Deere shows them at the next sign-in there."),
    ),
    "permissions_too_low": Words(
        "act",
        mark("Too few rights at John Deere"),
        mark("Somebody with more rights in their organization has to connect."),
    ),
    "organizations_unavailable": Words(
        "act",
        mark("Organizations not known"),
        mark("John Deere did not tell us. They can look again on their page."),
    ),
    "authorizing": Words(
        "act", mark("At John Deere now"), mark("They have half an hour there. Wait.")
    ),
    "took_too_long": Words("quiet", mark("Did not come back"), _ASK),
    "denied": Words("quiet", mark("Declined"), mark("Ask what they fear. Nothing is broken.")),
    "interrupted": Words("quiet", mark("Broken off"), _ASK),
    "code_refused": Words("quiet", mark("Sign-in not accepted"), _ASK),
    "deere_unavailable": Words("quiet", mark("John Deere did not answer"), _ASK),
    "invited": Words(
        "quiet",
        mark("Not started"),
        mark("Remind them, or send a new link to those whose link has expired."),
    ),
    # Nobody's
    "connected": Words("ok", mark("Connected"), mark("Data flows.")),
    "temporarily_unavailable": Words(
        "wait",
        mark("Paused at John Deere"),
        mark("John Deere does not answer Leaf. It goes on by itself."),
    ),
    "finishing": Words("wait", mark("Finishing"), mark("Takes seconds.")),
    "handing_over": Words("wait", mark("Being handed over"), mark("Takes seconds.")),
    "handing_over_late": Words(
        "wait", mark("Handed over late"), mark("It is late. Does a worker run?")
    ),
    "waiting_for_leaf": Words(
        "wait",
        mark("Waiting for Leaf"),
        mark("Leaf does not answer. We keep trying, for 30 days."),
    ),
    "unconfirmed": Words("wait", mark("Not confirmed lately"), mark("Leaf is asked again soon.")),
    "checking": Words("wait", mark("Being checked"), mark("Leaf has not said a word on it yet.")),
    "choice_unseen": Words(
        "wait", mark("Choice not known yet"), mark("We ask Leaf what they chose.")
    ),
    "disconnecting": Words("wait", mark("Being disconnected"), mark("Takes seconds.")),
    "disconnecting_late": Words(
        "wait", mark("Disconnected late"), mark("Leaf does not answer. We keep trying.")
    ),
    "disconnected": Words("quiet", mark("Disconnected"), mark("Ended. They can connect again.")),
}
IN_PART = Words(
    "ok",
    mark("Connected in part"),
    mark("Some of what was asked for is missing. Their page says how to add it."),
)
"""`connected`, when it is the grower's turn."""


def words(code: str, turn: str) -> Words:
    """What staff read of a code."""
    if code == "connected" and turn == Turn.GROWER:
        return IN_PART
    return WORDS.get(code) or Words("quiet", code.replace("_", " "), "")
