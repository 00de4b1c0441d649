"""What each kind of mail says. Where a connection stands is told in the words of `describe`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from onboarding.describe import Organizations, Told
from onboarding.i18n import date
from onboarding.i18n import gettext as _
from onboarding.models import Grower, Partner
from onboarding.redaction import one_line

NAMES_SHOWN = 5
IN_SUBJECT = 60
"""Characters of a partner's name."""


@dataclass(frozen=True, kw_only=True)
class Letter:
    """The words of a mail, whatever form it takes."""

    subject: str
    title: str
    paragraphs: Sequence[str]
    button: str = ""
    """What the link to the grower's page says."""
    below: str = ""
    """Under the button: how long it works, and whom it is for."""
    why: str
    """At the foot: why they get this."""
    names_grower: bool = True
    """Not where nobody has made sure of the address: the name could be a message to a stranger."""


def invitation(grower: Grower, *, until: datetime) -> Letter:
    """To somebody who has not connected yet."""
    names = _names(grower)
    return Letter(
        subject=_subject(_("%(partner)s asks for your John Deere data"), grower),
        title=_("Connect John Deere"),
        paragraphs=(
            _("%(partner)s asks to receive data of %(grower)s from your John Deere account.")
            % names,
            _(
                "Behind the button you read what would be shared and what not. Then you sign in "
                "at John Deere and choose which organizations to share. Their data goes to "
                "%(partner)s through Leaf, a service for farm data."
            )
            % names,
            _("Nothing is shared before you agree at John Deere, and your password stays there."),
        ),
        button=_("Read what is shared"),
        below=_(
            "The link is meant for %(grower)s and works until %(date)s. If that is not you, "
            "delete this mail."
        )
        % {**names, "date": date(until)},
        why=_("%(partner)s had this mail sent to you.") % names,
    )


def own_page(grower: Grower, told: Told, *, until: datetime) -> Letter:
    """A fresh link, sent by staff, to somebody who has connected before."""
    names = _names(grower)
    return Letter(
        subject=_subject(_("%(partner)s: your link to the John Deere connection"), grower),
        title=_("Your link"),
        paragraphs=(
            _("It leads to the page of the John Deere connection of %(grower)s.") % names,
            _("The page says at present: %(title)s.") % {"title": told.title},
        ),
        button=_("Open the page"),
        below=_works_until(grower, until),
        why=_("%(partner)s had this mail sent to you.") % names,
    )


def new_link(grower: Grower, told: Told | None, *, until: datetime) -> Letter:
    """To somebody whose link had expired, and who asked for a new one on its page.

    :param told: None for somebody who has not connected yet
    """
    names = _names(grower)
    return Letter(
        subject=_subject(_("%(partner)s: your new link"), grower),
        title=_("Your new link"),
        paragraphs=(
            _("It leads to the page of the John Deere connection of %(grower)s.") % names,
            _("The page says at present: %(title)s.") % {"title": told.title}
            if told is not None
            else _(
                "There you read what %(partner)s asks for. Nothing is shared before you agree at "
                "John Deere."
            )
            % names,
        ),
        button=_("Open the page"),
        below=_works_until(grower, until),
        why=_(
            "You get this mail because a new link was asked for on the page of your old one, which "
            "has expired. If that was not you, delete this mail: nobody else got the link."
        ),
    )


def open_link(grower: Grower, told: Told | None, *, until: datetime) -> Letter:
    """To an address that was typed at the partner's open link; perhaps by somebody else.

    :param told: None for somebody who has not connected yet
    """
    names = _names(grower)
    why = _(
        "You get this mail because your address was typed where growers of %(partner)s ask for "
        "a link. If that was not you, delete this mail: nobody else got the link."
    )
    if told is None:
        return Letter(
            subject=_subject(_("%(partner)s: your link to connect John Deere"), grower),
            title=_("Connect John Deere"),
            paragraphs=(
                _("%(partner)s asks to receive data of your farm from your John Deere account.")
                % names,
                _(
                    "Behind the button you read what would be shared and what not. Then you sign "
                    "in at John Deere and choose which organizations to share."
                ),
                _(
                    "Nothing is shared before you agree at John Deere, and your password stays "
                    "there."
                ),
            ),
            button=_("Read what is shared"),
            below=_("The link works until %(date)s.") % {"date": date(until)},
            why=why % names,
            names_grower=False,
        )
    return Letter(
        subject=_subject(_("%(partner)s: your link to the John Deere connection"), grower),
        title=_("Your link"),
        paragraphs=(
            _("There is a John Deere connection for this address already: %(grower)s.") % names,
            _("Its page says at present: %(title)s.") % {"title": told.title},
        ),
        button=_("Open the page"),
        below=_works_until(grower, until),
        why=why % names,
    )


