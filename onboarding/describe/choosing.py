"""Signed in, but no organization is shared: what keeps it from being."""

from __future__ import annotations

from datetime import datetime

from onboarding.describe.actions import choose, other_account, start
from onboarding.describe.told import Action, Told
from onboarding.i18n import gettext as _
from onboarding.models import Attempt, Connection
from onboarding.states import Environment, SharingTrouble


def choosing(subject: Connection, latest: Attempt | None, partner: str) -> Told:
    """What the grower has to do so that an organization is shared.

    :param latest: the connection's newest attempt
    :param partner: the partner's name
    """
    if subject.has_unseen_choice:
        return _unseen_choice()
    if subject.trouble_in_the_way is not None:
        return _trouble(subject, subject.trouble_in_the_way)
    if subject.organizations and not any(row.member for row in subject.organizations):
        return _wrong_account()
    if latest is not None and _was_seen_since(subject, latest.sent_to_choose_at):
        return _nothing_chosen(subject)
    return _not_asked_yet(partner)


def _was_seen_since(subject: Connection, sent: datetime | None) -> bool:
    """Whether John Deere or Leaf has told us of the organizations after the grower went there."""
    looks = (subject.organizations_seen_at, subject.leaf_listed_at)
    return sent is not None and any(look is not None and look > sent for look in looks)


def _trouble(subject: Connection, trouble: SharingTrouble) -> Told:
    match trouble:
        case SharingTrouble.NO_ORGANIZATIONS:
            return _no_organizations()
        case SharingTrouble.TERMS_NOT_ACCEPTED:
            return _terms_not_accepted(subject.terms_url)
        case SharingTrouble.PERMISSIONS_TOO_LOW:
            return _permissions_too_low()
        case SharingTrouble.APPLICATION_REFUSED:
            return _application_refused()
        case SharingTrouble.ANSWER_UNKNOWN:
            return _answer_unknown()
        case SharingTrouble.DEERE_UNAVAILABLE:
            return _deere_unavailable()


def _unseen_choice() -> Told:
    """The grower is back from choosing, and neither John Deere nor Leaf can be asked what."""
    return Told(
        code="choice_unseen",
        tone="wait",
        label=_("Waiting for Leaf"),
        title=_("You are back from John Deere"),
        sentences=(
            _("What you chose at John Deere is kept there. We see it once Leaf answers."),
            _("Leaf is the service that brings your data. The page updates by itself."),
        ),
        whether_shared=_("We can’t see yet what is shared."),
        who="nobody",
        others=(choose(_("Choose again")), other_account()),
    )


def _not_asked_yet(partner: str) -> Told:
    return Told(
        code="choose_organizations",
        tone="act",
        label=_("Choose organizations"),
        title=_("Choose what to share"),
        sentences=(
            _(
                "You are signed in. John Deere now wants to know which of your organizations "
                "%(partner)s may see."
            )
            % {"partner": partner},
            _("Tick the box beside the right name there and press Save."),
        ),
        whether_shared=_("No data is shared until you do this."),
        who="grower",
        action=choose(),
        others=(other_account(),),
    )


def _nothing_chosen(subject: Connection) -> Told:
    # An application in STAGE takes five organizations; the sixth grower can't save.
    may_be_full = subject.environment is Environment.STAGE
    ours = _("If John Deere refused to save, the fault is on our side: tell your contact.")
    return Told(
        code="no_organization_chosen",
        tone="act",
        label=_("Nothing chosen"),
        title=_("No organization is shared yet"),
        sentences=(
            _("At John Deere no organization has been ticked and saved so far."),
            _(
                "If a box can’t be ticked, your account may not share that organization. Its "
                "owner can change this."
            ),
            _rights(),
            *([ours] if may_be_full else []),
        ),
        whether_shared=_("No data is shared."),
        who="grower",
        action=choose(),
        others=(other_account(),),
        show_contact=may_be_full,
    )


def _rights() -> str:
    """What the owner has to do at John Deere (facts of its help pages)."""
    return _(
        "In Operations Center the owner opens Setup, Team, your name, and gives you Organization "
        "Management Level 1 with “Share Organization Data with Connected Software Companies”, and "
        "Locations Level 3."
    )


