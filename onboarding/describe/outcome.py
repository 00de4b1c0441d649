"""What is told of an attempt that brought no token."""

from __future__ import annotations

from onboarding.describe.actions import other_account, start
from onboarding.describe.told import Told
from onboarding.i18n import gettext as _
from onboarding.states import Outcome


def outcome(ended: Outcome | None) -> Told:
    """How an attempt ended and how to go on.

    :param ended: anything that is not among the failures counts as "took too long"
    """
    match ended:
        case Outcome.DENIED:
            return _denied()
        case Outcome.APPLICATION_REFUSED:
            return _application_refused()
        case Outcome.NO_REFRESH_TOKEN:
            return no_refresh_token()
        case Outcome.DEERE_UNAVAILABLE:
            return _deere_unavailable()
        case Outcome.INTERRUPTED:
            return _interrupted()
        case Outcome.CODE_REFUSED:
            return _code_refused()
        case _:
            return _took_too_long()


def _denied() -> Told:
    return Told(
        code="denied",
        tone="quiet",
        label=_("Declined"),
        title=_("Access was not given"),
        sentences=(
            _("John Deere says that access was not allowed, so nothing happened."),
            _("You can connect whenever you are ready."),
        ),
        whether_shared=_("Nothing was shared."),
        who="grower",
        action=start(),
        others=(other_account(),),
    )


def _application_refused() -> Told:
    return Told(
        code="application_refused",
        tone="problem",
        label=_("Refused by John Deere"),
        title=_("John Deere did not accept our request"),
        sentences=(
            _("The fault is on our side, not on yours. We have to mend it first."),
            _("Your contact can tell you when to try again."),
        ),
        whether_shared=_("Nothing was shared."),
        who="staff",
        others=(start(_("Try again")),),
        show_contact=True,
    )


def no_refresh_token() -> Told:
    """John Deere agreed, but only for a moment."""
    return Told(
        code="no_refresh_token",
        tone="problem",
        label=_("No lasting access"),
        title=_("John Deere gave us no lasting access"),
        sentences=(
            _("You allowed access, but John Deere did not give us what we need to keep it."),
            _("The fault is on our side. Your contact can tell you when to try again."),
        ),
        whether_shared=_("No data was passed on."),
        who="staff",
        others=(start(_("Try again")),),
        show_contact=True,
    )


def _deere_unavailable() -> Told:
    return Told(
        code="deere_unavailable",
        tone="problem",
        label=_("John Deere is down"),
        title=_("John Deere can’t be reached"),
        sentences=(
            _("John Deere did not answer, so your sign-in could not be finished."),
            _("Please try again in a few minutes."),
        ),
        whether_shared=_("Nothing was shared."),
        who="grower",
        action=start(_("Try again")),
    )


def _interrupted() -> Told:
    return Told(
        code="interrupted",
        tone="problem",
        label=_("Interrupted"),
        title=_("Signing in was cut off"),
        sentences=(
            _("Something on our side stopped before John Deere had answered."),
            _("Please start again. It usually takes less than a minute."),
        ),
        whether_shared=_("Nothing was shared."),
        who="grower",
        action=start(_("Start again")),
    )


def _code_refused() -> Told:
    return Told(
        code="code_refused",
        tone="problem",
        label=_("Sign-in not completed"),
        title=_("The sign-in could not be completed"),
        sentences=(
            _("John Deere did not accept the answer that it had given us a moment before."),
            _("This happens when it takes long on the way. Please start again."),
        ),
        whether_shared=_("Nothing was shared."),
        who="grower",
        action=start(_("Start again")),
    )


def error_page_at_deere() -> str:
    """A wrong redirect URI or client key: John Deere shows it there, and never tells us."""
    return _(
        "If you saw an error page at johndeere.com before signing in, that is our fault: "
        "please tell your contact."
    )


def _took_too_long() -> Told:
    return Told(
        code="took_too_long",
        tone="quiet",
        label=_("Took too long"),
        title=_("That took too long"),
        sentences=(
            _("A sign-in is valid for half an hour, for your protection."),
            _("Please start again."),
            error_page_at_deere(),
        ),
        whether_shared=_("Nothing was shared."),
        who="grower",
        action=start(_("Start again")),
    )
