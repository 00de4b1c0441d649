"""A letter as a message: addresses, the headers that mail programs act on, and both forms."""

from __future__ import annotations

from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from onboarding.errors import AddressRefused, InputInvalid
from onboarding.mail.address import Sender, on_the_wire
from onboarding.mail.layout import Laid
from onboarding.models import Grower, Partner
from onboarding.redaction import one_line

NAME_LIMIT = 100
SUBJECT_LIMIT = 150


def build(
    laid: Laid,
    *,
    subject: str,
    grower: Grower,
    names_grower: bool = True,
    sender: Sender,
    message_id: str,
    stop_url: str | None,
    moment: datetime,
) -> EmailMessage:
    """The message, ready to be handed in.

    A header is one line whatever a name holds: what is not printable becomes a space.

    :param names_grower: whether their name stands beside the address
    :param message_id: the same for every try of a mail, so that a doubled one can be recognized
    :param stop_url: takes a POST without a form, as mail programs send it (RFC 8058); None if such
        mails can't be stopped
    :raise AddressRefused: if the grower's address can't be used
    """
    partner = grower.partner
    message = EmailMessage(policy=SMTP)
    message["From"] = _mailbox(_sender_name(partner.name, sender), sender.address)
    message["To"] = _mailbox(grower.name if names_grower else "", recipient(grower))
    if partner.support_email and (support := on_the_wire(partner.support_email)):
        message["Reply-To"] = _mailbox(partner.support_name or partner.name, support)
    _head(message, subject=subject, message_id=message_id, moment=moment)
    if stop_url is not None:
        message["List-Unsubscribe"] = f"<{stop_url}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return _filled(message, laid)


def build_for_partner(
    laid: Laid,
    *,
    subject: str,
    partner: Partner,
    sender: Sender,
    message_id: str,
    moment: datetime,
) -> EmailMessage:
    """The message to a partner's own people.

    :raise AddressRefused: if the partner's address can't be used
    """
    message = EmailMessage(policy=SMTP)
    message["From"] = _mailbox(sender.name, sender.address)
    message["To"] = _mailbox(partner.support_name or partner.name, partner_address(partner))
    _head(message, subject=subject, message_id=message_id, moment=moment)
    return _filled(message, laid)


def partner_address(partner: Partner) -> str:
    """Where the partner's own people are written to, as mail servers take it.

    :raise AddressRefused: if it is none, or one that only few servers take
    """
    address = on_the_wire(partner.support_email or "")
    if address is None:
        raise AddressRefused("the partner's address for support can't be used: correct it")
    return address


def check_recipient(grower: Grower) -> None:
    """Refuse an address that can't be used while somebody is there who can correct it.

    :raise InputInvalid: saying that it can't
    """
    if on_the_wire(grower.email or "") is None:
        raise InputInvalid(f"Mail servers do not take the address {grower.email!r}: correct it.")


def recipient(grower: Grower) -> str:
    """The grower's address as mail servers take it.

    :raise AddressRefused: if it is none, or one that only few servers take
    """
    address = on_the_wire(grower.email or "")
    if address is None:
        raise AddressRefused("the address can't be used: correct it with link … --email")
    return address


def _head(message: EmailMessage, *, subject: str, message_id: str, moment: datetime) -> None:
    message["Subject"] = one_line(subject, limit=SUBJECT_LIMIT)
    message["Date"] = format_datetime(moment)
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers


def _filled(message: EmailMessage, laid: Laid) -> EmailMessage:
    message.set_content(laid.text)
    message.add_alternative(laid.html, subtype="html")
    return message


def _sender_name(partner: str, sender: Sender) -> str:
    """The partner, whom the grower knows, and who sends for them, if that has a name."""
    return f"{partner} via {sender.name}" if sender.name else partner


def _mailbox(name: str, address: str) -> Address:
    try:
        return Address(display_name=one_line(name, limit=NAME_LIMIT), addr_spec=address)
    except (ValueError, IndexError, MessageError) as err:
        raise AddressRefused("the address can't be used: correct it with link … --email") from err