def _wrong_account() -> Told:
    return Told(
        code="wrong_account",
        tone="act",
        label=_("Wrong account?"),
        title=_("Is this the right John Deere account?"),
        sentences=(
            _(
                "The account that you signed in with belongs to no organization itself. It only "
                "sees organizations of partners."
            ),
            _("Use the account that the farm itself signs in with."),
        ),
        whether_shared=_("No data is shared."),
        who="grower",
        action=other_account(),
        others=(choose(_("Choose an organization all the same")),),
    )


def _no_organizations() -> Told:
    return Told(
        code="no_organizations",
        tone="act",
        label=_("No organization"),
        title=_("John Deere shows us no organization for this account"),
        sentences=(
            _("Sign-ins for John Deere’s dealers and employees have none: use the farm’s own."),
            _("If you work on the farm, your rights may be too low. Its owner can change this."),
            _rights(),
            _(
                "No organization yet? Create one at operationscenter.deere.com, or accept the "
                "invitation that the owner sent by e-mail. Then connect again."
            ),
        ),
        whether_shared=_("We see nothing that is shared."),
        who="grower",
        action=other_account(),
        others=(start(_("Connect again")),),
    )


def _terms_not_accepted(link: str | None) -> Told:
    accepted = choose(_("I have accepted them"))
    where = (
        _("Accept them at John Deere, come back, and press “I have accepted them”.")
        if link
        else _("Accept them at operationscenter.deere.com, then press “I have accepted them”.")
    )
    return Told(
        code="terms_not_accepted",
        tone="act",
        label=_("Terms at John Deere"),
        title=_("John Deere has new terms for you"),
        sentences=(
            _("Until they are accepted, John Deere shares nothing with anyone."),
            where,
            _(
                "Only a person with Organization Management Level 2 can accept them. That may be "
                "the owner of the farm."
            ),
        ),
        whether_shared=_("No data is shared."),
        who="grower",
        action=Action("link", _("Read the terms"), url=link) if link else accepted,
        others=(accepted,) if link else (),
    )


def _permissions_too_low() -> Told:
    return Told(
        code="permissions_too_low",
        tone="act",
        label=_("Rights too low"),
        title=_("Your rights at John Deere are too low"),
        sentences=(
            _("Your account may not share the organization’s data. Its owner can change this."),
            _rights(),
            _("Then connect again. Or let the owner open this link."),
        ),
        whether_shared=_("We can’t see what is shared."),
        who="grower",
        action=start(_("Connect again")),
        others=(other_account(),),
    )


def _application_refused() -> Told:
    return Told(
        code="organizations_refused",
        tone="problem",
        label=_("Refused by John Deere"),
        title=_("John Deere did not show us your organizations"),
        sentences=(
            _("You are signed in, but John Deere refuses our request."),
            _("The fault is on our side, not on yours. Our staff have to mend it."),
        ),
        whether_shared=_("Your permission is safe. We can’t see yet what is shared."),
        who="staff",
        others=(choose(_("Try again")),),
        show_contact=True,
    )


def _answer_unknown() -> Told:
    """No list at all: of an account without any, or since our key is not one for this host."""
    return Told(
        code="organizations_unknown",
        tone="problem",
        label=_("Not understood"),
        title=_("We can’t see your organizations"),
        sentences=(
            _(
                "You are signed in, but John Deere’s answer does not say which organizations "
                "you have."
            ),
            _("The reason may be on our side. Our staff can see it and look into it."),
            _("Please tell your contact the reference code."),
        ),
        whether_shared=_("Your permission is safe. We can’t see yet what is shared."),
        who="staff",
        others=(choose(_("Try again")), other_account()),
        show_contact=True,
    )


def _deere_unavailable() -> Told:
    return Told(
        code="organizations_unavailable",
        tone="problem",
        label=_("John Deere is down"),
        title=_("John Deere does not answer just now"),
        sentences=(
            _("You are signed in, but John Deere could not tell us your organizations."),
            _("Please try again in a few minutes."),
        ),
        whether_shared=_("Your permission is safe. We can’t see yet what is shared."),
        who="grower",
        action=choose(_("Try again")),
        others=(other_account(),),
    )
