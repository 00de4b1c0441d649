"""The way to the mail server: what is taken, what comes later, what never, and what is said."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from onboarding.errors import AddressRefused, MailDelayed, MailError, MailRefused
from onboarding.mail import smtp
from onboarding.mail.address import MailServer
from tests.support.ports import free_port
from tests.unit.mail_server import GONE, PASSWORD, SILENT, USER, Postbox, certificate, postbox

GROWER = "grower@farm.example"
SIGN_IN = {"user": USER, "password": PASSWORD}


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """A certificate and its key."""
    return certificate(tmp_path)


@pytest.fixture
def context(pem: Path) -> ssl.SSLContext:
    """TLS of a server with that certificate."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(pem)
    return made


@pytest.fixture
def server() -> Iterator[Postbox]:
    """A mail server without TLS."""
    with postbox(sign_in=True) as made:
        yield made


def send(server: MailServer) -> None:
    """A small mail."""
    mail = EmailMessage()
    mail["Subject"] = "Hello"
    mail.set_content("A line.\n.\nA line behind a dot.\n")
    smtp.send(
        server,
        mail,
        sender="connect@onboarding.example",
        recipient=GROWER,
        our_host="connect.example",
    )


def failure(server: MailServer) -> MailError:
    """What comes of a mail that is not taken."""
    with pytest.raises(MailError) as caught:
        send(server)
    assert caught.value.__cause__ is None
    return caught.value


def test_a_mail_arrives_whole_from_our_host_and_address(server: Postbox) -> None:
    send(server.address(**SIGN_IN))

    ((sender, recipient, raw),) = server.mails
    assert sender.startswith("FROM:<connect@onboarding.example>")
    assert recipient == f"TO:<{GROWER}>"
    assert raw.endswith(b"A line.\r\n..\r\nA line behind a dot.\r\n")
    assert server.said[0] == "ehlo connect.example\r\n"
    assert server.said[-1].lower() == "quit\r\n"


@pytest.mark.parametrize("implicit", [False, True])
def test_encryption_is_used_where_it_is_offered(context: ssl.SSLContext, implicit: bool) -> None:
    with postbox(context=context, implicit=implicit, sign_in=True) as server:
        send(server.address(**SIGN_IN))

    assert server.encrypted
    assert len(server.mails) == 1


def test_without_encryption_nothing_leaves_this_machine(server: Postbox) -> None:
    said = failure(server.address(**SIGN_IN, is_here=False))

    assert isinstance(said, MailDelayed)
    assert said.for_staff
    assert "offers no encryption (STARTTLS)" in str(said)
    assert not [line for line in server.said if "AUTH" in line]


@pytest.mark.parametrize("implicit", [False, True])
def test_elsewhere_a_certificate_must_be_one_that_somebody_vouches_for(
    context: ssl.SSLContext, pem: Path, monkeypatch: pytest.MonkeyPatch, implicit: bool
) -> None:
    with postbox(context=context, implicit=implicit, sign_in=True) as server:
        elsewhere = server.address(**SIGN_IN, is_here=False)
        said = failure(elsewhere)
        assert isinstance(said, MailDelayed)
        assert said.for_staff
        assert "the server's certificate can't be trusted: self-signed certificate" in str(said)
        assert not [line for line in server.said if "AUTH" in line]

        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        send(elsewhere)

    assert len(server.mails) == 1


