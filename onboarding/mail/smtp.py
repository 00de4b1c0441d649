"""The mail server: the one place that speaks SMTP (RFC 5321, submission RFC 6409)."""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage

from onboarding.errors import AddressRefused, MailDelayed, MailRefused
from onboarding.mail.address import MailServer
from onboarding.redaction import redact

ANSWER_SECONDS = 30.0
"""For each answer but the last one."""
ACCEPT_SECONDS = 120.0
"""For the answer to a whole mail. Who gives up too early sends it twice (RFC 5321 4.5.3.2.6)."""
PERMANENT = 500
NO_MAILBOX = frozenset({550, 551, 553})
"""Answers to a recipient that are about the address (RFC 5321 4.2.3)."""
ABOUT_SOMETHING_ELSE = re.compile(
    r"\b5\.(?!1\.(?:[0-6]|10)\b|2\.1\b|0\.0\b)\d{1,3}\.\d{1,3}\b|\brelay", re.IGNORECASE
)
"""In such an answer: a code (RFC 3463) not of this mailbox, or that we may not send there."""


def send(
    server: MailServer, message: EmailMessage, *, sender: str, recipient: str, our_host: str
) -> None:
    """Hand a mail in. When it returns, the server has taken responsibility for it.

    :param sender: whom the server tells if it can't be delivered later
    :param our_host: how we introduce ourselves
    :raise MailDelayed: if the server does not take it now; in the worst case it has taken it, and
        only its answer was lost
    :raise MailRefused: if it never will
    :raise AddressRefused: if there is no such mailbox
    """
    with _signed_in(server, our_host) as smtp, _plainly(server, recipient):
        if smtp.sock is not None:
            smtp.sock.settimeout(ACCEPT_SECONDS)
        smtp.send_message(message, sender, [recipient])


def check(server: MailServer, *, our_host: str) -> None:
    """Sign in, and send nothing.

    :raise MailDelayed: saying what is wrong
    """
    with _signed_in(server, our_host):
        pass


@contextmanager
def _signed_in(server: MailServer, our_host: str) -> Iterator[smtplib.SMTP]:
    with _plainly(server):
        smtp = _connected(server, our_host)
    try:
        with _plainly(server):
            if not server.implicit_tls:
                _encrypt(smtp, server)
            if server.user:
                smtp.login(server.user, server.password)
        yield smtp
        with suppress(OSError, smtplib.SMTPException):
            smtp.quit()  # whatever comes of it: the mail is handed in
    finally:
        smtp.close()


def _connected(server: MailServer, our_host: str) -> smtplib.SMTP:
    if server.implicit_tls:
        return smtplib.SMTP_SSL(
            server.host,
            server.port,
            local_hostname=our_host,
            timeout=ANSWER_SECONDS,
            context=_context(server),
        )
    return smtplib.SMTP(server.host, server.port, local_hostname=our_host, timeout=ANSWER_SECONDS)


def _encrypt(smtp: smtplib.SMTP, server: MailServer) -> None:
    smtp.ehlo_or_helo_if_needed()
    if smtp.has_extn("starttls"):
        smtp.starttls(context=_context(server))
    elif not server.is_here:
        raise MailDelayed(
            "the server offers no encryption (STARTTLS), and without it nothing leaves this "
            "machine; is it smtps:// in MAIL_URL, or another port?",
            for_staff=True,
        )


def _context(server: MailServer) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if server.is_here:
        # What listens here has no certificate that anybody would vouch for, and needs none.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@contextmanager
def _plainly(server: MailServer, recipient: str = "") -> Iterator[None]:
    """Turn smtplib's many errors into our two, without the recipient and without a password."""

    def told(code: int, text: bytes | str) -> str:
        words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        return redact(f"{code} {words}", (server.password, server.user, recipient))

    try:
        yield
    except smtplib.SMTPRecipientsRefused as err:
        code, text = next(iter(err.recipients.values()))
        raise _of_recipient(code, told(code, text)) from None
    except smtplib.SMTPDataError as err:
        raise _of_mail(err.smtp_code, told(err.smtp_code, err.smtp_error)) from None
    except smtplib.SMTPAuthenticationError as err:
        why = f"the server does not accept our sign-in: {told(err.smtp_code, err.smtp_error)}"
        raise MailDelayed(why, for_staff=err.smtp_code >= PERMANENT) from None
    except smtplib.SMTPSenderRefused as err:
        why = f"the server does not accept MAIL_FROM: {told(err.smtp_code, err.smtp_error)}"
        raise MailDelayed(why, for_staff=err.smtp_code >= PERMANENT) from None
    except smtplib.SMTPResponseException as err:
        why = told(err.smtp_code, err.smtp_error)
        raise MailDelayed(why, for_staff=err.smtp_code >= PERMANENT) from None
    except smtplib.SMTPNotSupportedError as err:
        raise MailDelayed(redact(str(err)), for_staff=True) from None
    except ssl.SSLCertVerificationError as err:
        why = f"the server's certificate can't be trusted: {err.verify_message}"
        raise MailDelayed(why, for_staff=True) from None
    except (OSError, smtplib.SMTPException) as err:
        why = err.strerror if isinstance(err, OSError) and err.strerror else type(err).__name__
        raise MailDelayed(f"no answer: {redact(why)}") from None


def _of_recipient(code: int, reason: str) -> MailDelayed | MailRefused:
    """A server that refuses whom it does not like, or us, must not cost growers their address."""
    if code in NO_MAILBOX and not ABOUT_SOMETHING_ELSE.search(reason):
        return AddressRefused(reason)
    return _of_mail(code, reason)


def _of_mail(code: int, reason: str) -> MailDelayed | MailRefused:
    return MailRefused(reason) if code >= PERMANENT else MailDelayed(reason)
