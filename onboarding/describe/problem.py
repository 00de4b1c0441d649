"""Pages that belong to no connection that we may show."""

from __future__ import annotations

from dataclasses import replace

from onboarding.describe.told import Action, Told
from onboarding.i18n import gettext as _


def problem(code: str, *, back: str | None = None, reference: str | None = None) -> Told:
    """What is told on a page without a connection.

    :param code: `link_invalid`, `link_expired`, `link_renewable`, `link_asked`, `link_revoked`,
        `open_link_closed`, `opened_elsewhere`, `took_too_long`, `returned`, or an HTTP status as
        text, on the dashboard with `staff_` before it
    :param back: path of the page that the person came from, if it is known
    :param reference: under which the logs hold the reason
    """
    told = (_PROBLEMS.get(code) or _PROBLEMS.get(code.removeprefix("staff_")) or _unexpected)()
    if back is not None:
        told = _not_by_itself() if code == "405" else told
        action = Action("page", _("Open the page again"), url=back)
        told = replace(told, action=action, others=())
    return replace(told, reference=reference)


def _link_invalid() -> Told:
    return Told(
        code="link_invalid",
        tone="quiet",
        label=_("Link not valid"),
        title=_("This link is not complete"),
        sentences=(
            _("Perhaps a part was lost when it was copied. Open it from the message again."),
            _("If that does not help, ask the company that sent it for a new one."),
        ),
        whether_shared=_("This page shared nothing."),
        who="grower",
        show_contact=True,
    )


def _link_expired() -> Told:
    return Told(
        code="link_expired",
        tone="quiet",
        label=_("Link expired"),
        title=_("This link has expired"),
        sentences=(
            _("Links are valid for a limited time, for your protection. Ask for a new one."),
            _("If you have connected before, that stays as it is."),
        ),
        who="grower",
        show_contact=True,
    )


def _link_renewable() -> Told:
    """Said to everybody alike: whether there is an address is nobody's business."""
    return replace(
        _link_expired(),
        sentences=(
            _("Links are valid for a limited time, for your protection."),
            _("If you have connected before, that stays as it is."),
            _(
                "We can send a new one by e-mail, to the address that we have for this link, if "
                "there is one."
            ),
        ),
        action=Action("new_link", _("Send me a new link")),
    )


def _link_asked() -> Told:
    return Told(
        code="link_asked",
        tone="quiet",
        label=_("New link asked for"),
        title=_("Look for our e-mail"),
        sentences=(
            _(
                "If we have an e-mail address for this link, a new link is on its way to it. For "
                "your protection this page does not say which, or whether there is one."
            ),
            _("It takes a few minutes. Look among unwanted mail, too."),
            _("If nothing comes, ask your contact for a link."),
        ),
        who="grower",
        show_contact=True,
    )


def _link_revoked() -> Told:
    return Told(
        code="link_revoked",
        tone="quiet",
        label=_("Link withdrawn"),
        title=_("This link is no longer valid"),
        sentences=(
            _("It was withdrawn. Ask for a new one."),
            _("If you have connected before, that stays as it is."),
        ),
        who="grower",
        show_contact=True,
    )


def _open_link_closed() -> Told:
    return Told(
        code="open_link_closed",
        tone="quiet",
        label=_("Closed"),
        title=_("No links are sent here at present"),
        sentences=(
            _("Usually you ask here for a link to connect John Deere, and it comes by e-mail."),
            _("Just now we can’t send e-mail. Ask your contact: they can give you a link."),
        ),
        whether_shared=_("This page shared nothing."),
        who="grower",
        show_contact=True,
    )


def _opened_elsewhere() -> Told:
    return Told(
        code="opened_elsewhere",
        tone="act",
        label=_("Another browser"),
        title=_("You started in another browser"),
        sentences=(
            _("For your protection a sign-in ends in the browser in which it began."),
            _(
                "Go back to that browser, or open your link again in this one and start from "
                "there. Browsers inside other apps, or blocked cookies, can also cause this."
            ),
        ),
        whether_shared=_("This page shared nothing."),
        who="grower",
    )


def _took_too_long() -> Told:
    return Told(
        code="took_too_long",
        tone="quiet",
        label=_("Took too long"),
        title=_("Please start again"),
        sentences=(
            _("A sign-in is valid for half an hour and can be used once, for your protection."),
            _("Open your link again and start from there."),
        ),
        whether_shared=_("This page shared nothing."),
        who="grower",
    )