@pytest.mark.parametrize(
    ("verb", "answer", "kind", "for_staff", "words"),
    [
        ("CONNECT", "421 4.3.2 Not now", MailDelayed, False, "421 4.3.2 Not now"),
        ("CONNECT", "554 No service", MailDelayed, True, "554 No service"),
        ("CONNECT", GONE, MailDelayed, False, "no answer: SMTPServerDisconnected"),
        ("CONNECT", SILENT, MailDelayed, False, "no answer"),
        ("AUTH", "454 4.7.0 Later", MailDelayed, False, "does not accept our sign-in: 454"),
        ("AUTH", "535 5.7.8 Wrong", MailDelayed, True, "does not accept our sign-in: 535"),
        ("MAIL", "451 4.3.0 Later", MailDelayed, False, "does not accept MAIL_FROM: 451"),
        ("MAIL", "550 5.7.1 Not you", MailDelayed, True, "does not accept MAIL_FROM: 550"),
        ("RCPT", "450 4.2.1 Grey", MailDelayed, False, "450 4.2.1 Grey"),
        ("RCPT", f"550 <{GROWER}>: no such user", AddressRefused, None, "550 <***>: no such user"),
        ("RCPT", "550 5.1.1 No such user", AddressRefused, None, "550 5.1.1 No such user"),
        ("RCPT", "550 5.1.10 Takes no mail", AddressRefused, None, "550 5.1.10"),
        ("RCPT", "550 5.2.1 Closed", AddressRefused, None, "550 5.2.1 Closed"),
        ("RCPT", "553 5.1.3 Bad syntax", AddressRefused, None, "553 5.1.3 Bad syntax"),
        ("RCPT", "550 5.1.8 Bad sender", MailRefused, None, "550 5.1.8 Bad sender"),
        ("RCPT", "550 5.7.1 Not you", MailRefused, None, "550 5.7.1 Not you"),
        ("RCPT", "550 relay not permitted", MailRefused, None, "550 relay not permitted"),
        ("RCPT", "552 5.2.2 Full", MailRefused, None, "552 5.2.2 Full"),
        ("RCPT", "554 Never", MailRefused, None, "554 Never"),
        ("RCPT", GONE, MailDelayed, False, "no answer"),
        ("DATA", "451 Later", MailDelayed, False, "451 Later"),
        ("DATA", "554 Never", MailRefused, None, "554 Never"),
        (".", "452 4.3.1 Full", MailDelayed, False, "452 4.3.1 Full"),
        (".", "550 5.7.1 Spam", MailRefused, None, "550 5.7.1 Spam"),
        (".", GONE, MailDelayed, False, "no answer"),
        (".", SILENT, MailDelayed, False, "no answer"),
    ],
)
def test_every_failure_is_later_or_never_and_says_why(
    server: Postbox,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    answer: str,
    kind: type[MailError],
    for_staff: bool | None,
    words: str,
) -> None:
    for seconds in ("ANSWER_SECONDS", "ACCEPT_SECONDS"):
        monkeypatch.setattr(smtp, seconds, 1.0 if answer == SILENT else 20.0)
    server.answers[verb] = answer

    said = failure(server.address(**SIGN_IN))

    assert type(said) is kind
    assert getattr(said, "for_staff", None) == for_staff
    assert words in str(said)


def test_a_farewell_that_goes_wrong_does_not_undo_a_mail(server: Postbox) -> None:
    server.answers["QUIT"] = GONE

    send(server.address(**SIGN_IN))

    assert len(server.mails) == 1


def test_a_server_that_is_not_there_is_a_delay() -> None:
    gone = MailServer(host="127.0.0.1", port=free_port(), implicit_tls=False, is_here=True)

    assert "no answer: Connection refused" in str(failure(gone))


def test_a_server_that_wants_no_sign_in_but_gets_one_is_for_staff() -> None:
    with postbox() as server:
        said = failure(server.address(**SIGN_IN))

    assert isinstance(said, MailDelayed)
    assert said.for_staff


def test_neither_the_password_nor_the_grower_is_ever_named(
    server: Postbox, loud: pytest.LogCaptureFixture
) -> None:
    right = server.address(user=USER, password=PASSWORD)
    wrong = server.address(user=USER, password="an0ther-password-that-is-wrong")
    said = [repr(failure(wrong)), repr(right)]
    for verb in ("MAIL", "RCPT", "DATA", "."):
        server.answers = {verb: f"550 {GROWER} {PASSWORD} {USER}"}
        said.append(repr(failure(right)))

    for text in (*said, loud.text):
        assert PASSWORD not in text
        assert "an0ther" not in text
        assert GROWER not in text
        # "not PLAIN " and both in base64
        assert not any(part in text for part in ("cGE1NS13b3Jk", "AG1haWxlcg"))


def test_a_check_signs_in_and_sends_nothing(server: Postbox) -> None:
    smtp.check(server.address(**SIGN_IN), our_host="connect.example")

    assert server.mails == []
    assert any(line.startswith("AUTH") for line in server.said)
    with pytest.raises(MailDelayed, match="does not accept our sign-in: 535"):
        smtp.check(server.address(user=USER, password="wrong"), our_host="connect.example")
