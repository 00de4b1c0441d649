"""The reason behind a status, in one line for staff."""

from __future__ import annotations

from datetime import datetime

from onboarding.i18n import gettext as _
from onboarding.i18n import mark
from onboarding.models import Attempt, Connection
from onboarding.states import OUR_FAULT, Cause, Outcome, SharingTrouble, Stage

WHAT_TO_DO = {
    Cause.LEAF_UNAVAILABLE: mark("Leaf does not answer; we keep trying for 30 days."),
    Cause.LEAF_SIGN_IN_REFUSED: mark(
        "Leaf refuses our sign-in: set LEAF_USERNAME and LEAF_PASSWORD right. We keep trying; a "
        "hand-over for 30 days, after that retry."
    ),
    Cause.LEAF_REFUSED: mark("Leaf refused the credentials. Look at its answer, mend, then retry."),
    Cause.ENVIRONMENT_MISMATCH: mark(
        "Leaf's refusal smells of a mismatch: is DEERE_ENVIRONMENT (STAGE or PRODUCTION) that of "
        "the application, and are client key and secret right? Mend, then retry."
    ),
    Cause.APPLICATION_CHANGED: mark("The application changed between consent and hand-over."),
    Cause.LEAF_USER_MISSING: mark("Leaf does not know the grower's Leaf user."),
    Cause.CREDENTIAL_MISSING: mark(
        "Leaf has no credential any more; the grower must connect again."
    ),
    Cause.TOKEN_UNREADABLE: mark(
        "No key in ENCRYPTION_KEYS reads the token: bring the old key back. We keep trying for 30 "
        "days, after that retry."
    ),
    Cause.OUR_ERROR: mark(
        "Our work for this grower broke off with an error of ours: the worker's log holds it. "
        "We keep trying; a hand-over for 30 days, after that mend, then retry."
    ),
    Cause.CHECK_REFUSED: mark(
        "Leaf has the credential, but refuses a part of what we ask. Look at its answer, mend; we "
        "keep asking."
    ),
    Cause.NOTHING_FETCHED: mark(
        "Leaf fetches nothing of what is shared, though the partner does not choose: it says "
        "PREVIEW or BLOCKED of each organization. We keep telling it to fetch them."
    ),
    Cause.GIVEN_UP: mark("Leaf could not take the token for 30 days. Retry once Leaf is back."),
    Cause.NO_REFRESH_TOKEN: mark(
        "John Deere gave no refresh token: is the application allowed offline_access?"
    ),
    Cause.DELETE_REFUSED: mark(
        "Leaf refuses to delete the credential, so the connection has not ended. Look at its "
        "answer and mend, or delete the credential at Leaf yourself; then retry. We keep trying."
    ),
}
SHARING = {
    SharingTrouble.TERMS_NOT_ACCEPTED: mark("The grower must accept John Deere's terms."),
    SharingTrouble.NO_ORGANIZATIONS: mark(
        "John Deere shows no organization for the grower's account."
    ),
    SharingTrouble.APPLICATION_REFUSED: mark(
        "John Deere refuses our application: does it have the scopes and the licence?"
    ),
    SharingTrouble.ANSWER_UNKNOWN: mark(
        "John Deere's answer does not say which organizations there are."
    ),
    SharingTrouble.PERMISSIONS_TOO_LOW: mark("The grower's rights at John Deere are too low."),
    SharingTrouble.DEERE_UNAVAILABLE: mark("John Deere did not tell us the organizations."),
}


REFUSED = {
    Outcome.APPLICATION_REFUSED: mark(
        "John Deere refused our application when the grower last tried: are redirect URIs, key, "
        "secret and scopes right, and is it approved? Mend, then tell the grower to try again."
    ),
    Outcome.NO_REFRESH_TOKEN: mark(
        "John Deere gave no refresh token when the grower last tried: is the application allowed "
        "offline_access? Mend, then tell the grower to try again."
    ),
}


def for_staff(subject: Connection, latest: Attempt | None = None) -> str:
    """Why the connection waits or failed and what to do; empty if there is nothing to say.

    :param latest: the connection's newest attempt
    """
    parts = []
    is_said_by_cause = subject.cause is Cause.NO_REFRESH_TOKEN
    if latest is not None and latest.outcome in OUR_FAULT and not is_said_by_cause:
        parts += [_(REFUSED[latest.outcome]), latest.detail]
    if subject.cause:
        parts.append(_what_to_do(subject, subject.cause))
    if subject.detail:
        parts.append(subject.detail)
    if subject.sharing_trouble:
        parts.append(_(SHARING[subject.sharing_trouble]))
    if subject.sharing_detail:
        parts.append(subject.sharing_detail)
    if subject.scopes_missing and subject.token_received_at:
        parts.append(
            _(
                "John Deere granted less than was asked for; missing: %(scopes)s. Is the "
                "application approved for them? If so, let the grower connect again."
            )
            % {"scopes": " ".join(subject.scopes_missing)}
        )
    if subject.health_text and subject.health_text != subject.health.value:
        parts.append(_("Leaf says: %(text)s") % {"text": subject.health_text})
    return " ".join(filter(None, dict.fromkeys(parts)))


def health_for_staff(subject: Connection, moment: datetime) -> str:
    """Leaf's word, since when it says it, and whether growers are told of it yet."""
    text = f"health {subject.health.value}"
    if subject.health_since is not None:
        text += f" since {subject.health_since:%Y-%m-%d %H:%M}"
    if subject.trouble_told_from is not None and subject.is_pause_untold(moment):
        text += f" (the grower is told if it lasts until {subject.trouble_told_from:%H:%M})"
    return text


def keys_for_staff(subject: Connection, latest: Attempt | None = None) -> str:
    """What `for_staff` explains as docs/operations.md lists it, e.g. `leaf_refused`."""
    refused = latest.outcome if latest is not None and latest.outcome in OUR_FAULT else None
    found = (refused, subject.cause, subject.sharing_trouble)
    return " ".join(dict.fromkeys(key.value for key in found if key is not None))


def _what_to_do(subject: Connection, cause: Cause) -> str:
    if subject.stage is Stage.DISCONNECTING and cause is Cause.LEAF_UNAVAILABLE:
        return _("Leaf does not answer, so the connection has not ended. We keep trying.")
    return _(WHAT_TO_DO[cause])