def _returned() -> Told:
    return Told(
        code="returned",
        tone="quiet",
        label=_("Back from John Deere"),
        title=_("Please open your link again"),
        sentences=(
            _("You are back from John Deere, but in a browser that we do not know."),
            _("What you chose there is kept. Open your link to see where things stand."),
        ),
        whether_shared=_("Opening this page changed nothing."),
        who="grower",
    )


def _form_expired() -> Told:
    return Told(
        code="form_expired",
        tone="act",
        label=_("Page too old"),
        title=_("Please open the page again"),
        sentences=(
            _("It was open for too long, or your browser did not keep our cookie."),
            _("If this comes back, allow cookies for this site."),
        ),
        whether_shared=_("This page shared nothing."),
        who="grower",
        show_contact=True,
    )


def _not_found() -> Told:
    return Told(
        code="not_found",
        tone="quiet",
        label=_("Not found"),
        title=_("There is no such page"),
        sentences=(_("Open your link again from the message in which you got it."),),
        who="grower",
        # No button: what the person is looking for is not on that page.
        others=(Action("page", _("Go to the first page"), url="/"),),
        show_contact=True,
    )


def _not_by_itself() -> Told:
    """A tab that was restored, or an address that was typed, where a button leads."""
    return Told(
        code="not_by_itself",
        tone="quiet",
        label=_("Page left"),
        title=_("Please open the page again"),
        sentences=(_("Your browser came back to a step that can’t be opened by itself."),),
        whether_shared=_("Opening this page changed nothing."),
        who="grower",
        show_contact=True,
    )


def _too_many() -> Told:
    return Told(
        code="too_many",
        tone="wait",
        label=_("Too many tries"),
        title=_("That was a little too often"),
        sentences=(
            _("There were very many tries in a short time, from here or with this link."),
            _("Wait a few minutes, then open your link again."),
        ),
        whether_shared=_("This page shared nothing."),
        who="grower",
        show_contact=True,
    )


def _unexpected() -> Told:
    return Told(
        code="unexpected",
        tone="problem",
        label=_("Our fault"),
        title=_("Something went wrong on our side"),
        sentences=(
            _("It is not your fault, and what you shared so far is kept."),
            _("Please try again in a few minutes with your link."),
        ),
        who="staff",
        show_contact=True,
    )


def _for_staff(told: Told, *sentences: str) -> Told:
    """The same, said on the dashboard: nobody has a link there, or a contact but colleagues."""
    return replace(
        told,
        sentences=sentences,
        whether_shared="",
        who="staff",
        action=Action("page", _("To the overview"), url="/staff/"),
        others=(),
        show_contact=False,
    )


def _staff_form_expired() -> Told:
    text = _("It was open for too long. Nothing was changed: load it again, and send it once more.")
    return _for_staff(_form_expired(), text)


def _staff_not_allowed() -> Told:
    return Told(
        code="staff_not_allowed",
        tone="quiet",
        label=_("Not for you"),
        title=_("Your role does not allow this"),
        sentences=(_("An administrator who sees all partners can change your role."),),
        who="staff",
        action=Action("page", _("To the overview"), url="/staff/"),
    )


def _staff_not_found() -> Told:
    text = _("Either it is gone, or it is about a partner that you do not see.")
    return _for_staff(_not_found(), text)


def _staff_too_many() -> Told:
    text = _("There were very many tries from your address. Wait a minute, then again.")
    return _for_staff(_too_many(), text)


def _staff_unexpected() -> Told:
    return _for_staff(
        _unexpected(),
        _("What you asked for was not done. Load the page again in a minute."),
        _("If it comes back, tell who runs this installation: the log holds the reason."),
    )


_PROBLEMS = {
    "link_invalid": _link_invalid,
    "link_expired": _link_expired,
    "link_renewable": _link_renewable,
    "link_asked": _link_asked,
    "link_revoked": _link_revoked,
    "open_link_closed": _open_link_closed,
    "opened_elsewhere": _opened_elsewhere,
    "took_too_long": _took_too_long,
    "returned": _returned,
    "400": _form_expired,
    "404": _not_found,
    "405": _not_found,
    "429": _too_many,
    "staff_400": _staff_form_expired,
    "staff_403": _staff_not_allowed,
    "staff_404": _staff_not_found,
    "staff_405": _staff_not_found,
    "staff_429": _staff_too_many,
    "staff_500": _staff_unexpected,
}