def connected(
    grower: Grower, told: Told, organizations: Organizations, *, until: datetime
) -> Letter:
    """The grower's data can flow."""
    return Letter(
        subject=_subject(_("%(partner)s: John Deere is connected"), grower),
        title=told.title,
        paragraphs=(
            *told.sentences[:1],
            _("Shared: %(names)s.") % {"names": _shared(organizations)},
            _(
                "You do not have to do anything. Behind the button you can see at any time how "
                "things stand, and change what is shared."
            ),
        ),
        button=_("Open the page"),
        below=_works_until(grower, until),
        why=_why(grower),
    )


def attention(grower: Grower, told: Told, *, number: int, last: bool, until: datetime) -> Letter:
    """The grower has to do something, else no data flows.

    :param number: 1 for the first mail about it
    :param last: whether no other will follow
    """
    subject = (
        _("%(partner)s: %(title)s") if number == 1 else _("Reminder of %(partner)s: %(title)s")
    )
    return Letter(
        subject=_subject(subject, grower, title=told.title),
        title=told.title,
        paragraphs=(
            _("This is about the John Deere connection of %(grower)s with %(partner)s.")
            % _names(grower),
            *told.sentences,
            *([told.whether_shared] if told.whether_shared else []),
            _("You can do it on your page; the link is below."),
            *([_("This is the last mail about it.")] if last else []),
        ),
        button=_("Open the page"),
        below=_works_until(grower, until),
        why=_why(grower),
    )


def paused(
    partner: Partner, *, url: str, failing_since: datetime | None, failure: str, is_gone: bool
) -> Letter:
    """To a partner's people: nothing is sent to one of their servers any more.

    :param is_gone: whether the server itself has asked for that
    """
    why = (
        _("Your server answered 410 (gone), which means that it wants no more messages.")
        if is_gone
        else _("It has failed since %(since)s. The last time: %(failure)s")
        % {
            "since": f"{failing_since:%Y-%m-%d %H:%M} UTC" if failing_since else _("three days"),
            "failure": one_line(failure),
        }
    )
    return Letter(
        subject=_("%(partner)s: webhooks are paused")
        % {"partner": one_line(partner.name, limit=IN_SUBJECT)},
        title=_("Webhooks are paused"),
        paragraphs=(
            _("We have stopped sending webhooks to %(url)s.") % {"url": url},
            why,
            _(
                "What happens to connections from now on waits for up to 30 days, and is sent in "
                "its order once the endpoint is resumed. A message that could not be delivered "
                "within three days is given up; it can be sent again."
            ),
            _(
                "Once your server takes messages again, resume the endpoint with your program’s "
                "key, or ask those who gave you the key to do it."
            ),
        ),
        why=_("You get this mail because your address is kept as that of %(partner)s for support.")
        % {"partner": one_line(partner.name)},
        names_grower=False,
    )


def _works_until(grower: Grower, until: datetime) -> str:
    text = _("The link is meant for %(grower)s and works until %(date)s.")
    return text % {**_names(grower), "date": date(until)}


def _why(grower: Grower) -> str:
    text = _("You get this mail because %(partner)s asked for John Deere data of %(grower)s.")
    return text % _names(grower)


def _shared(organizations: Organizations) -> str:
    shared = organizations.shared
    names = [one_line(one.name) for one in shared.shown[:NAMES_SHOWN]]
    more = shared.count - len(names)
    return ", ".join([*names, _("and %(n)d more") % {"n": more}] if more else names)


def _names(grower: Grower) -> dict[str, str]:
    return {"partner": one_line(grower.partner.name), "grower": one_line(grower.name)}


def _subject(text: str, grower: Grower, **more: str) -> str:
    """With so short a name that what it is about can be read in a list of mails."""
    return text % {"partner": one_line(grower.partner.name, limit=IN_SUBJECT), **more}
